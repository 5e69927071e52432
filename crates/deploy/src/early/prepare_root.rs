//! From the mounted disk to the root of a deployment.
//!
//! The view is put together at a place of its own and moved to where the disk was mounted in one step at the end, so
//! that a failure on the way leaves the disk mounted as it was. Nothing on the disk is changed but, where the
//! configuration asks for it, the directories of overlays: where those are on the disk, and it is mounted read-only, it is made
//! writable first.

use super::cmdline::BootTarget;
use super::config::BootConfig;
use super::error::BootError;
use super::fstab::Fstab;
use super::record::BootRecord;
use crate::deployment::{DeploymentId, StaterootName};
use crate::{labels, layout};
use sapwood_fsio::mount::{self, Access};
use sapwood_fsio::{self as fsio, Dir, Kind};

/// Where the view is put together, in the initramfs.
const ASSEMBLY: &str = "sysroot.tmp";
/// Its own directory for state of the running system.
const RUN: &str = "run/ostree";
/// Says that `/var` is mounted: it was not left to systemd.
pub(super) const VAR_MOUNTED: &str = "run/ostree/initramfs-mount-var";

/// Who mounts `/var`, and `/boot` where that is on the disk's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnMounts {
    /// This program, since perhaps nobody will later; but not what `/etc/fstab` of the deployment mounts.
    Now,
    /// systemd, by units that the generator makes (see [`boot_units`](crate::boot_units)).
    BySystemd,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRoot {
    /// The deployment that is being booted.
    pub deployment: DeploymentId,
    /// What was written to `/run/ostree-booted`.
    pub record: BootRecord,
}

/// Turns the disk that is mounted at `mounted` below `root` (the root of the initramfs) into a view of the deployment
/// that `target` names. Afterwards the disk is seen at `sysroot` in it.
///
/// - `/usr` is read-only, or an overlay where the deployment was unlocked with a hotfix.
/// - `/etc` and `/` are as `config` says.
/// - `/run/ostree-booted` says what was done.
///
/// # Errors
/// When the target leads to no deployment, or a mount fails. The disk then still is where it was.
pub fn prepare_root(
    root: &Dir,
    mounted: &str,
    target: &BootTarget,
    config: &BootConfig,
    own: OwnMounts,
) -> Result<PreparedRoot, BootError> {
    let disk = fsio::open_dir(root, mounted)?;
    let deployment = resolve(&disk, target)?;
    let source = fsio::open_dir(&disk, layout::deployment_dir(&deployment))?;
    let stat = fsio::stat_dir(&source)?;

    // Moving out of a shared mount is refused.
    mount::make_private(&fsio::open_dir(root, ".")?)?;
    let run = fsio::ensure_dir(root, RUN, 0o755)?;
    fsio::ensure_dir(&run, ".private", 0)?;
    fsio::ensure_dir(root, ASSEMBLY, 0o755)?;
    let mut record = BootRecord {
        backing_root: Some((stat.dev, stat.ino)),
        sysroot_read_only: config.sysroot_read_only,
        root_transient: config.root_transient,
        transient_etc: None,
    };
    make_writable_for_overlays(&disk, &source, config.root_transient)?;
    let view = mount_root(root, &disk, &deployment, &source, config)?;
    let assembled = assemble(root, &view, &disk, &deployment, config, own, &mut record);
    let finished = assembled.and_then(|()| {
        record.write(root)?;
        mount::detach(&fsio::open_dir(root, mounted)?)?;
        mount::move_to(&view, root, mounted)?;
        Ok(())
    });
    if finished.is_err() {
        // Best effort: the failure that led here is the one to tell.
        let _left = mount::detach(&view);
    }
    finished?;
    fsio::remove_dir(root, ASSEMBLY)?;
    Ok(PreparedRoot { deployment, record })
}

