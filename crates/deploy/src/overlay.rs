//! Overlays of an initramfs: further archives that the boot loader gives to the kernel after it.
//!
//! They are kept in the boot directory by the checksum of their content, for as long as an entry, or what is staged,
//! names them.

use crate::{Locked, Result, layout};
use sapwood_fsio::{self as fsio, At};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};

/// What follows the checksum in a name.
const SUFFIX: &str = ".img";

/// Whether this is the name of an overlay: 64 lower-case hexadecimal digits and `.img`.
pub(crate) fn is_name(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|hex| crate::BootId::parse(hex).is_some())
}

/// The name of the overlay that a path in an entry leads to, if it is one.
pub(crate) fn named(path: &str) -> Option<&str> {
    let (dir, name) = path.rsplit_once('/')?;
    (dir.ends_with(layout::OVERLAYS) && is_name(name)).then_some(name)
}

impl Locked<'_> {
    /// Puts an overlay into the boot directory, for [`DeployOptions::overlays`](crate::DeployOptions::overlays). It is
    /// durable when this returns, and goes with the next clean-up unless it is used.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn add_overlay(&self, file: &File) -> Result<String> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0_u8; 1 << 17];
        let mut reader = file;
        reader.seek(SeekFrom::Start(0)).at("seek", "overlay")?;
        loop {
            let read = reader.read(&mut buffer).at("read", "overlay")?;
            if read == 0 {
                break;
            }
            hash.update(buffer.get(..read).unwrap_or_default());
        }
        let mut name = String::with_capacity(64 + SUFFIX.len());
        for byte in hash.finalize() {
            // Writing to a `String` cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name.push_str(SUFFIX);
        let dir = fsio::ensure_dir(self.root(), layout::boot(layout::OVERLAYS), 0o755)?;
        if fsio::stat_optional(&dir, &name)?.is_none() {
            let staged = fsio::Staged::create(&dir)?;
            reader.seek(SeekFrom::Start(0)).at("seek", "overlay")?;
            fsio::copy_contents(file, staged.file())?;
            fsio::set_mode(staged.file(), 0o644)?;
            staged.sync()?;
            staged.publish(&dir, &name)?;
            fsio::sync_dir(&dir)?;
        }
        Ok(name)
    }
}
