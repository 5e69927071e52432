//! The one error of file operations: what was tried, on which path, and why it failed.

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}", path.display())]
pub struct Error {
    /// What was tried: a verb such as `open` or `rename`.
    pub op: &'static str,
    /// On what, relative to the directory that the operation was given.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// The result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the file, or a directory on the way to it, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the name is taken already.
    pub fn is_exists(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether something is there, but of another kind than the operation is for: a symlink, or a directory for a file,
    /// or the other way round.
    pub fn is_wrong_kind(&self) -> bool {
        let codes = [Errno::LOOP, Errno::NOTDIR, Errno::ISDIR, Errno::INVAL];
        self.source.raw_os_error().is_some_and(|code| codes.iter().any(|known| known.raw_os_error() == code))
    }

    /// Whether the disk, or the quota, is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Says what was tried, and on what, when an [`io::Result`] or a rustix result becomes an [`Error`].
pub trait At<T> {
    /// Adds the verb and the path to the error.
    ///
    /// # Errors
    /// The error that was there, with its place.
    fn at(self, op: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, op: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| Error { op, path: path.as_ref().to_owned(), source: e.into() })
    }
}
