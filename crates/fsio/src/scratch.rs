//! A file without a name, for what does not fit into memory.

use crate::at::with_temporary_name;
use crate::dir::unlink;
use crate::fault::{On, Op, step};
use crate::file::{PRIVATE, create_exclusive};
use crate::meta::OPEN_FILE;
use crate::{At, Dir, Result};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that nobody else sees and that is gone with this value, however the process ends. Shared between threads.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    end: AtomicU64,
}

impl Scratch {
    /// Creates an empty one on the filesystem of `dir`. A crash at the moment of creation can leave an empty file there
    /// whose name begins with `.tmp-`.
    ///
    /// # Errors
    /// When the directory may not be written, or the disk is full or fails.
    pub fn create(dir: &Dir) -> Result<Self> {
        let create = || {
            let (name, file) = with_temporary_name(|name| create_exclusive(dir.as_fd(), name, PRIVATE))?;
            unlink(dir.as_fd(), name.as_ref())?;
            Ok::<_, io::Error>(Self { file, end: AtomicU64::new(0) })
        };
        create().at("create a file in", ".")
    }

    /// Adds bytes at the end and returns where they begin. What others add at the same time does not come between.
    ///
    /// # Errors
    /// When the disk is full or fails; what was added before can still be read, and more can be added.
    pub fn append(&self, bytes: &[u8]) -> Result<u64> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        step(Op::Write, On::Open(self.file.as_fd()))
            .and_then(|()| self.file.write_all_at(bytes, at))
            .at("write", OPEN_FILE)?;
        Ok(at)
    }

    /// Fills `bytes` with what begins at `at`.
    ///
    /// # Errors
    /// When there is not so much, or the disk fails.
    pub fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(bytes, at).at("read", OPEN_FILE)
    }
}
