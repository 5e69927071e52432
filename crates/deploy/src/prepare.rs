//! Making a deployment: what is decided beforehand, the tree, and what is left to do when its time comes.
//!
//! A staged deployment waits between the last two: its tree is complete and durable, and its `/etc` as new. Merging is
//! done with the `/etc` that is in use until the very end.

use crate::boot::bls::Bls;
use crate::boot::entry_name::BootTries;
use crate::boot::kargs::Kargs;
use crate::boot::kernel::{BootFile, Kernel};
use crate::boot::os_release::OsRelease;
use crate::deploy::{DeployEvent, DeployOptions, KargsFrom, Merge};
use crate::deployment::{Deployment, DeploymentId};
use crate::labels::Relabel;
use crate::origin::Origin;
use crate::plan::{self, Position, Retain, Slot};
use crate::sysroot::merge_deployment;
use crate::var::{self, Var};
use crate::{Error, Locked, Result, StaterootName, boot, cleanup, etc, labels, layout, space, tree};
use cap_std::fs::{OpenOptions, OpenOptionsExt as _};
use sapwood_etcmerge::Policy;
use sapwood_fsio::{self as fsio, At, Dir};
use sapwood_objstore::{Commit, Id};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

/// All that is decided about a new deployment before its `/etc` is merged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blueprint {
    pub(crate) id: DeploymentId,
    /// The deployment whose configuration it takes over.
    pub(crate) merge: Option<DeploymentId>,
    pub(crate) policy: Policy,
    /// Its kernel arguments, without those that the plan fills in; `None` for those that the deployment whose configuration
    /// it takes over has in the end.
    pub(crate) kargs: Option<Kargs>,
    /// Keys of its entry beside those that are written here, with their values.
    pub(crate) extra: Vec<(String, String)>,
    /// The names of its initramfs overlays, as the boot directory has them.
    pub(crate) overlays: Vec<String>,
    pub(crate) retain: Retain,
    pub(crate) position: Position,
}

/// As in OSTree.
const MAX_TRIES: u32 = 5;

/// A deployment that is complete but in no list.
pub(crate) struct Ready {
    pub(crate) slot: Slot,
    pub(crate) merged: etc::Merged,
}

/// Longest title of a boot entry, in characters: menus show a line of them.
const MAX_TITLE_CHARS: usize = 200;

