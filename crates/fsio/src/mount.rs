//! Mounts, named by open directories.
//!
//! The calls of Linux for mounts take paths; here they get `/proc/self/fd/N`, so that what is mounted, and where, is
//! what was opened, whatever happens to names meanwhile. A [`Dir`] opened before something was mounted over it still
//! shows what is below; the functions here therefore return the directory that is seen at the place from then on.
//!
//! All of them need `CAP_SYS_ADMIN` in the user namespace that owns the mount namespace. None changes a disk.

use crate::at::{locate, open_dir_at, proc_path};
use crate::{At, Dir, Result};
use rustix::fs::{AtFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Whether a mount, or a filesystem, may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may not.
    ReadOnly,
    /// It may.
    ReadWrite,
}

/// Shows the directory `from` at `path` too, without what is mounted below it; returns the directory at `path`.
///
/// # Errors
/// When `path` is no directory, or the caller may not mount.
pub fn bind(from: &Dir, dir: &Dir, path: impl AsRef<Path>) -> Result<Dir> {
    onto(dir, path.as_ref(), |target| Ok(rustix::mount::mount_bind(proc_path(from.as_fd()), target)?))
        .at("bind-mount on", path)
}

/// Mounts on `path` the directory `lower` with what is written going to `upper`, which like `work` must be on one
/// filesystem that takes it; returns the directory at `path`.
///
/// # Errors
/// When `path` is no directory, the filesystem of `upper` cannot hold it, or the caller may not mount.
pub fn overlay(lower: &Dir, upper: &Dir, work: &Dir, dir: &Dir, path: impl AsRef<Path>) -> Result<Dir> {
    let mount = |target: Vec<u8>| {
        let mut options = Vec::new();
        for (key, dir) in [("lowerdir=", lower), (",upperdir=", upper), (",workdir=", work)] {
            options.extend_from_slice(key.as_bytes());
            options.extend(proc_path(dir.as_fd()));
        }
        let options = CString::new(options)?;
        Ok(rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()))?)
    };
    onto(dir, path.as_ref(), mount).at("mount an overlay on", path)
}

/// Mounts a new filesystem in memory on `path`, its root with `mode`; returns the directory at `path`.
///
/// # Errors
/// When `path` is no directory, or the caller may not mount.
pub fn tmpfs(dir: &Dir, path: impl AsRef<Path>, mode: u32) -> Result<Dir> {
    let mount = |target: Vec<u8>| {
        let options = CString::new(format!("mode={:o}", mode & 0o7777))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        Ok(rustix::mount::mount("tmpfs", target, "tmpfs", flags, Some(options.as_c_str()))?)
    };
    onto(dir, path.as_ref(), mount).at("mount a tmpfs on", path)
}

/// Moves the mount whose root `from` is, with all that is mounted below, to `path`; returns the directory at `path`.
///
/// # Errors
/// `EINVAL` when `from` is not the root of a mount, or its parent is a shared one (see [`make_private`]).
pub fn move_to(from: &Dir, dir: &Dir, path: impl AsRef<Path>) -> Result<Dir> {
    onto(dir, path.as_ref(), |target| Ok(rustix::mount::mount_move(proc_path(from.as_fd()), target)?))
        .at("move a mount to", path)
}

/// Makes the mount whose root `dir` is the root directory of this process, and of all that have the old one; the old
/// one is seen at `old` in it. The working directory becomes the new root.
///
/// # Errors
/// `EINVAL` when `dir` is not the root of a mount, when the old root is none (as in an initramfs), or when either is
/// below a shared mount.
pub fn pivot(dir: &Dir, old: &str) -> Result<()> {
    let pivot = || -> io::Result<()> {
        rustix::process::fchdir(dir)?;
        rustix::process::pivot_root(".", old)?;
        rustix::process::chroot(".")?;
        Ok(rustix::process::chdir("/")?)
    };
    pivot().at("change the root directory to", ".")
}

