//! Locks between processes, on open file descriptions, so that real `ostree` and we exclude each other.
//!
//! They exclude two handles in one process as well. The lock goes away with the process, however it ends; the lock file
//! stays, and means nothing by itself.

mod holder;

use crate::at::locate;
use crate::fault::{On, Op, step};
use crate::meta::stat_at;
use crate::{At, Dir, Error};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a lock shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Many may hold it.
    Shared,
    /// One alone holds it.
    Exclusive,
}

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Fail at once when it is taken.
    No,
    /// Up to this long.
    For(Duration),
    /// For ever.
    Forever,
}

impl Wait {
    /// What is left when so much of it is over.
    #[must_use]
    pub fn less(self, waited: Duration) -> Self {
        match self {
            Self::For(limit) => Self::For(limit.saturating_sub(waited)),
            other => other,
        }
    }
}

/// Why a lock was not got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Others held it all the time.
    #[error("{} is locked by {holder} (waited {waited:?})", path.display())]
    Held {
        /** The lock file. */
        path: PathBuf,
        /** Who holds it, as far as the system tells: `process 123 (name)`. */
        holder: String,
        /** How long it was waited for. */
        waited: Duration,
    },
    /// The lock file could not be opened or locked.
    #[error(transparent)]
    Io(#[from] Error),
}

/// A lock held; dropping it, or the death of the process, releases it.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    _file: File,
}

/// The pause after the first refusal; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Lock {
    /// Takes the lock on the file at `path`, created with mode 0660 (less the umask) where missing.
    ///
    /// A shared lock can be had on a read-only filesystem too, if the file exists. A lock file that another process
    /// removes while we wait is not taken for the lock: the new one of that name is.
    ///
    /// # Errors
    /// [`LockError::Held`] when the time is over; [`LockError::Io`] when the file cannot be opened, or the filesystem
    /// has no locks.
    pub fn acquire(dir: &Dir, path: impl AsRef<Path>, kind: LockKind, wait: Wait) -> Result<Self, LockError> {
        let path = path.as_ref();
        let started = Instant::now();
        let mut pause = SHORTEST_PAUSE;
        let mut file = open_lock_file(dir, path, kind).at("open the lock file", path)?;
        loop {
            match try_lock(&file, kind) {
                Ok(()) => {
                    if stat_at(file.as_fd(), OsStr::new("")).at("examine", path)?.nlink > 0 {
                        return Ok(Self { _file: file });
                    }
                    file = open_lock_file(dir, path, kind).at("open the lock file", path)?;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_held(&error) => {}
                Err(error) => return Err(error).at("lock", path).map_err(LockError::from),
            }
            let waited = started.elapsed();
            let left = match wait {
                Wait::No => Duration::ZERO,
                Wait::For(limit) => limit.saturating_sub(waited),
                Wait::Forever => Duration::MAX,
            };
            if left.is_zero() {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    holder: holder::describe(&file),
                    waited,
                });
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn open_lock_file(dir: &Dir, path: &Path, kind: LockKind) -> io::Result<File> {
    let place = locate(dir, path)?;
    let common = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = |flags| rustix::fs::openat(place.fd(), place.name, common | flags, Mode::from_raw_mode(0o660));
    let opened = match open(OFlags::RDWR) {
        Err(Errno::NOENT) => {
            step(Op::Create, On::Name(place.fd(), place.name))?;
            open(OFlags::RDWR | OFlags::CREATE)
        }
        Err(Errno::ROFS | Errno::ACCESS) if kind == LockKind::Shared => open(OFlags::RDONLY),
        other => other,
    };
    Ok(opened?.into())
}

fn is_held(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| code == libc::EAGAIN || code == libc::EACCES)
}

fn try_lock(file: &File, kind: LockKind) -> io::Result<()> {
    let l_type = match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the constants are 0, 1 and 2")]
    let whole_file = libc::flock {
        l_type: l_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file))?;
    Ok(())
}