/// As [`prepare_root`] without an initramfs: the caller is the first process, and `root` the disk itself. Afterwards
/// the deployment is the root directory of the caller, with a new `/run` and with `/var`, and the disk at `/sysroot`.
///
/// There being no initramfs, there is no `prepare-root.conf`: of the configuration, only the repository's counts.
///
/// # Errors
/// When the target leads to no deployment, or a mount fails.
pub fn enter_root(root: &Dir, target: &BootTarget) -> Result<PreparedRoot, BootError> {
    let deployment = resolve(root, target)?;
    let path = layout::deployment_dir(&deployment);
    let source = fsio::open_dir(root, &path)?;
    let stat = fsio::stat_dir(&source)?;
    mount::make_private(root)?;
    make_writable_for_overlays(root, &source, false)?;
    let view = mount::bind(&source, root, &path)?;
    let run = mount::tmpfs(&view, "run", 0o755)?;
    fsio::ensure_dir(&run, "ostree", 0o755)?;
    mount_usr(&view, root, &deployment)?;
    let config = BootConfig::read(root, root)?;
    if config.sysroot_read_only {
        mount::bind(&fsio::open_dir(&source, "etc")?, &view, "etc")?;
    }
    mount_own(root, &view, &deployment)?;
    fsio::replace(&view, VAR_MOUNTED, 0o644, b"")?;
    let record = BootRecord {
        backing_root: Some((stat.dev, stat.ino)),
        sysroot_read_only: config.sysroot_read_only,
        ..BootRecord::default()
    };
    record.write(&view)?;
    mount::pivot(&view, "sysroot")?;
    if config.sysroot_read_only {
        mount::set_access(&fsio::open_dir(&view, "sysroot")?, Access::ReadOnly)?;
    }
    Ok(PreparedRoot { deployment, record })
}

/// The root of the view: the deployment itself, or an overlay over it.
fn mount_root(
    root: &Dir,
    disk: &Dir,
    deployment: &DeploymentId,
    source: &Dir,
    config: &BootConfig,
) -> Result<Dir, BootError> {
    if !config.root_transient {
        return Ok(mount::bind(source, root, ASSEMBLY)?);
    }
    let backing = fsio::ensure_dir(disk, layout::backing_dir(deployment), 0o700)?;
    let upper = fsio::ensure_dir(&backing, "root-transient/upper", 0o755)?;
    let work = fsio::ensure_dir(&backing, "root-transient/work", 0o755)?;
    labels::imitate(&upper, source)?;
    Ok(mount::overlay(source, &upper, &work, root, ASSEMBLY)?)
}

/// Mounts everything below the root of the view.
fn assemble(
    root: &Dir,
    view: &Dir,
    disk: &Dir,
    deployment: &DeploymentId,
    config: &BootConfig,
    own: OwnMounts,
    record: &mut BootRecord,
) -> Result<(), BootError> {
    if config.etc_transient {
        record.transient_etc = Some(mount_transient_etc(root, view)?);
    } else if config.sysroot_read_only || config.root_transient {
        // Its own mount can stay writable, and on the disk, whatever happens to the root.
        let source = fsio::open_dir(disk, format!("{}/etc", layout::deployment_dir(deployment)))?;
        mount::bind(&source, view, "etc")?;
    }
    mount_usr(view, disk, deployment)?;
    let sysroot = mount::bind(disk, view, "sysroot")?;
    let own_var = layout::var_dir(&deployment.stateroot);
    if config.sysroot_read_only {
        mount::bind(&fsio::open_dir(&sysroot, &own_var)?, &sysroot, &own_var)?;
    }
    if own == OwnMounts::Now {
        mount_own(&sysroot, view, deployment)?;
        fsio::replace(root, VAR_MOUNTED, 0o644, b"")?;
    }
    if config.sysroot_read_only {
        mount::set_access(&sysroot, Access::ReadOnly)?;
    }
    Ok(())
}

