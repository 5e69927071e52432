//! Extended attributes, by open file or by directory and name (works on symlinks too).
//!
//! Only what the caller may see is listed: `trusted.*` needs privileges, and `user.*` is for files and directories.

use crate::at::{locate, proc_path};
use crate::fault::{On, Op, step};
use crate::meta::OPEN_FILE;
use crate::{At, Dir, Result};
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Attributes as (name without NUL, value), sorted by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// All attributes of an open file or directory. Empty where the filesystem has none.
///
/// # Errors
/// When the system cannot tell.
pub fn list(file: &impl AsFd) -> Result<Xattrs> {
    list_target(&Target::open(file.as_fd())).at("list the attributes of", OPEN_FILE)
}

/// All attributes of what is at `path`, not followed.
///
/// # Errors
/// When nothing is there, or the system cannot tell.
pub fn list_of(dir: &Dir, path: impl AsRef<Path>) -> Result<Xattrs> {
    on_path(dir, path.as_ref(), None, list_target).at("list the attributes of", path)
}

/// One attribute of an open file, `None` if it has no such.
///
/// # Errors
/// When it may not be read, or the system cannot tell.
pub fn get(file: &impl AsFd, name: &[u8]) -> Result<Option<Vec<u8>>> {
    get_target(&Target::open(file.as_fd()), name).at("read an attribute of", OPEN_FILE)
}

/// One attribute of what is at `path`, not followed.
///
/// # Errors
/// When nothing is there, or it may not be read.
pub fn get_of(dir: &Dir, path: impl AsRef<Path>, name: &[u8]) -> Result<Option<Vec<u8>>> {
    on_path(dir, path.as_ref(), None, |target| get_target(target, name)).at("read an attribute of", path)
}

/// Sets one attribute of an open file or directory.
///
/// # Errors
/// `ENOTSUP` where the filesystem has none; or when not privileged, or the disk is full or fails.
pub fn set(file: &impl AsFd, name: &[u8], value: &[u8]) -> Result<()> {
    let fd = file.as_fd();
    step(Op::SetXattr, On::Open(fd))
        .and_then(|()| set_target(&Target::open(fd), name, value))
        .at("set an attribute of", OPEN_FILE)
}

/// Sets one attribute of what is at `path`, not followed.
///
/// # Errors
/// As [`set`], and when nothing is there. A symlink has no `user.*` attributes: `EPERM`.
pub fn set_of(dir: &Dir, path: impl AsRef<Path>, name: &[u8], value: &[u8]) -> Result<()> {
    on_path(dir, path.as_ref(), Some(Op::SetXattr), |target| set_target(target, name, value))
        .at("set an attribute of", path)
}

/// Removes one attribute of an open file or directory; absent is success.
///
/// # Errors
/// When not privileged, or the filesystem is read-only.
pub fn remove(file: &impl AsFd, name: &[u8]) -> Result<()> {
    let fd = file.as_fd();
    step(Op::RemoveXattr, On::Open(fd))
        .and_then(|()| remove_target(&Target::open(fd), name))
        .at("remove an attribute of", OPEN_FILE)
}

/// Removes one attribute of what is at `path`, not followed; absent is success.
///
/// # Errors
/// When nothing is there, when not privileged, or the filesystem is read-only.
pub fn remove_of(dir: &Dir, path: impl AsRef<Path>, name: &[u8]) -> Result<()> {
    on_path(dir, path.as_ref(), Some(Op::RemoveXattr), |target| remove_target(target, name))
        .at("remove an attribute of", path)
}

/// Whose attributes are meant.
enum Target<'a> {
    /// By descriptor, or, when that was opened with `O_PATH`, by its name in /proc.
    Open(BorrowedFd<'a>),
    /// By a path whose last component is not followed.
    Path(Vec<u8>),
}

impl<'a> Target<'a> {
    fn open(fd: BorrowedFd<'a>) -> Self {
        Self::Open(fd)
    }
}

fn on_path<T>(
    dir: &Dir,
    path: &Path,
    op: Option<Op>,
    f: impl FnOnce(&Target<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let place = locate(dir, path)?;
    if let Some(op) = op {
        step(op, On::Name(place.fd(), place.name))?;
    }
    let mut path = proc_path(place.fd());
    path.push(b'/');
    path.extend_from_slice(place.name.as_bytes());
    f(&Target::Path(path))
}

/// Runs the call for a descriptor, again by name if the descriptor does not do, or for a path.
fn dispatch<T>(
    target: &Target<'_>,
    by_fd: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<T>,
    by_link: impl FnOnce(&[u8]) -> rustix::io::Result<T>,
    by_path: impl FnOnce(&[u8]) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match target {
        Target::Open(fd) => match by_fd(*fd) {
            Err(Errno::BADF) => by_link(&proc_path(*fd)),
            other => other,
        },
        Target::Path(path) => by_path(path),
    }
}

fn names(target: &Target<'_>, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    // Only one of the three runs, but each needs the buffer.
    let cell = std::cell::RefCell::new(buffer);
    dispatch(
        target,
        |fd| rustix::fs::flistxattr(fd, &mut **cell.borrow_mut()),
        |path| rustix::fs::listxattr(path, &mut **cell.borrow_mut()),
        |path| rustix::fs::llistxattr(path, &mut **cell.borrow_mut()),
    )
}

fn value(target: &Target<'_>, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
    let cell = std::cell::RefCell::new(buffer);
    dispatch(
        target,
        |fd| rustix::fs::fgetxattr(fd, name, &mut **cell.borrow_mut()),
        |path| rustix::fs::getxattr(path, name, &mut **cell.borrow_mut()),
        |path| rustix::fs::lgetxattr(path, name, &mut **cell.borrow_mut()),
    )
}

/// The most that Linux allows for a list of names, and for a value.
const MAX_BYTES: usize = 65536;

/// Fills a small buffer first; one of the largest size when that does not do.
fn with_buffer(mut fill: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0_u8; 512];
    match fill(&mut small) {
        Ok(len) => Ok(small.get(..len).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0_u8; MAX_BYTES];
            let len = fill(&mut large)?;
            large.truncate(len);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

fn list_target(target: &Target<'_>) -> io::Result<Xattrs> {
    let names = match with_buffer(|buffer| names(target, buffer)) {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // Another process may have removed it since.
        if let Some(value) = get_target(target, name)? {
            all.push((name.to_vec(), value));
        }
    }
    all.sort_unstable();
    Ok(all)
}

fn get_target(target: &Target<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match with_buffer(|buffer| value(target, name, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set_target(target: &Target<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    let flags = XattrFlags::empty();
    Ok(dispatch(
        target,
        |fd| rustix::fs::fsetxattr(fd, name, value, flags),
        |path| rustix::fs::setxattr(path, name, value, flags),
        |path| rustix::fs::lsetxattr(path, name, value, flags),
    )?)
}

fn remove_target(target: &Target<'_>, name: &[u8]) -> io::Result<()> {
    let removed = dispatch(
        target,
        |fd| rustix::fs::fremovexattr(fd, name),
        |path| rustix::fs::removexattr(path, name),
        |path| rustix::fs::lremovexattr(path, name),
    );
    match removed {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}
