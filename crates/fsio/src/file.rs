//! Whole files: reading with a limit, staging, and atomic durable replacement.

use crate::at::{locate, optional, with_temporary_name};
use crate::dir::{rename_names, sync_dir_fd, unlink};
use crate::fault::{On, Op, step};
use crate::meta::{OPEN_FILE, set_mode_fd, stat_at};
use crate::{At, Dir, Kind, Result, Stat};
use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Opens the regular file at `path` for reading. Symlinks, fifos, devices and directories are refused; never blocks.
///
/// # Errors
/// `ELOOP` for a symlink, `EISDIR` for a directory, `EINVAL` for what is not a regular file otherwise; or when nothing
/// is there, or it may not be read.
pub fn open_file(dir: &Dir, path: impl AsRef<Path>) -> Result<File> {
    open(dir, path.as_ref()).at("open", path).map(|(file, _)| file)
}

/// As [`open_file`], with the attributes that were looked at on the way.
///
/// # Errors
/// As [`open_file`].
pub fn open_file_and_stat(dir: &Dir, path: impl AsRef<Path>) -> Result<(File, Stat)> {
    open(dir, path.as_ref()).at("open", path)
}

/// As [`open_file`], with `None` where nothing of that name exists.
///
/// # Errors
/// As [`open_file`].
pub fn open_file_optional(dir: &Dir, path: impl AsRef<Path>) -> Result<Option<File>> {
    Ok(optional(open(dir, path.as_ref())).at("open", path)?.map(|(file, _)| file))
}

fn open(dir: &Dir, path: &Path) -> io::Result<(File, Stat)> {
    let place = locate(dir, path)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(place.fd(), place.name, flags, Mode::empty()) {
        // A socket, or a device without driver.
        Err(Errno::NXIO | Errno::NODEV) => return Err(Errno::INVAL.into()),
        other => File::from(other?),
    };
    let stat = stat_at(file.as_fd(), OsStr::new(""))?;
    match stat.kind {
        Kind::File => Ok((file, stat)),
        Kind::Dir => Err(Errno::ISDIR.into()),
        _ => Err(Errno::INVAL.into()),
    }
}

/// The bytes of the regular file at `path`; fails with `EFBIG` past `limit_bytes`.
///
/// # Errors
/// As [`open_file`], and `EFBIG`.
pub fn read(dir: &Dir, path: impl AsRef<Path>, limit_bytes: u64) -> Result<Vec<u8>> {
    read_all(dir, path.as_ref(), limit_bytes).at("read", path)
}

/// As [`read`], with `None` where nothing of that name exists.
///
/// # Errors
/// As [`read`].
pub fn read_optional(dir: &Dir, path: impl AsRef<Path>, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    optional(read_all(dir, path.as_ref(), limit_bytes)).at("read", path)
}

/// How much is set aside because a file claims to have it; more is taken as it is read.
const TRUSTED_BYTES: u64 = 1 << 20;

fn read_all(dir: &Dir, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let (file, Stat { size, .. }) = open(dir, path)?;
    if size > limit_bytes {
        return Err(Errno::FBIG.into());
    }
    let expected = usize::try_from(size.min(TRUSTED_BYTES)).unwrap_or(0);
    // One more, so that the end is seen without growing.
    let mut bytes = Vec::with_capacity(expected + 1);
    (&file).take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit_bytes) {
        Ok(bytes)
    } else {
        Err(Errno::FBIG.into())
    }
}

/// Replaces the file at `path` by one with these bytes and exactly this `mode`: written beside it, synced, renamed,
/// directory synced. After a crash at any moment the file is the old one or the new one.
///
/// Owner and extended attributes of the old file are not carried over. A symlink at `path` is itself replaced.
///
/// # Errors
/// When the disk is full or fails, or `path` is a directory: the old file is still there, unless only the last sync
/// failed.
pub fn replace(dir: &Dir, path: impl AsRef<Path>, mode: u32, bytes: &[u8]) -> Result<()> {
    replace_all(dir, path.as_ref(), mode, bytes).at("replace", path)
}

fn replace_all(dir: &Dir, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let place = locate(dir, path)?;
    let mut staged = Staged::new(place.dir())?;
    staged.write_all(bytes)?;
    set_mode_fd(staged.file.as_fd(), mode)?;
    staged.sync_io()?;
    staged.rename_to(place.fd(), place.name, RenameFlags::empty())?;
    sync_dir_fd(place.fd())
}

/// Adds bytes at the end of the regular file at `path`, created with exactly this `mode` where it is missing. They go there in one
/// piece, whoever else adds some at the same time; not synced, so a crash may leave a part of them.
///
/// # Errors
/// As [`open_file`], or when the file may not be written, or the disk is full or fails.
pub fn append(dir: &Dir, path: impl AsRef<Path>, mode: u32, bytes: &[u8]) -> Result<()> {
    let append = |path: &Path| {
        let place = locate(dir, path)?;
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mut file: File = match rustix::fs::openat(place.fd(), place.name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                step(Op::Create, On::Name(place.fd(), place.name))?;
                let first = Mode::RUSR | Mode::WUSR;
                let file = rustix::fs::openat(place.fd(), place.name, flags | OFlags::CREATE, first)?;
                set_mode_fd(file.as_fd(), mode)?;
                file.into()
            }
            other => other?.into(),
        };
        if stat_at(file.as_fd(), OsStr::new(""))?.kind != Kind::File {
            return Err(Errno::INVAL.into());
        }
        step(Op::Write, On::Open(file.as_fd()))?;
        file.write_all(bytes)
    };
    append(path.as_ref()).at("append to", path)
}

