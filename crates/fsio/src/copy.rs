//! Copying content: by sharing extents where the filesystem can, else inside the kernel, else by hand.

use crate::fault::{On, Op, step};
use crate::meta::OPEN_FILE;
use crate::{At, Result};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

/// Makes `to` share the content of `from` (FICLONE). `false` where the filesystem cannot.
///
/// # Errors
/// When the disk is full or fails.
pub fn reflink(from: &File, to: &File) -> Result<bool> {
    clone(from, to).at("copy", OPEN_FILE)
}

fn clone(from: &File, to: &File) -> io::Result<bool> {
    step(Op::Copy, On::Open(to.as_fd()))?;
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies up to `len` bytes from the current position of `from` to that of `to`, in the kernel or else by hand.
/// Returns how many: fewer where `from` ends.
///
/// # Errors
/// When `from` cannot be read, or the disk is full or fails. What was copied until then stays.
pub fn copy_range(from: &File, to: &File, len: u64) -> Result<u64> {
    range(from, to, len).at("copy", OPEN_FILE)
}

/// The kernel copies at most 2 GiB at once; less keeps a signal from waiting long.
const KERNEL_CHUNK: u64 = 1 << 27;

fn range(from: &File, to: &File, len: u64) -> io::Result<u64> {
    let mut done = 0;
    while done < len {
        let chunk = usize::try_from((len - done).min(KERNEL_CHUNK)).unwrap_or(usize::MAX);
        step(Op::Copy, On::Open(to.as_fd()))?;
        match rustix::fs::copy_file_range(from, None, to, None, chunk) {
            // Files of /proc claim to be empty and are not: reading tells.
            Ok(0) if done == 0 => return by_hand(from, to, len),
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(Errno::INTR) => {}
            Err(
                Errno::XDEV
                | Errno::INVAL
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::TXTBSY
                | Errno::BADF,
            ) => return Ok(done + by_hand(from, to, len - done)?),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

fn by_hand(from: &File, mut to: &File, len: u64) -> io::Result<u64> {
    let mut source = from.take(len);
    let mut buffer = vec![0_u8; 1 << 16];
    let mut done = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        step(Op::Write, On::Open(to.as_fd()))?;
        to.write_all(buffer.get(..read).unwrap_or_default())?;
        done += read as u64;
    }
}

/// Fills the empty `to` with all of `from`: reflink, else copy. Returns the number of bytes.
///
/// Reads from the start of `from`, wherever its position is; both positions are at the end afterwards, or, after a
/// reflink, where they were.
///
/// # Errors
/// When `from` cannot be read, or the disk is full or fails.
pub fn copy_contents(from: &File, to: &File) -> Result<u64> {
    contents(from, to).at("copy", OPEN_FILE)
}

fn contents(mut from: &File, to: &File) -> io::Result<u64> {
    if clone(from, to)? {
        return Ok(to.metadata()?.len());
    }
    from.seek(SeekFrom::Start(0))?;
    range(from, to, u64::MAX)
}
