//! Names on a machine's disk: the only file that knows them.

use crate::deployment::{DeploymentId, StaterootName};
use crate::list::BootVersion;
use sapwood_fsio::{self as fsio, Dir, Kind};

/// The directory of everything that is not booted directly.
pub(crate) const OSTREE: &str = "ostree";
/// The repository.
pub(crate) const REPO: &str = "ostree/repo";
/// The record of what is staged, as it outlives the boot.
pub(crate) const STAGED: &str = "ostree/staged-deployment";
/// The same in the run-time directory.
pub(crate) const STAGED_NAME: &str = "staged-deployment";
/// It is in the run-time directory, and empty, where what is staged is held.
pub(crate) const STAGED_LOCKED: &str = "staged-deployment-locked";
/// Overlays of what OSTree staged, in the run-time directory, by the checksums of their contents.
pub(crate) const STAGED_INITRDS: &str = "staged-initrds";
/// Overlays of initramfs, below [`BOOT`].
pub(crate) const OVERLAYS: &str = "ostree/initramfs-overlays";
/// The lock file of the sysroot.
pub(crate) const LOCK: &str = "ostree/lock";
/// The directory of stateroots.
pub(crate) const DEPLOY: &str = "ostree/deploy";
/// What a hotfix changed of `/usr`, in the deployment's directory.
pub(crate) const HOTFIX_UPPER: &str = ".usr-ovl-upper";
/// The working directory of that overlay. Where it is, there is a hotfix.
pub(crate) const HOTFIX_WORK: &str = ".usr-ovl-work";
/// Begins the name of a stateroot that is being made.
pub(crate) const NEW_STATEROOT: &str = ".new-";
/// Begins the name of a file that is being written.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// What boot loaders read.
pub(crate) const BOOT: &str = "boot";
/// Kernels, below [`BOOT`].
pub(crate) const BOOT_OSTREE: &str = "ostree";
/// The link that says which set of entries is current, below [`BOOT`].
pub(crate) const LOADER: &str = "loader";
/// The link that is renamed to [`LOADER`].
pub(crate) const LOADER_TMP: &str = "loader.tmp";
/// Entries, below `loader.N`.
pub(crate) const ENTRIES: &str = "entries";
/// The refs that keep the commits of deployments: `ostree/N/M/I`.
pub(crate) const REF_PREFIX: &str = "ostree/";
/// Longest configuration or entry file read, in bytes.
pub(crate) const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Something below [`BOOT`].
pub(crate) fn boot(path: impl std::fmt::Display) -> String {
    format!("{BOOT}/{path}")
}

/// An overlay, below [`BOOT`].
pub(crate) fn overlay(name: &str) -> String {
    format!("{OVERLAYS}/{name}")
}

/// Says why the last finalisation of what was staged failed.
pub(crate) fn failure_stamp() -> String {
    format!("{BOOT}/{BOOT_OSTREE}/finalize-failure.stamp")
}

/// `loader.N`, below [`BOOT`].
pub(crate) fn loader_dir(version: BootVersion) -> String {
    format!("loader.{version}")
}

/// `boot.N`, the link below [`OSTREE`].
pub(crate) fn boot_link(version: BootVersion) -> String {
    format!("boot.{version}")
}

/// `boot.N.M`, the directory below [`OSTREE`].
pub(crate) fn boot_dir(version: BootVersion, sub: BootVersion) -> String {
    format!("boot.{version}.{sub}")
}

/// `ostree/deploy/OS`.
pub(crate) fn stateroot_dir(name: &StaterootName) -> String {
    format!("{DEPLOY}/{name}")
}

/// `ostree/deploy/OS/deploy`, where the deployments of a stateroot are.
pub(crate) fn deployments_dir(name: &StaterootName) -> String {
    format!("{DEPLOY}/{name}/deploy")
}

/// `ostree/deploy/OS/deploy/COMMIT.SERIAL`.
pub(crate) fn deployment_dir(id: &DeploymentId) -> String {
    format!("{}/{}", deployments_dir(&id.stateroot), id.dir_name())
}

/// `ostree/deploy/OS/var`, which all deployments of a stateroot share.
pub(crate) fn var_dir(name: &StaterootName) -> String {
    format!("{DEPLOY}/{name}/var")
}

/// `ostree/deploy/OS/backing/COMMIT.SERIAL`, for what is laid over a deployment.
pub(crate) fn backing_dir(id: &DeploymentId) -> String {
    format!("{DEPLOY}/{}/backing/{}", id.stateroot, id.dir_name())
}

/// `ostree/deploy/OS/deploy/COMMIT.SERIAL.origin`.
pub(crate) fn origin_file(id: &DeploymentId) -> String {
    format!("{}.origin", deployment_dir(id))
}

/// The directory of a kernel, below [`BOOT`].
pub(crate) fn kernel_dir(stateroot: &StaterootName, boot_id: impl std::fmt::Display) -> String {
    format!("{BOOT_OSTREE}/{stateroot}-{boot_id}")
}

/// Whether what boot loaders read is on the filesystem of the sysroot's root, as far as can be told from there: a
/// separate filesystem would have the link.
pub(crate) fn boot_is_on_disk(disk: &Dir) -> fsio::Result<bool> {
    let link = fsio::stat_optional(disk, format!("{BOOT}/{LOADER}"))?;
    Ok(link.is_some_and(|stat| matches!(stat.kind, Kind::Symlink | Kind::Dir)))
}

/// The ref of the deployment at a position.
pub(crate) fn deployment_ref(version: BootVersion, sub: BootVersion, index: usize) -> String {
    format!("{REF_PREFIX}{version}/{sub}/{index}")
}

/// Whether a local ref is one that keeps a deployment's commit: `ostree/N/M/I`.
pub(crate) fn is_deployment_ref(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(REF_PREFIX) else { return false };
    let mut parts = rest.split('/');
    let version = |part: Option<&str>| matches!(part, Some("0" | "1"));
    version(parts.next())
        && version(parts.next())
        && parts.next().is_some_and(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().is_none()
}
