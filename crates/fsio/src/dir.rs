//! Directories and the names in them.

use crate::at::{locate, name_the_escape, open_dir_at, optional, reopen, with_temporary_name};
use crate::fault::{On, Op, step};
use crate::meta::stat_at;
use crate::{At, Dir, Result};
use rustix::fs::{AtFlags, FileType, Mode, RawDir, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
}

impl Kind {
    pub(crate) fn from_file_type(kind: FileType) -> Option<Self> {
        Some(match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Socket => Self::Socket,
            FileType::Unknown => return None,
        })
    }
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, one path component.
    pub name: OsString,
    /// What it stands for, not followed if it is a symlink.
    pub kind: Kind,
    /// The inode number.
    pub ino: u64,
}

/// Opens the directory at `path`. A symlink as last component is refused.
///
/// # Errors
/// `ENOTDIR` for anything but a directory; or when nothing is there, or it may not be read.
pub fn open_dir(dir: &Dir, path: impl AsRef<Path>) -> Result<Dir> {
    open_dir_path(dir, path.as_ref()).at("open", path)
}

/// As [`open_dir`], with `None` where nothing of that name exists.
///
/// # Errors
/// As [`open_dir`].
pub fn open_dir_optional(dir: &Dir, path: impl AsRef<Path>) -> Result<Option<Dir>> {
    optional(open_dir_path(dir, path.as_ref())).at("open", path)
}

/// As [`open_dir`], but a symlink as last component is followed, as long as it stays inside `dir`.
///
/// # Errors
/// As [`open_dir`]; `EXDEV` for a symlink that leads out of `dir`.
pub fn open_dir_followed(dir: &Dir, path: impl AsRef<Path>) -> Result<Dir> {
    let open = |path| dir.open_dir(path).map_err(name_the_escape);
    open(path.as_ref()).at("open", path)
}

fn open_dir_path(dir: &Dir, path: &Path) -> io::Result<Dir> {
    let place = locate(dir, path)?;
    open_dir_at(place.fd(), place.name)
}

/// All names in `dir` but `.` and `..`, sorted by bytes.
///
/// The whole list is held in memory. Can be called on one directory by several threads at once.
///
/// # Errors
/// When the directory may not be read, or was removed.
pub fn entries(dir: &Dir) -> Result<Vec<Entry>> {
    reopen(dir).and_then(|dir| list(dir.as_fd())).at("list", ".")
}

/// `dir` must be open for reading, at its start.
pub(crate) fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut buffer = [MaybeUninit::uninit(); 16384];
    let mut raw = RawDir::new(dir, &mut buffer);
    let mut all = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match Kind::from_file_type(entry.file_type()) {
            Some(kind) => kind,
            None => match optional(stat_at(dir, name))? {
                Some(stat) => stat.kind,
                None => continue,
            },
        };
        all.push(Entry { name: name.to_owned(), kind, ino: entry.ino() });
    }
    all.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(all)
}

/// Creates the directory `name` with exactly `mode` (the umask is not applied) and opens it.
///
/// # Errors
/// `EEXIST` if the name is taken; or when the parent may not be written, or the disk is full or fails.
pub fn create_dir(dir: &Dir, name: impl AsRef<Path>, mode: u32) -> Result<Dir> {
    let create = |path| {
        let place = locate(dir, path)?;
        mkdir(place.fd(), place.name, 0o700)?;
        let created = open_dir_at(place.fd(), place.name)?;
        crate::meta::set_mode_fd(created.as_fd(), mode)?;
        Ok::<_, io::Error>(created)
    };
    create(name.as_ref()).at("create", name)
}

fn mkdir(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    step(Op::Mkdir, On::Name(dir, name))?;
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode & 0o7777))?)
}

/// Opens the directory at `path`, creating it and its missing parents with `mode` less the umask.
///
/// # Errors
/// `ENOTDIR` if something else has one of the names, `EXDEV` if there is a `..` in a path that has to be created; or
/// when a directory may not be written, or the disk is full or fails.
pub fn ensure_dir(dir: &Dir, path: impl AsRef<Path>, mode: u32) -> Result<Dir> {
    ensure(dir, path.as_ref(), mode).at("create", path)
}

fn ensure(dir: &Dir, path: &Path, mode: u32) -> io::Result<Dir> {
    if let Some(found) = optional(open_dir_path(dir, path))? {
        return Ok(found);
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Errno::XDEV.into());
    }
    // The deepest parent that exists; it may be reached through symlinks, as long as they stay inside.
    let mut existing = path.parent().unwrap_or(Path::new(""));
    let mut at = loop {
        if existing.as_os_str().is_empty() {
            break reopen(dir)?;
        }
        match optional(dir.open_dir(existing))? {
            Some(found) => break found,
            None => existing = existing.parent().unwrap_or(Path::new("")),
        }
    };
    let missing: PathBuf = path.strip_prefix(existing).unwrap_or(path).to_owned();
    for part in &missing {
        match mkdir(at.as_fd(), part, mode) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // Made, or another process was faster.
            _ => at = open_dir_at(at.as_fd(), part)?,
        }
    }
    Ok(at)
}