type OnEvent<'a> = &'a (dyn Fn(DeployEvent<'_>) + Sync);

impl Blueprint {
    /// The order of the list with it: places in the current one, and `None` for itself.
    pub(crate) fn arrange(&self, current: &[Deployment]) -> Vec<Option<usize>> {
        plan::arrange(current, &self.id.stateroot, self.merge.as_ref(), self.retain, self.position)
    }

    /// Its kernel arguments, as they are with this list.
    pub(crate) fn kargs(&self, current: &[Deployment]) -> Kargs {
        let merged = || current.iter().find(|deployment| Some(&deployment.id) == self.merge.as_ref());
        match &self.kargs {
            Some(kargs) => kargs.clone(),
            None => merged().map(|merged| merged.entry.kargs()).unwrap_or_default(),
        }
    }
}

impl Locked<'_> {
    /// Decides what a deployment will be, and where upgrades of it come from.
    pub(crate) fn blueprint(
        &self,
        deployments: &[Deployment],
        stateroot: &StaterootName,
        commit: Id<Commit>,
        options: &DeployOptions,
    ) -> Result<(Blueprint, Origin)> {
        if !self.stateroots()?.contains(stateroot) {
            return Err(Error::UnknownStateroot { name: stateroot.clone() });
        }
        let before = merge_deployment(deployments, stateroot);
        let mut kargs = match (&options.kargs_from, options.merge, before) {
            (KargsFrom::Merge, Merge::Etc(_), Some(before)) => before.entry.kargs(),
            (KargsFrom::Given(given), ..) => given.clone(),
            _ => Kargs::default(),
        };
        kargs.edit(&options.kargs)?;
        let origin = match (&options.origin, before) {
            (Some(origin), _) => origin.inherited(),
            (None, Some(before)) => before.origin.inherited(),
            (None, None) => Origin::default(),
        };
        let (merge, policy) = match options.merge {
            Merge::Etc(policy) => (before.map(|before| before.id.clone()), policy),
            Merge::None => (None, Policy::default()),
        };
        let serial = self.next_serial(stateroot, commit)?;
        let blueprint = Blueprint {
            id: DeploymentId { stateroot: stateroot.clone(), commit, serial },
            merge,
            policy,
            kargs: Some(kargs),
            extra: Vec::new(),
            overlays: options.overlays.clone(),
            retain: options.retain,
            position: options.position,
        };
        Ok((blueprint, origin))
    }

    /// The number of the next deployment of a commit.
    fn next_serial(&self, stateroot: &StaterootName, commit: Id<Commit>) -> Result<u32> {
        let Some(dir) = fsio::open_dir_optional(self.root(), layout::deployments_dir(stateroot))? else {
            return Ok(0);
        };
        let serials = fsio::entries(&dir)?.into_iter().filter_map(|entry| {
            let (found, serial) = DeploymentId::parse_dir_name(entry.name.as_bytes()).ok()?;
            (found == commit).then_some(serial)
        });
        Ok(serials.max().map_or(0, |last| last.saturating_add(1)))
    }

    /// Makes the tree, with an `/etc` as new, and the origin; says which kernel is in it. Not durable yet.
    pub(crate) fn lay(&self, id: &DeploymentId, origin: &Origin, on_event: OnEvent<'_>) -> Result<Kernel> {
        if self.repo().is_partial(id.commit)? {
            return Err(Error::Partial { commit: id.commit.to_hex() });
        }
        let root = self.repo().root(id.commit)?;
        let tree = tree::install(self, id, root, &|files| on_event(DeployEvent::CheckingOut { files }))?;
        let labels = labels::of_tree(self, &tree)?;
        match var::prepare(self, &id.stateroot, root, labels.as_ref())? {
            Var::Nothing => {}
            Var::Populated => on_event(DeployEvent::VarPopulated),
            Var::Ignored => on_event(DeployEvent::VarIgnored),
        }
        let kernel = self.kernel(id, &tree)?;
        origin.write(self.root(), id)?;
        Ok(kernel)
    }

    pub(crate) fn kernel(&self, id: &DeploymentId, tree: &Dir) -> Result<Kernel> {
        Kernel::discover(tree, self.device_trees())
            .map_err(|source| Error::Kernel { deployment: id.clone(), source: Box::new(source) })
    }

    /// Puts back what the boot directory lost of the kernel of a deployment, as far as that can be done.
    pub(crate) fn repair_kernel(&self, deployment: &Deployment) {
        let repair = || {
            let tree = self.deployment_dir(&deployment.id)?;
            let kernel = Kernel::find(&tree, self.device_trees()).map_err(|source| Error::Kernel {
                deployment: deployment.id.clone(),
                source: Box::new(source),
            })?;
            let boot = fsio::open_dir(self.root(), layout::BOOT)?;
            let dir = layout::kernel_dir(&deployment.id.stateroot, &deployment.boot_id);
            boot::install::install(&tree, &kernel, &boot, &dir)
        };
        if let Err(error) = repair() {
            tracing::warn!(%error, deployment = %deployment.id, "its kernel cannot be checked");
        }
    }

    /// Does the rest: kernel, `/etc`, and its boot entry.
    pub(crate) fn finish(
        &self,
        blueprint: &Blueprint,
        current: &[Deployment],
        on_event: OnEvent<'_>,
    ) -> Result<Ready> {
        let id = &blueprint.id;
        let commit = self.repo().store().load(id.commit)?;
        let tree = self.deployment_dir(id)?;
        let kernel = self.kernel(id, &tree)?;
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        let dir = layout::kernel_dir(&id.stateroot, &kernel.boot_id);
        boot::install::install(&tree, &kernel, &boot, &dir)
            .and_then(|()| self.need_overlays(&blueprint.overlays))
            .map_err(|error| space::name_full_boot(self, error))?;
        let merged = match &blueprint.merge {
            Some(merge) => {
                let before = |merged: &etc::Merged| {
                    on_event(DeployEvent::MergingEtc {
                        modified: merged.changed.modified,
                        removed: merged.changed.removed,
                        added: merged.changed.added,
                        copies: merged.copies,
                        removals: merged.removals,
                        conflicts: merged.conflicts.len(),
                    });
                };
                etc::merge(self, merge, id, blueprint.policy, &before)?
            }
            None => etc::Merged::default(),
        };
        self.note_conflicts(id, &merged)?;
        if let Some(labels) = labels::of_tree(self, &tree)?
            && let Some(etc) = fsio::open_dir_optional(&tree, etc::ETC)?
        {
            labels::relabel(&etc, "/etc", &labels, Relabel::All)?;
        }
        var::forget_update(self, &id.stateroot, current)?;
        if self.immutable() {
            // A guard against mistakes; not every filesystem and user can have it.
            fsio::set_immutable(&tree, true)?;
        }
        let mut entry = self.entry(blueprint, &tree, &kernel, &dir, &commit)?;
        entry.set("options", &blueprint.kargs(current).to_string());
        let tries = self.new_tries()?;
        Ok(Ready { slot: Slot { id: id.clone(), boot_id: kernel.boot_id, entry, tries }, merged })
    }

    /// Writes down what was in conflict, where it is found as long as the deployment is there.
    fn note_conflicts(&self, id: &DeploymentId, merged: &etc::Merged) -> Result<()> {
        let before = Origin::read(self.root(), id)?;
        let mut origin = before.clone();
        origin.set_etc_conflicts(&merged.conflicts);
        if origin == before {
            return Ok(());
        }
        origin.write(self.root(), id)
    }

    /// How often a new deployment is tried before the boot loader goes back, where it counts.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(crate) fn new_tries(&self) -> Result<Option<BootTries>> {
        let Some(value) = self.repo().config().keyfile.get("sysroot", "boot-counting-tries") else {
            return Ok(None);
        };
        match value.parse() {
            Ok(0) => Ok(None),
            Ok(left @ 1..=MAX_TRIES) => Ok(Some(BootTries { left, done: 0 })),
            _ => {
                let (key, expected) = ("sysroot.boot-counting-tries", "a number from 0 to 5");
                Err(Error::Setting { key, value, expected })
            }
        }
    }

    /// The boot entry, but for kernel arguments and what depends on its place in the list.
    fn entry(
        &self,
        blueprint: &Blueprint,
        tree: &Dir,
        kernel: &Kernel,
        kernel_dir: &str,
        commit: &Commit,
    ) -> Result<Bls> {
        let prefix = match self.repo().config().keyfile.get_bool("sysroot", "bootprefix") {
            Some(Ok(true)) => "/boot/",
            _ => "/",
        };
        let installed = |file: &BootFile| format!("{prefix}{kernel_dir}/{}", file.installed.display());
        let mut title = os_title(tree)?.unwrap_or_else(|| blueprint.id.stateroot.to_string());
        if let Some(version) = commit.metadata.get_str("version").filter(|version| !title.contains(version)) {
            title = format!("{title} {version}");
        }
        let mut entry = Bls::default();
        for (key, value) in &blueprint.extra {
            entry.set(key, value);
        }
        entry.set("title", &title.chars().take(MAX_TITLE_CHARS).collect::<String>());
        if let Some(devicetree) = &kernel.devicetree {
            entry.set("devicetree", &installed(devicetree));
        }
        entry.set("linux", &installed(&kernel.image));
        if let Some(initramfs) = &kernel.initramfs {
            entry.set("initrd", &installed(initramfs));
        }
        for overlay in &blueprint.overlays {
            entry.add("initrd", &format!("{prefix}{}", layout::overlay(overlay)));
        }
        if !kernel.devicetrees.is_empty() {
            entry.set("fdtdir", &format!("{prefix}{kernel_dir}/dtb"));
        }
        Ok(entry)
    }

    /// Removes what was installed of the kernel of a deployment that did not get into the list, as far as that can be done.
    pub(crate) fn abandon_kernel(&self) {
        if let Err(error) = cleanup::remove_unused_kernels(self) {
            tracing::debug!(%error, "an unused kernel stays for the next clean-up");
        }
    }

    /// Removes what was made of a deployment that did not get into the list. What cannot be removed is left to the next
    /// clean-up, since the first failure is what has to be reported.
    pub(crate) fn abandon(&self, id: &DeploymentId) {
        self.abandon_kernel();
        for path in [layout::deployment_dir(id), layout::origin_file(id)] {
            if let Err(error) = fsio::remove_tree(self.root(), &path) {
                tracing::debug!(%error, path, "an unfinished deployment stays for the next clean-up");
            }
        }
    }
}

