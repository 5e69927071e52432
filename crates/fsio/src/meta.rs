//! Attributes of files: kind, mode, owner, times, flags, and free space.

use crate::at::{locate, optional, proc_path, reopen};
use crate::fault::{On, Op, step};
use crate::{At, Dir, Kind, Result};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, IFlags, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What the system knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky (07777); no type bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Number of names.
    pub nlink: u64,
    /// Device that holds it.
    pub dev: u64,
    /// The mount it was found on: of no other mount until the machine is started again. `None` before Linux 6.8.
    pub mount: Option<u64>,
    /// Inode number.
    pub ino: u64,
    /// For device nodes, what they stand for.
    pub rdev: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Time of the last change of content: nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Time of the last change of content or attributes: nanoseconds since the epoch.
    pub ctime_ns: i128,
}

impl Stat {
    fn new(raw: &Statx) -> io::Result<Self> {
        let stx_mode = u32::from(raw.stx_mode);
        Ok(Self {
            kind: Kind::from_file_type(FileType::from_raw_mode(stx_mode)).ok_or(Errno::INVAL)?,
            mode: stx_mode & 0o7777,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            nlink: raw.stx_nlink.into(),
            dev: rustix::fs::makedev(raw.stx_dev_major, raw.stx_dev_minor),
            mount: (raw.stx_mask & UNIQUE_MOUNT_ID.bits() != 0).then_some(raw.stx_mnt_id),
            ino: raw.stx_ino,
            rdev: rustix::fs::makedev(raw.stx_rdev_major, raw.stx_rdev_minor),
            blocks: raw.stx_blocks,
            mtime_ns: i128::from(raw.stx_mtime.tv_sec) * NANOS + i128::from(raw.stx_mtime.tv_nsec),
            ctime_ns: i128::from(raw.stx_ctime.tv_sec) * NANOS + i128::from(raw.stx_ctime.tv_nsec),
        })
    }
}

const NANOS: i128 = 1_000_000_000;

/// `STATX_MNT_ID_UNIQUE` of the kernel; one that does not know it leaves it out of its answer.
const UNIQUE_MOUNT_ID: StatxFlags = StatxFlags::from_bits_retain(0x4000);

pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Stat::new(&rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS.union(UNIQUE_MOUNT_ID))?)
}

fn stat_path(dir: &Dir, path: &Path) -> io::Result<Stat> {
    let place = locate(dir, path)?;
    stat_at(place.fd(), place.name)
}

/// Attributes of what is at `path`, not followed.
///
/// # Errors
/// When nothing is there, or the way to it cannot be walked.
pub fn stat(dir: &Dir, path: impl AsRef<Path>) -> Result<Stat> {
    stat_path(dir, path.as_ref()).at("examine", path)
}

/// As [`stat`], with `None` where nothing of that name exists.
///
/// # Errors
/// When the way to it cannot be walked.
pub fn stat_optional(dir: &Dir, path: impl AsRef<Path>) -> Result<Option<Stat>> {
    optional(stat_path(dir, path.as_ref())).at("examine", path)
}

/// Attributes of the directory itself.
///
/// # Errors
/// When the system cannot tell.
pub fn stat_dir(dir: &Dir) -> Result<Stat> {
    stat_at(dir.as_fd(), OsStr::new("")).at("examine", ".")
}

/// Attributes of an open file.
///
/// # Errors
/// When the system cannot tell.
pub fn stat_open(file: &impl AsFd) -> Result<Stat> {
    stat_at(file.as_fd(), OsStr::new("")).at("examine", OPEN_FILE)
}

/// Stands for the path in errors about open files.
pub(crate) const OPEN_FILE: &str = "open file";

/// Sets the permission bits (07777) of an open file or directory (a [`Dir`] is one).
///
/// # Errors
/// When the file belongs to someone else, or the filesystem is read-only.
pub fn set_mode(file: &impl AsFd, mode: u32) -> Result<()> {
    set_mode_fd(file.as_fd(), mode).at("set the mode of", OPEN_FILE)
}

pub(crate) fn set_mode_fd(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    step(Op::Chmod, On::Open(fd))?;
    match rustix::fs::fchmod(fd, mode) {
        // Opened with O_PATH.
        Err(Errno::BADF) => Ok(rustix::fs::chmodat(CWD, proc_path(fd), mode, AtFlags::empty())?),
        other => Ok(other?),
    }
}

/// Sets the permission bits of the file or directory at `path`; a symlink is refused.
///
/// # Errors
/// `ELOOP` for a symlink; or when nothing is there, it belongs to someone else, or the filesystem is read-only.
pub fn set_mode_of(dir: &Dir, path: impl AsRef<Path>, mode: u32) -> Result<()> {
    set_mode_path(dir, path.as_ref(), mode).at("set the mode of", path)
}

pub(crate) fn set_mode_path(dir: &Dir, path: &Path, mode: u32) -> io::Result<()> {
    let place = locate(dir, path)?;
    // No `fchmodat` before Linux 6.6 can leave symlinks alone, so the file is pinned first and looked at.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(place.fd(), place.name, flags, Mode::empty())?;
    if stat_at(file.as_fd(), OsStr::new(""))?.kind == Kind::Symlink {
        return Err(Errno::LOOP.into());
    }
    step(Op::Chmod, On::Name(place.fd(), place.name))?;
    let mode = Mode::from_raw_mode(mode & 0o7777);
    Ok(rustix::fs::chmodat(CWD, proc_path(file.as_fd()), mode, AtFlags::empty())?)
}