/// Removes the file, symlink or node at `path`.
///
/// # Errors
/// When nothing is there, when it is a directory, or the directory that holds it may not be written.
pub fn remove_file(dir: &Dir, path: impl AsRef<Path>) -> Result<()> {
    unlink_path(dir, path.as_ref()).at("remove", path)
}

/// As [`remove_file`]; says whether there was one.
///
/// # Errors
/// As [`remove_file`].
pub fn remove_file_optional(dir: &Dir, path: impl AsRef<Path>) -> Result<bool> {
    Ok(optional(unlink_path(dir, path.as_ref())).at("remove", path)?.is_some())
}

fn unlink_path(dir: &Dir, path: &Path) -> io::Result<()> {
    let place = locate(dir, path)?;
    unlink(place.fd(), place.name)
}

pub(crate) fn unlink(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    step(Op::Unlink, On::Name(dir, name))?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Removes the empty directory at `path`.
///
/// # Errors
/// `ENOTEMPTY`; or when nothing is there, it is no directory, or its parent may not be written.
pub fn remove_dir(dir: &Dir, path: impl AsRef<Path>) -> Result<()> {
    locate(dir, path.as_ref()).and_then(|place| rmdir(place.fd(), place.name)).at("remove", path.as_ref())
}

pub(crate) fn rmdir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    step(Op::Rmdir, On::Name(dir, name))?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Renames, replacing what is at `to`. Not durable before [`sync_dir`] of both directories.
///
/// # Errors
/// `EXDEV` across filesystems; when nothing is at `from`, when one is a directory and the other not, when a directory at
/// `to` is not empty, or when one of the parents may not be written. Nothing changed then.
pub fn rename(from_dir: &Dir, from: impl AsRef<Path>, to_dir: &Dir, to: impl AsRef<Path>) -> Result<()> {
    rename_paths(from_dir, from.as_ref(), to_dir, to.as_ref(), RenameFlags::empty())
        .at("rename", both(from.as_ref(), "to", to.as_ref()))
}

/// Renames; fails with `EEXIST` if `to` exists.
///
/// # Errors
/// As [`rename`], and `EEXIST`.
pub fn rename_noreplace(
    from_dir: &Dir,
    from: impl AsRef<Path>,
    to_dir: &Dir,
    to: impl AsRef<Path>,
) -> Result<()> {
    rename_paths(from_dir, from.as_ref(), to_dir, to.as_ref(), RenameFlags::NOREPLACE)
        .at("rename", both(from.as_ref(), "to", to.as_ref()))
}

/// Swaps two names atomically.
///
/// # Errors
/// When one of them does not exist, they are on two filesystems, or the filesystem cannot (`EINVAL`).
pub fn exchange(a_dir: &Dir, a: impl AsRef<Path>, b_dir: &Dir, b: impl AsRef<Path>) -> Result<()> {
    rename_paths(a_dir, a.as_ref(), b_dir, b.as_ref(), RenameFlags::EXCHANGE)
        .at("swap", both(a.as_ref(), "and", b.as_ref()))
}

/// Both names for an error message.
fn both(a: &Path, word: &str, b: &Path) -> PathBuf {
    let mut text = a.as_os_str().to_owned();
    text.push(format!(" {word} "));
    text.push(b);
    text.into()
}

fn rename_paths(from_dir: &Dir, from: &Path, to_dir: &Dir, to: &Path, flags: RenameFlags) -> io::Result<()> {
    let from = locate(from_dir, from)?;
    let to = locate(to_dir, to)?;
    rename_names(from.fd(), from.name, to.fd(), to.name, flags)
}

pub(crate) fn rename_names(
    from_dir: BorrowedFd<'_>,
    from: &OsStr,
    to_dir: BorrowedFd<'_>,
    to: &OsStr,
    flags: RenameFlags,
) -> io::Result<()> {
    step(Op::Rename, On::Move(from_dir, from, to_dir, to))?;
    if flags.is_empty() {
        return Ok(rustix::fs::renameat(from_dir, from, to_dir, to)?);
    }
    match rustix::fs::renameat_with(from_dir, from, to_dir, to, flags) {
        // Some filesystems (ZFS, NFS) cannot; a link refuses a name that is taken as well.
        Err(Errno::INVAL | Errno::NOSYS) if flags == RenameFlags::NOREPLACE => {
            rustix::fs::linkat(from_dir, from, to_dir, to, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(from_dir, from, AtFlags::empty())?)
        }
        outcome => Ok(outcome?),
    }
}

/// Gives the file at `from` a second name. Never replaces: `EEXIST` if `to` exists. A symlink is itself linked.
///
/// # Errors
/// `EEXIST`; `EXDEV` across filesystems; `EMLINK` when it has too many names; `EPERM` for a directory.
pub fn hardlink(from_dir: &Dir, from: impl AsRef<Path>, to_dir: &Dir, to: impl AsRef<Path>) -> Result<()> {
    let link = || {
        let from = locate(from_dir, from.as_ref())?;
        let to = locate(to_dir, to.as_ref())?;
        step(Op::Link, On::Move(from.fd(), from.name, to.fd(), to.name))?;
        Ok::<_, io::Error>(rustix::fs::linkat(from.fd(), from.name, to.fd(), to.name, AtFlags::empty())?)
    };
    link().at("link", both(from.as_ref(), "to", to.as_ref()))
}

/// Creates a symlink holding exactly the bytes `target`.
///
/// # Errors
/// `EEXIST` if the name is taken; or when the directory may not be written, or the disk is full or fails.
pub fn symlink(target: impl AsRef<OsStr>, dir: &Dir, name: impl AsRef<Path>) -> Result<()> {
    locate(dir, name.as_ref())
        .and_then(|place| symlink_at(target.as_ref(), place.fd(), place.name))
        .at("create", name.as_ref())
}

fn symlink_at(target: &OsStr, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    step(Op::Symlink, On::Name(dir, name))?;
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

/// Creates or atomically replaces a symlink (temporary name, then rename). Not synced.
///
/// # Errors
/// When a directory has the name, the parent may not be written, or the disk is full or fails. What was there stays.
pub fn replace_symlink(target: impl AsRef<OsStr>, dir: &Dir, name: impl AsRef<Path>) -> Result<()> {
    let replace = || {
        let place = locate(dir, name.as_ref())?;
        let (temporary, ()) = with_temporary_name(|name| symlink_at(target.as_ref(), place.fd(), name))?;
        let temporary = OsStr::new(&temporary);
        let renamed = rename_names(place.fd(), temporary, place.fd(), place.name, RenameFlags::empty());
        if renamed.is_err() {
            // The first failure is the one to report.
            drop(unlink(place.fd(), temporary));
        }
        renamed
    };
    replace().at("replace", name.as_ref())
}

/// Creates a fifo or a device node with exactly `mode`; `rdev` is ignored for a fifo.
///
/// # Errors
/// `EINVAL` for any other kind; `EEXIST` if the name is taken; `EPERM` for a device without the privilege.
pub fn make_node(dir: &Dir, name: impl AsRef<Path>, kind: Kind, mode: u32, rdev: u64) -> Result<()> {
    let make = || {
        let (file_type, rdev) = match kind {
            Kind::Fifo => (FileType::Fifo, 0),
            Kind::CharDevice => (FileType::CharacterDevice, rdev),
            Kind::BlockDevice => (FileType::BlockDevice, rdev),
            Kind::File | Kind::Dir | Kind::Symlink | Kind::Socket => {
                return Err(io::Error::from(Errno::INVAL));
            }
        };
        let place = locate(dir, name.as_ref())?;
        step(Op::Mknod, On::Name(place.fd(), place.name))?;
        rustix::fs::mknodat(place.fd(), place.name, file_type, Mode::empty(), rdev)?;
        crate::meta::set_mode_path(place.dir(), Path::new(place.name), mode)
    };
    make().at("create", name.as_ref())
}

/// The target of the symlink at `path`, as stored.
///
/// # Errors
/// `EINVAL` if it is no symlink; or when nothing is there.
pub fn read_link(dir: &Dir, path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let read = || {
        let place = locate(dir, path.as_ref())?;
        Ok::<_, io::Error>(rustix::fs::readlinkat(place.fd(), place.name, Vec::new())?.into_bytes())
    };
    read().at("read the link", path.as_ref())
}

/// Makes the names in `dir` durable.
///
/// # Errors
/// When the disk fails.
pub fn sync_dir(dir: &Dir) -> Result<()> {
    sync_dir_fd(dir.as_fd()).at("sync", ".")
}

pub(crate) fn sync_dir_fd(dir: BorrowedFd<'_>) -> io::Result<()> {
    step(Op::Fsync, On::Open(dir))?;
    match rustix::fs::fsync(dir) {
        // Opened with O_PATH.
        Err(Errno::BADF) => Ok(rustix::fs::fsync(reopen(dir)?)?),
        other => Ok(other?),
    }
}

/// Makes durable all that was written to the filesystem that holds `dir`.
///
/// # Errors
/// When the disk fails, for whatever file of that filesystem.
pub fn syncfs(dir: &Dir) -> Result<()> {
    let sync = |dir: BorrowedFd<'_>| {
        step(Op::Syncfs, On::Open(dir))?;
        match rustix::fs::syncfs(dir) {
            Err(Errno::BADF) => Ok(rustix::fs::syncfs(reopen(dir)?)?),
            other => Ok::<_, io::Error>(other?),
        }
    };
    sync(dir.as_fd()).at("sync the filesystem of", ".")
}