/// A file being written that has no final name yet. Dropped unpublished, it is removed.
///
/// What a crash leaves behind has a name that begins with `.tmp-`.
#[derive(Debug)]
#[must_use = "nothing is visible before `publish`"]
pub struct Staged {
    dir: Dir,
    name: OsString,
    file: File,
    remove_on_drop: bool,
}

impl Staged {
    /// Creates an empty file of mode 0600 with a random temporary name (prefix `.tmp-`) in `dir`.
    ///
    /// # Errors
    /// When the directory may not be written, or the disk is full or fails.
    pub fn create(dir: &Dir) -> Result<Self> {
        Self::new(dir).at("create a file in", ".")
    }

    /// As [`create`](Self::create), of mode 0666 less the umask, or as the directory's default access list says: what a
    /// file has that a user has written.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_for_all(dir: &Dir) -> Result<Self> {
        Self::with_mode(dir, 0o666).at("create a file in", ".")
    }

    /// Creates an empty file of mode 0600 named `name` in `dir`; `EEXIST` if taken. Removed on drop unless published
    /// or [`keep`](Self::keep)t.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `EEXIST`.
    pub fn create_named(dir: &Dir, name: impl AsRef<Path>) -> Result<Self> {
        let create = || {
            let place = locate(dir, name.as_ref())?;
            let dir = place.dir().try_clone()?;
            let file = create_exclusive(place.fd(), place.name, PRIVATE)?;
            Ok::<_, io::Error>(Self { dir, name: place.name.to_owned(), file, remove_on_drop: true })
        };
        create().at("create", name.as_ref())
    }

    fn new(dir: &Dir) -> io::Result<Self> {
        Self::with_mode(dir, PRIVATE)
    }

    fn with_mode(dir: &Dir, mode: u32) -> io::Result<Self> {
        let cloned = dir.try_clone()?;
        let (name, file) = with_temporary_name(|name| create_exclusive(dir.as_fd(), name, mode))?;
        Ok(Self { dir: cloned, name: name.into(), file, remove_on_drop: true })
    }

    /// The open file, for reading and metadata; write through [`Write`] so that fault injection sees it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name it has until it is published.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Syncs data and metadata of the file.
    ///
    /// # Errors
    /// When the disk is full or fails; what was written is then not to be relied on.
    pub fn sync(&self) -> Result<()> {
        self.sync_io().at("sync", &self.name)
    }

    fn sync_io(&self) -> io::Result<()> {
        step(Op::Fsync, On::Open(self.file.as_fd()))?;
        Ok(rustix::fs::fsync(&self.file)?)
    }

    /// Renames it to `to`, replacing. Neither file nor directory is synced by this.
    ///
    /// # Errors
    /// When the target is a directory or may not be written; the file is then removed.
    pub fn publish(self, to_dir: &Dir, to: impl AsRef<Path>) -> Result<()> {
        self.publish_with(to_dir, to.as_ref(), RenameFlags::empty())
    }

    /// Renames it to `to`; `EEXIST` (and the temporary is removed) if taken.
    ///
    /// # Errors
    /// `EEXIST`, or when the target may not be written; the file is then removed.
    pub fn publish_noreplace(self, to_dir: &Dir, to: impl AsRef<Path>) -> Result<()> {
        self.publish_with(to_dir, to.as_ref(), RenameFlags::NOREPLACE)
    }

    fn publish_with(mut self, to_dir: &Dir, to: &Path, flags: RenameFlags) -> Result<()> {
        locate(to_dir, to).and_then(|place| self.rename_to(place.fd(), place.name, flags)).at("publish", to)
    }

    fn rename_to(&mut self, to_dir: BorrowedFd<'_>, to: &OsStr, flags: RenameFlags) -> io::Result<()> {
        rename_names(self.dir.as_fd(), &self.name, to_dir, to, flags)?;
        self.remove_on_drop = false;
        Ok(())
    }

    /// Leaves the file under its temporary or given name.
    ///
    /// # Errors
    /// When the system cannot give another handle on the file; the file stays.
    pub fn keep(mut self) -> Result<File> {
        self.remove_on_drop = false;
        self.file.try_clone().at("keep", OPEN_FILE)
    }
}

/// What a file has that nobody else may see yet.
pub(crate) const PRIVATE: u32 = 0o600;

/// `mode` is less the umask.
pub(crate) fn create_exclusive(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<File> {
    step(Op::Create, On::Name(dir, name))?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?.into())
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.remove_on_drop {
            // Nobody could act on a failure here: what stays is found by its name later.
            drop(unlink(self.dir.as_fd(), &self.name));
        }
    }
}

impl Write for Staged {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        step(Op::Write, On::Open(self.file.as_fd()))?;
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