/// Says whether this mount, whose root `dir` is, may be written; other mounts of its filesystem are not concerned.
///
/// # Errors
/// `EINVAL` when it is not the root of a mount; or when the caller may not mount.
pub fn set_access(dir: &Dir, access: Access) -> Result<()> {
    remount(dir, access, MountFlags::BIND).at("remount", ".")
}

/// As [`set_access`], for the filesystem itself and so for all its mounts that are not read-only by themselves.
///
/// # Errors
/// As [`set_access`]; `EROFS` or `EBUSY` when the filesystem cannot change.
pub fn set_filesystem_access(dir: &Dir, access: Access) -> Result<()> {
    remount(dir, access, MountFlags::empty()).at("remount the filesystem of", ".")
}

/// Whether this place, the mount or its filesystem, refuses writes.
///
/// # Errors
/// When the system cannot tell.
pub fn access(dir: &Dir) -> Result<Access> {
    let flags = rustix::fs::fstatvfs(dir).map(|stat| stat.f_flag).map_err(io::Error::from);
    let read_only = flags.at("examine the mount of", ".")?.contains(StatVfsMountFlags::RDONLY);
    Ok(if read_only { Access::ReadOnly } else { Access::ReadWrite })
}

/// Whether `dir` is the root of a mount.
///
/// # Errors
/// When the system cannot tell: it is older than Linux 5.8.
pub fn is_mount_point(dir: &Dir) -> Result<bool> {
    let look = || -> io::Result<bool> {
        let stat = rustix::fs::statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        if !stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(Errno::NOTSUP.into());
        }
        Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    look().at("examine the mount of", ".")
}

/// Takes the mount whose root `dir` is, and all below, out of the tree; what has files open there keeps them.
///
/// # Errors
/// `EINVAL` when it is not the root of a mount.
pub fn detach(dir: &Dir) -> Result<()> {
    let detached = rustix::mount::unmount(proc_path(dir.as_fd()), UnmountFlags::DETACH);
    detached.map_err(io::Error::from).at("unmount", ".")
}

/// Keeps changes of the mount whose root `dir` is, and of all below, from reaching other mount namespaces, and theirs
/// from coming here.
///
/// # Errors
/// `EINVAL` when it is not the root of a mount.
pub fn make_private(dir: &Dir) -> Result<()> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(proc_path(dir.as_fd()), flags)
        .map_err(io::Error::from)
        .at("make private", ".")
}

/// Gives this thread, and what it starts from now on, a mount namespace of its own. Mounts made in it still reach the
/// old one unless [`make_private`] follows. Directories opened before belong to the old one.
///
/// # Errors
/// When the caller may not, or another thread shares its working directory and the system refuses that.
#[expect(unsafe_code, reason = "the call can unshare descriptors too; this use does not")]
pub fn unshare() -> Result<()> {
    // SAFETY: of what can be unshared, only the table of descriptors is unsound to part with (a descriptor could be
    // owned in one and closed in the other); mount namespaces hold no descriptors.
    let unshared = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
    unshared.map_err(io::Error::from).at("leave the mount namespace of", ".")
}

/// Calls `mount` with the name of the directory at `path`, then opens what is there now.
fn onto(dir: &Dir, path: &Path, mount: impl FnOnce(Vec<u8>) -> io::Result<()>) -> io::Result<Dir> {
    let place = locate(dir, path)?;
    let below = open_dir_at(place.fd(), place.name)?;
    mount(proc_path(below.as_fd()))?;
    open_dir_at(place.fd(), place.name)
}

fn remount(dir: &Dir, access: Access, extra: MountFlags) -> io::Result<()> {
    // What is not said again is lost; the system keeps only what concerns times of access.
    let has = rustix::fs::fstatvfs(dir)?.f_flag;
    let mut flags = extra;
    for (on, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::SYNCHRONOUS, MountFlags::SYNCHRONOUS),
    ] {
        if has.contains(on) {
            flags |= flag;
        }
    }
    if access == Access::ReadOnly {
        flags |= MountFlags::RDONLY;
    }
    Ok(rustix::mount::mount_remount(proc_path(dir.as_fd()), flags, c"")?)
}