/// Mounts `/var`, and `/boot` where that is on the disk's root; neither where the deployment's `/etc/fstab` mounts it: what
/// does that later may leave a place alone that is a mount already.
fn mount_own(disk: &Dir, view: &Dir, deployment: &DeploymentId) -> Result<(), BootError> {
    // A boot does not end for want of it.
    let fstab = Fstab::read(view).unwrap_or_default();
    if !fstab.mounts_at_boot("var") {
        mount::bind(&fsio::open_dir(disk, layout::var_dir(&deployment.stateroot))?, view, "var")?;
    }
    if layout::boot_is_on_disk(disk)? && !fstab.mounts_at_boot("boot") {
        mount::bind(&fsio::open_dir(disk, layout::BOOT)?, view, "boot")?;
    }
    Ok(())
}

/// Lays an overlay in memory over the defaults; returns its directory as seen in the running system.
fn mount_transient_etc(root: &Dir, view: &Dir) -> Result<String, BootError> {
    const PATH: &str = "run/ostree/transient-etc";
    let state = fsio::ensure_dir(root, PATH, 0o700)?;
    let upper = fsio::ensure_dir(&state, "upper", 0o755)?;
    let work = fsio::ensure_dir(&state, "work", 0o755)?;
    let defaults = fsio::open_dir(view, "usr/etc")?;
    labels::imitate(&upper, &defaults)?;
    mount::overlay(&defaults, &upper, &work, view, "etc")?;
    Ok(format!("/{PATH}"))
}

/// A hotfix is an overlay whose directories are in the deployment; without one `/usr` is read-only.
fn mount_usr(view: &Dir, disk: &Dir, deployment: &DeploymentId) -> Result<(), BootError> {
    let own = fsio::open_dir(disk, layout::deployment_dir(deployment))?;
    let usr = fsio::open_dir(&own, "usr")?;
    match fsio::open_dir_optional(&own, layout::HOTFIX_WORK)? {
        Some(work) => {
            let upper = fsio::open_dir(&own, layout::HOTFIX_UPPER)?;
            mount::overlay(&usr, &upper, &work, view, "usr")?;
        }
        None => mount::set_access(&mount::bind(&usr, view, "usr")?, Access::ReadOnly)?,
    }
    Ok(())
}

/// An overlay takes no directory of a read-only filesystem to write to, and most kernels are told to mount the disk so.
/// This comes before anything is mounted from the disk, since each mount keeps what the disk was then.
fn make_writable_for_overlays(disk: &Dir, deployment: &Dir, root_transient: bool) -> Result<(), BootError> {
    let on_disk = root_transient || fsio::stat_optional(deployment, layout::HOTFIX_WORK)?.is_some();
    if on_disk && mount::access(disk)? == Access::ReadOnly {
        mount::set_filesystem_access(disk, Access::ReadWrite)?;
    }
    Ok(())
}

/// Follows the link on the disk, which must lead to the directory of a deployment by its name alone: whatever else it
/// says, nothing outside of `ostree/deploy` is ever booted.
pub(crate) fn resolve(disk: &Dir, target: &BootTarget) -> Result<DeploymentId, BootError> {
    let bad = |reason: String| BootError::BadLink { link: target.link.clone(), reason };
    // `boot.N` is a link itself; the way to the last component is resolved within the disk.
    let text = match fsio::read_link(disk, &target.link) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Err(bad("it is not there".to_owned())),
        Err(error) => return Err(bad(error.to_string())),
    };
    let text = String::from_utf8(text).map_err(|error| bad(error.to_string()))?;
    let mut parts = text.rsplit('/');
    let shape = (parts.next(), parts.next(), parts.next(), parts.next());
    let (Some(name), Some("deploy"), Some(stateroot), Some("deploy")) = shape else {
        return Err(bad(format!("it points to {text:?}")));
    };
    let stateroot = StaterootName::new(stateroot).map_err(|error| bad(error.to_string()))?;
    let (commit, serial) =
        DeploymentId::parse_dir_name(name.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let id = DeploymentId { stateroot, commit, serial };
    match fsio::stat_optional(disk, layout::deployment_dir(&id))? {
        Some(stat) if stat.kind == Kind::Dir => Ok(id),
        _ => Err(bad(format!("{} is not there", layout::deployment_dir(&id)))),
    }
}