/// What the operating system calls itself.
fn os_title(tree: &Dir) -> Result<Option<String>> {
    for path in ["usr/lib/os-release", "etc/os-release"] {
        // One of the two is often a link to the other; it is followed within the tree.
        // A fifo there, which a tree may hold, would be waited for.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let file = match tree.open_with(path, &options) {
            Ok(file) if !file.metadata().at("stat", path)?.is_file() => continue,
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).at("open", path).map_err(Error::from),
        };
        let mut bytes = Vec::new();
        file.take(layout::MAX_TEXT_BYTES).read_to_end(&mut bytes).at("read", path)?;
        if let Some(title) = OsRelease::parse(&bytes).title() {
            return Ok(Some(title.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sapwood_fsio::Kind;

    #[test]
    fn a_fifo_for_os_release_is_not_waited_for() {
        let tree = cap_tempfile::tempdir(cap_std::ambient_authority()).unwrap();
        let lib = fsio::ensure_dir(&tree, "usr/lib", 0o755).unwrap();
        fsio::make_node(&lib, "os-release", Kind::Fifo, 0o644, 0).unwrap();
        assert_eq!(os_title(&tree).unwrap(), None);
        fsio::ensure_dir(&tree, "etc", 0o755).unwrap();
        fsio::replace(&tree, "etc/os-release", 0o644, b"PRETTY_NAME=Tiny\n").unwrap();
        assert_eq!(os_title(&tree).unwrap().as_deref(), Some("Tiny"));
    }
}
