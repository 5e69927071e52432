//! What may be written once the real root runs.
//!
//! Between the initramfs and here, what remounts the root by `/etc/fstab` (or by the arguments `ro` and `rw` of the
//! kernel) works on the filesystem as a whole, and on whichever of its mounts it was told. This makes the mounts agree
//! with what was decided at boot. Running it twice is running it once.

use super::error::BootError;
use super::record::BootRecord;
use crate::labels;
use sapwood_fsio::mount::{self, Access};
use sapwood_fsio::{self as fsio, Dir};

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remounted {
    /// No deployment runs; nothing was done.
    NotBooted,
    /// The root is read-only by the administrator's wish, and so everything stays as it is.
    ReadOnlyRoot,
    /// `/sysroot`, `/etc` and `/var` may be written or not, as decided at boot.
    Done,
}

/// Settles what may be written in the system whose root is `root`: `/sysroot` as the record says, if it does,
/// `/etc` and `/var` always, where they are mounts of their own. An `/etc` in memory gets its label.
///
/// # Errors
/// When the record is malformed or a remount fails; what was done before stays.
pub fn remount(root: &Dir) -> Result<Remounted, BootError> {
    let Some(record) = BootRecord::read(root)? else { return Ok(Remounted::NotBooted) };
    if mount::access(root)? == Access::ReadOnly {
        return Ok(Remounted::ReadOnlyRoot);
    }
    for path in ["etc", "var"] {
        if let Some(dir) = mount_at(root, path)?
            && mount::access(&dir)? == Access::ReadOnly
        {
            mount::set_access(&dir, Access::ReadWrite)?;
        }
    }
    if record.transient_etc.is_some() {
        // It was made before the system had a policy. A boot does not end for want of a label.
        let etc = fsio::open_dir(root, "etc")?;
        if let Err(error) = labels::label_dir(root, &etc, "/etc") {
            tracing::warn!(%error, "/etc cannot be labelled");
        }
    }
    if let Some(wanted) = record.sysroot_access()
        && let Some(sysroot) = mount_at(root, "sysroot")?
        && mount::access(&sysroot)? != wanted
    {
        mount::set_access(&sysroot, wanted)?;
    }
    Ok(Remounted::Done)
}

/// Whether the system whose root is `root` is a deployment whose disk cannot be written, at `/sysroot` or `/boot`.
///
/// # Errors
/// When the record is malformed.
pub fn is_closed(root: &Dir) -> Result<bool, BootError> {
    Ok(BootRecord::read(root)?.is_some() && !closed(root)?.is_empty())
}

/// What is made writable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenUp {
    /// Mounts.
    Mounts,
    /// Filesystems as well that are read-only themselves, for the whole machine and until it is started again. They may be so by the
    /// wish of whoever mounted them, but also because the kernel found them damaged: so this is for what has to write.
    Filesystems,
}

/// Lets the disk be written where [`is_closed`] says that it cannot: for all who share the mount namespace, so the
/// caller takes one of its own first (see [`mount::unshare`]) and opens `root` after that. A filesystem that cannot be written
/// at all is left as it is.
///
/// # Errors
/// When the caller may not mount.
pub fn open_up(root: &Dir, what: OpenUp) -> Result<(), BootError> {
    mount::make_private(root)?;
    closed(root)?.iter().try_for_each(|dir| match what {
        OpenUp::Mounts => Ok(mount::set_access(dir, Access::ReadWrite)?),
        OpenUp::Filesystems => open(dir),
    })
}

/// Lets a mount be written, and its filesystem where that is needed.
fn open(dir: &Dir) -> Result<(), BootError> {
    mount::set_access(dir, Access::ReadWrite)?;
    if mount::access(dir)? == Access::ReadOnly
        && let Err(error) = mount::set_filesystem_access(dir, Access::ReadWrite)
    {
        // What only reads goes on; what writes says where it could not.
        tracing::debug!(%error, "a filesystem stays read-only");
    }
    Ok(())
}

/// Lets the disk be written by all who share the mount namespace for as long as `act` takes, if it [is
/// closed](is_closed): for what has to be seen by the whole system, as a mount. Then the mounts are read-only again; a
/// filesystem that was so itself is not, since what was mounted may go on to write to it.
///
/// # Errors
/// Those of `act`; when the caller may not mount, `act` is not called.
pub fn while_open<T, E: From<BootError>>(root: &Dir, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let dirs = if BootRecord::read(root)?.is_some() { closed(root)? } else { Vec::new() };
    dirs.iter().try_for_each(open)?;
    let acted = act();
    let closed = dirs.iter().try_for_each(|dir| mount::set_access(dir, Access::ReadOnly));
    let acted = acted?;
    closed.map_err(BootError::from)?;
    Ok(acted)
}

fn closed(root: &Dir) -> Result<Vec<Dir>, BootError> {
    let mut closed = Vec::new();
    for path in ["sysroot", "boot"] {
        if let Some(dir) = mount_at(root, path)?
            && mount::access(&dir)? == Access::ReadOnly
        {
            closed.push(dir);
        }
    }
    Ok(closed)
}

/// The directory at `path`, if something is mounted there.
fn mount_at(root: &Dir, path: &str) -> Result<Option<Dir>, BootError> {
    let Some(dir) = fsio::open_dir_optional(root, path)? else { return Ok(None) };
    Ok(mount::is_mount_point(&dir)?.then_some(dir))
}