/// Sets owner and group of an open file or directory. The system clears setuid and setgid bits with it.
///
/// # Errors
/// When not privileged, or the filesystem is read-only.
pub fn set_owner(file: &impl AsFd, uid: u32, gid: u32) -> Result<()> {
    let fd = file.as_fd();
    step(Op::Chown, On::Open(fd))
        .and_then(|()| chown(fd, OsStr::new(""), uid, gid))
        .at("set the owner of", OPEN_FILE)
}

/// Sets owner and group of what is at `path`, not followed: works on symlinks. The system clears setuid and setgid
/// bits of files with it.
///
/// # Errors
/// When nothing is there, when not privileged, or the filesystem is read-only.
pub fn set_owner_of(dir: &Dir, path: impl AsRef<Path>, uid: u32, gid: u32) -> Result<()> {
    locate(dir, path.as_ref())
        .and_then(|place| {
            step(Op::Chown, On::Name(place.fd(), place.name))?;
            chown(place.fd(), place.name, uid, gid)
        })
        .at("set the owner of", path.as_ref())
}

fn chown(dir: BorrowedFd<'_>, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
    // To the system the highest number means "leave as it is".
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(rustix::fs::chownat(dir, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)?)
}

/// Sets access and modification time of an open file or directory, in nanoseconds since the epoch.
///
/// # Errors
/// When the file belongs to someone else, or the filesystem is read-only; `EINVAL` for a time past what the system can
/// express.
pub fn set_mtime(file: &impl AsFd, mtime_ns: i128) -> Result<()> {
    set_mtime_fd(file.as_fd(), mtime_ns).at("set the time of", OPEN_FILE)
}

fn set_mtime_fd(fd: BorrowedFd<'_>, mtime_ns: i128) -> io::Result<()> {
    let time = timespec(mtime_ns).ok_or(Errno::INVAL)?;
    let times = Timestamps { last_access: time, last_modification: time };
    step(Op::Utimens, On::Open(fd))?;
    match rustix::fs::futimens(fd, &times) {
        Err(Errno::BADF) => Ok(rustix::fs::utimensat(CWD, proc_path(fd), &times, AtFlags::empty())?),
        other => Ok(other?),
    }
}

fn timespec(ns: i128) -> Option<Timespec> {
    Some(Timespec {
        tv_sec: ns.div_euclid(NANOS).try_into().ok()?,
        tv_nsec: ns.rem_euclid(NANOS).try_into().ok()?,
    })
}

/// Sets or clears the immutable flag. `false` where filesystem or privileges do not allow it: never an error for that.
///
/// # Errors
/// When the directory cannot be opened again, or the disk fails.
pub fn set_immutable(dir: &Dir, immutable: bool) -> Result<bool> {
    reopen(dir).and_then(|dir| set_immutable_fd(dir.as_fd(), immutable)).at("set the immutable flag of", ".")
}

/// `fd` must be open for reading.
pub(crate) fn set_immutable_fd(fd: BorrowedFd<'_>, immutable: bool) -> io::Result<bool> {
    let refused = |error: &Errno| {
        [Errno::PERM, Errno::ACCESS, Errno::NOTTY, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]
            .contains(error)
    };
    let flags = match rustix::fs::ioctl_getflags(fd) {
        Ok(flags) => flags,
        Err(error) if refused(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut wanted = flags;
    wanted.set(IFlags::IMMUTABLE, immutable);
    if wanted == flags {
        return Ok(true);
    }
    step(Op::SetFlags, On::Open(fd))?;
    match rustix::fs::ioctl_setflags(fd, wanted) {
        Ok(()) => Ok(true),
        Err(error) if refused(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `dir` is on a FAT filesystem, which has no links, owners or modes of its own.
///
/// # Errors
/// When the system cannot tell.
pub fn is_fat(dir: &Dir) -> Result<bool> {
    // `MSDOS_SUPER_MAGIC` of the kernel.
    Ok(rustix::fs::fstatfs(dir).at("find out the filesystem of", ".")?.f_type == 0x4d44)
}

/// Whether copies in the filesystem that holds `dir` may share their blocks: so on btrfs and, mostly, on XFS.
///
/// # Errors
/// When the system cannot tell.
pub fn may_reflink(dir: &Dir) -> Result<bool> {
    // `BTRFS_SUPER_MAGIC` and `XFS_SUPER_MAGIC` of the kernel.
    let magic = rustix::fs::fstatfs(dir).at("find out the filesystem of", ".")?.f_type;
    Ok([0x9123_683e, 0x5846_5342].contains(&magic))
}

/// Room on a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes that an unprivileged writer may still take.
    pub available_bytes: u64,
    /// Bytes not in use, what is set aside for root included.
    pub free_bytes: u64,
    /// Size of the filesystem.
    pub total_bytes: u64,
    /// Size of a block.
    pub block_bytes: u64,
}

/// Room on the filesystem that holds `dir`.
///
/// # Errors
/// When the system cannot tell.
pub fn free_space(dir: &Dir) -> Result<FreeSpace> {
    let stat = rustix::fs::fstatvfs(dir).at("measure the room of", ".")?;
    let block_bytes = stat.f_frsize.max(1);
    Ok(FreeSpace {
        available_bytes: stat.f_bavail.saturating_mul(block_bytes),
        free_bytes: stat.f_bfree.saturating_mul(block_bytes),
        total_bytes: stat.f_blocks.saturating_mul(block_bytes),
        block_bytes,
    })
}
