//! From a path to the directory that holds its last component, so that one `*at` system call does the rest.
//!
//! A single component costs nothing. The components before the last one are resolved by cap-std, which never leaves
//! the directory it starts from.

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A name in a directory.
pub(crate) struct Place<'a> {
    parent: Parent<'a>,
    /// One component.
    pub(crate) name: &'a OsStr,
}

enum Parent<'a> {
    Given(&'a Dir),
    Opened(Dir),
}

impl Place<'_> {
    pub(crate) fn dir(&self) -> &Dir {
        match &self.parent {
            Parent::Given(dir) => dir,
            Parent::Opened(dir) => dir,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir().as_fd()
    }
}

/// Where `path` is. Refused: the empty path and one with NUL (`EINVAL`), an absolute one, and one that ends in `..`
/// or leaves `dir` (`EXDEV`).
pub(crate) fn locate<'a>(dir: &'a Dir, path: &'a Path) -> io::Result<Place<'a>> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(Errno::INVAL.into());
    }
    if !bytes.contains(&b'/') {
        if bytes == b".." {
            return Err(Errno::XDEV.into());
        }
        return Ok(Place { parent: Parent::Given(dir), name: path.as_os_str() });
    }
    if bytes.starts_with(b"/") {
        return Err(Errno::XDEV.into());
    }
    let Some(name) = path.file_name() else { return Err(Errno::XDEV.into()) };
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            let parent = dir.open_dir(parent).map_err(name_the_escape)?;
            Ok(Place { parent: Parent::Opened(parent), name })
        }
        _ => Ok(Place { parent: Parent::Given(dir), name }),
    }
}

/// cap-std reports an escape as a permission problem without a number; `EXDEV` is what `openat2` says.
pub(crate) fn name_the_escape(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
        Errno::XDEV.into()
    } else {
        error
    }
}

/// How directories are opened: readable, so that they can be listed and synced.
pub(crate) const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens one component as a directory.
pub(crate) fn open_dir_at(dir: impl AsFd, name: &OsStr) -> io::Result<Dir> {
    let fd = rustix::fs::openat(dir, name, OPEN_DIR, Mode::empty())?;
    Ok(Dir::from_std_file(fd.into()))
}

/// Opens the same directory again: readable (a [`Dir`] of cap-std is `O_PATH`) and with a read position of its own.
pub(crate) fn reopen(dir: impl AsFd) -> io::Result<Dir> {
    open_dir_at(dir, OsStr::new("."))
}

/// The name under which the system shows an open file, for calls that take no descriptor.
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes()
}

/// Tells "there is no such name" from other failures.
pub(crate) fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name that nothing has, beginning with `.tmp-`.
pub(crate) fn temporary_name() -> io::Result<String> {
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!(".tmp-{:016x}", u64::from_ne_bytes(random)))
}

/// Calls `create` with fresh temporary names until one is not taken.
pub(crate) fn with_temporary_name<T>(
    mut create: impl FnMut(&OsStr) -> io::Result<T>,
) -> io::Result<(String, T)> {
    for _ in 0..16 {
        let name = temporary_name()?;
        match create(OsStr::new(&name)) {
            Ok(made) => return Ok((name, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST.into())
}
