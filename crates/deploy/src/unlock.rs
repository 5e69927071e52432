//! Making the `/usr` of the running deployment writable.

use crate::deploy::{DeployOptions, KargsFrom};
use crate::plan::{Position, Retain};
use crate::{Deployment, DeploymentId, Error, Locked, Result, Sysroot, labels, layout};
use rustix::mount::{MountFlags, mount};
use sapwood_fsio::{self as fsio, Dir};
use std::os::fd::AsRawFd as _;

/// In which way the `/usr` of a deployment is writable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlock {
    /// Until the next boot.
    Development,
    /// For good: changes are kept as long as the deployment is.
    Hotfix,
    /// Until the next boot, and only for who mounts it writable in a namespace of its own.
    Transient,
}

impl Unlock {
    /// The word for it, as origins and OSTree's status have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Hotfix => "hotfix",
            Self::Transient => "transient",
        }
    }
}

/// The file in the run-time directory that says so, but for a hotfix, which the origin says.
fn stamp(id: &DeploymentId, unlock: Unlock) -> String {
    format!("deployment-state/{}/unlocked-{}", id.dir_name(), unlock.as_str())
}

impl Sysroot {
    /// Whether a deployment is unlocked.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn unlocked(&self, deployment: &crate::Deployment) -> Result<Option<Unlock>> {
        let said = deployment.origin.keyfile().get("origin", "unlocked");
        if said.as_deref() == Some(Unlock::Hotfix.as_str()) {
            let work = format!("{}/{}", layout::deployment_dir(&deployment.id), layout::HOTFIX_WORK);
            if fsio::stat_optional(self.root(), work)?.is_some() {
                return Ok(Some(Unlock::Hotfix));
            }
        }
        let Some(run) = self.run() else { return Ok(None) };
        for unlock in [Unlock::Development, Unlock::Transient] {
            if fsio::stat_optional(run, stamp(&deployment.id, unlock))?.is_some() {
                return Ok(Some(unlock));
            }
        }
        Ok(None)
    }
}

impl Locked<'_> {
    /// Mounts a writable overlay over the `/usr` of the running deployment; it cannot be undone before the next boot. For
    /// a hotfix, the deployment as it is goes into the boot order once more, behind the running one, to go back to.
    ///
    /// `usr` is the directory to mount over: `/usr` of the running system.
    ///
    /// # Errors
    /// [`Error::NotBooted`], [`Error::Unlocked`]; those of [`deploy`](Self::deploy) for the copy of a hotfix; or when
    /// the overlay cannot be mounted: the deployment is as before then. A hotfix that is interrupted is there at the next
    /// boot, or was never begun.
    pub fn unlock(&self, unlock: Unlock, usr: &Dir) -> Result<()> {
        let current = self.current()?;
        let booted =
            current.deployments.iter().find(|deployment| deployment.booted).ok_or(Error::NotBooted)?;
        if let Some(already) = self.unlocked(booted)? {
            return Err(Error::Unlocked { state: already.as_str() });
        }
        match unlock {
            Unlock::Hotfix => self.hotfix(booted, usr),
            Unlock::Development | Unlock::Transient => self.unlock_until_boot(booted, unlock, usr),
        }
    }

    fn hotfix(&self, booted: &Deployment, usr: &Dir) -> Result<()> {
        let copy = DeployOptions {
            origin: Some(booted.origin.clone()),
            kargs_from: KargsFrom::Given(booted.entry.kargs()),
            retain: Retain::All,
            position: Position::NotDefault,
            keep_objects: true,
            ..DeployOptions::default()
        };
        self.deploy(&booted.id.stateroot, booted.id.commit, &copy, &|_| {})?;
        let tree = self.deployment_dir(&booted.id)?;
        fsio::set_immutable(&tree, false)?;
        let mut origin = booted.origin.clone();
        origin.keyfile_mut().set("origin", "unlocked", Unlock::Hotfix.as_str());
        let begun = origin.write(self.root(), &booted.id).and_then(|()| {
            let upper = fsio::ensure_dir(&tree, layout::HOTFIX_UPPER, 0o755)?;
            labels::imitate(&upper, usr)?;
            // From here on the next boot mounts it.
            let work = fsio::ensure_dir(&tree, layout::HOTFIX_WORK, 0o755)?;
            fsio::sync_dir(&tree)?;
            mount_over(usr, &upper, &work, MountFlags::empty())
        });
        begun.inspect_err(|_| {
            let undo = || {
                for name in [layout::HOTFIX_WORK, layout::HOTFIX_UPPER] {
                    fsio::remove_tree(&tree, name)?;
                }
                fsio::sync_dir(&tree)?;
                booted.origin.write(self.root(), &booted.id)?;
                Ok::<_, Error>(fsio::set_immutable(&tree, self.immutable())?)
            };
            if let Err(error) = undo() {
                tracing::warn!(%error, "what was begun of the hotfix cannot be removed");
            }
        })
    }

    fn unlock_until_boot(&self, booted: &Deployment, unlock: Unlock, usr: &Dir) -> Result<()> {
        let backing = format!("{}/usr-transient", layout::backing_dir(&booted.id));
        fsio::remove_tree(self.root(), &backing)?;
        let dir = |name: &str| fsio::ensure_dir(self.root(), format!("{backing}/{name}"), 0o755);
        let (upper, work) = (dir("upper")?, dir("work")?);
        labels::imitate(&upper, usr)?;
        let flags = if unlock == Unlock::Transient { MountFlags::RDONLY } else { MountFlags::empty() };
        let Some(run) = self.run() else { return mount_over(usr, &upper, &work, flags) };
        let path = stamp(&booted.id, unlock);
        if let Some((parent, _)) = path.rsplit_once('/') {
            fsio::ensure_dir(run, parent, 0o755)?;
        }
        // First: the mount cannot be undone, and must not go unrecorded.
        fsio::replace(run, &path, 0o644, b"")?;
        mount_over(usr, &upper, &work, flags).inspect_err(|_| {
            if let Err(error) = fsio::remove_file_optional(run, &path) {
                tracing::warn!(%error, "what says that /usr is unlocked cannot be removed");
            }
        })
    }
}

/// Lays an overlay over `usr`.
fn mount_over(usr: &Dir, upper: &Dir, work: &Dir, flags: MountFlags) -> Result<()> {
    let path = |dir: &Dir| format!("/proc/self/fd/{}", dir.as_raw_fd());
    let options = format!("lowerdir={},upperdir={},workdir={}", path(usr), path(upper), path(work));
    let options = std::ffi::CString::new(options).unwrap_or_default();
    mount("overlay", path(usr), "overlay", flags, options.as_c_str()).map_err(|errno| {
        fsio::Error { op: "mount an overlay on", path: "usr".into(), source: errno.into() }.into()
    })
}
