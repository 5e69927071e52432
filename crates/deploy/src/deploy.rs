//! Deploying a commit: everything about a new deployment, until it is in the boot order.

use crate::boot::bls::Bls;
use crate::boot::kargs::{KargEdit, Kargs};
use crate::boot::kernel::{BootFile, Kernel};
use crate::boot::os_release::OsRelease;
use crate::cleanup::{self, Cleaned, CleanupOptions};
use crate::deployment::{Deployment, DeploymentId, StaterootName};
use crate::origin::Origin;
use crate::plan::{self, Position, Retain, Slot};
use crate::sysroot::merge_deployment;
use crate::var::{self, Var};
use crate::{Error, Locked, Result, boot, bootloader, layout, tree};
use sapwood_etcmerge::{Conflict, NotKept, Policy, Skipped};
use sapwood_fsio::{self as fsio, At, Dir};
use sapwood_objstore::{Commit, Id};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

/// What a new deployment takes over from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Its `/etc`, merged with the new defaults, and its kernel arguments.
    Etc(Policy),
    /// Nothing.
    None,
}

impl Default for Merge {
    fn default() -> Self {
        Self::Etc(Policy::default())
    }
}

/// Where the kernel arguments of a new deployment come from, before they are edited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KargsFrom {
    /// The deployment that is merged with; with [`Merge::None`] there are none.
    #[default]
    Merge,
    /// None.
    Nothing,
    /// These, say those of the running kernel.
    Given(Kargs),
}

/// How a commit is deployed.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// The origin; `None` takes over that of the deployment that is merged with.
    pub origin: Option<Origin>,
    /// What is taken over. Default: `/etc`, keeping what was changed locally, and kernel arguments.
    pub merge: Merge,
    /// Where kernel arguments come from.
    pub kargs_from: KargsFrom,
    /// Changes of them.
    pub kargs: Vec<KargEdit>,
    /// Which other deployments stay.
    pub retain: Retain,
    /// Its place in the boot order.
    pub position: Position,
    /// Whether what is not needed any more stays in the repository. Default: it is deleted.
    pub keep_objects: bool,
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeployEvent<'a> {
    /// Leftovers of an interrupted run were removed.
    Recovered(&'a Cleaned),
    /// So many files were checked out until now.
    CheckingOut {
        /// How many.
        files: u64,
    },
    /// The commit has content in `/var` that is not used: the stateroot has a `/var` of its own already.
    VarIgnored,
    /// The `/var` of the stateroot was filled from the commit.
    VarPopulated,
    /// `/etc` is merged.
    MergingEtc {
        /// Files and directories that were modified locally.
        modified: usize,
        /// Those that were removed locally; a directory with all in it counts once.
        removed: usize,
        /// Those that were added locally.
        added: usize,
        /// Files that are taken over.
        copies: usize,
        /// Files that are removed.
        removals: usize,
        /// Conflicts.
        conflicts: usize,
    },
    /// Everything is made durable.
    Syncing,
    /// The boot order was switched; the new list has so many deployments.
    Switched {
        /// How many.
        deployments: usize,
    },
    /// What is not needed any more was removed.
    Cleaned(&'a Cleaned),
}

/// What came of deploying.
#[derive(Debug)]
pub struct Deployed {
    /// The new deployment.
    pub id: DeploymentId,
    /// Its place in the boot order.
    pub index: usize,
    /// The deployment whose configuration was taken over.
    pub merged_from: Option<DeploymentId>,
    /// Where its `/etc` and the new defaults contradict each other.
    pub conflicts: Vec<Conflict>,
    /// Local fifos, sockets and devices in it that were left behind.
    pub skipped: Vec<Skipped>,
    /// Attributes of files in it that could not be carried over.
    pub not_kept: Vec<NotKept>,
    /// How the list was written.
    pub written: crate::Written,
    /// What was removed.
    pub cleaned: Cleaned,
}

impl Locked<'_> {
    /// Installs a commit as a new deployment, and puts it into the boot order. Durable when it returns.
    ///
    /// The deployment that is merged with always stays in the list, so there is one to go back to; its tree is not
    /// touched. What an earlier, interrupted call left is removed first.
    ///
    /// # Errors
    /// [`Error::AfterSwitch`] if the new deployment boots and only cleaning up failed. In all other cases the boot order
    /// is the old one, and what was made is removed, now or by the next call.
    pub fn deploy(
        &self,
        stateroot: &StaterootName,
        commit: Id<Commit>,
        options: &DeployOptions,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<Deployed> {
        if !self.stateroots()?.contains(stateroot) {
            return Err(Error::UnknownStateroot { name: stateroot.clone() });
        }
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        bootloader::of(self, &boot)?;
        let current = self.current()?;
        let recovered = cleanup::remove_unneeded(self, &current)?;
        if recovered != Cleaned::default() {
            on_event(DeployEvent::Recovered(&recovered));
        }
        let merge = merge_deployment(&current.deployments, stateroot);
        let id = DeploymentId {
            stateroot: stateroot.clone(),
            commit,
            serial: self.next_serial(stateroot, commit)?,
        };
        let prepared = match self.prepare(&id, merge, options, on_event) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.abandon(&id);
                return Err(error);
            }
        };
        let order = plan::arrange(
            &current.deployments,
            stateroot,
            merge.map(|merge| &merge.id),
            options.retain,
            options.position,
        );
        let index = order.iter().position(Option::is_none).unwrap_or(0);
        let slot = |at: &Option<usize>| match at.and_then(|at| current.deployments.get(at)) {
            Some(deployment) => Slot::of(deployment),
            None => prepared.slot.clone(),
        };
        let slots: Vec<Slot> = order.iter().map(slot).collect();
        let written = match self.write_list(&current, &slots, &|| on_event(DeployEvent::Syncing)) {
            Ok(written) => written,
            Err(error @ Error::AfterSwitch { .. }) => return Err(error),
            Err(error) => {
                self.abandon(&id);
                return Err(error);
            }
        };
        on_event(DeployEvent::Switched { deployments: written.after });
        let cleaned = self
            .cleanup(&CleanupOptions { keep_objects: options.keep_objects })
            .map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        on_event(DeployEvent::Cleaned(&cleaned));
        let merged_from = match options.merge {
            Merge::Etc(_) => merge.map(|merge| merge.id.clone()),
            Merge::None => None,
        };
        let tree::Merged { conflicts, skipped, not_kept, .. } = prepared.merged;
        Ok(Deployed { id, index, merged_from, conflicts, skipped, not_kept, written, cleaned })
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

    /// Makes all of a deployment but its place in the list.
    fn prepare(
        &self,
        id: &DeploymentId,
        merge: Option<&Deployment>,
        options: &DeployOptions,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<Ready> {
        let commit = self.repo().store().load(id.commit)?;
        if self.repo().is_partial(id.commit)? {
            return Err(Error::Partial { commit: id.commit.to_hex() });
        }
        let mut kargs = match (&options.kargs_from, options.merge, merge) {
            (KargsFrom::Merge, Merge::Etc(_), Some(merge)) => merge.entry.kargs(),
            (KargsFrom::Given(given), ..) => given.clone(),
            _ => Kargs::default(),
        };
        kargs.edit(&options.kargs)?;
        let root = self.repo().root(id.commit)?;
        let tree = tree::install(self, id, root, &|files| on_event(DeployEvent::CheckingOut { files }))?;
        match var::prepare(self, &id.stateroot, root)? {
            Var::Nothing => {}
            Var::Populated => on_event(DeployEvent::VarPopulated),
            Var::Ignored => on_event(DeployEvent::VarIgnored),
        }
        let kernel = Kernel::discover(&tree)
            .map_err(|source| Error::Kernel { deployment: id.clone(), source: Box::new(source) })?;
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        let dir = layout::kernel_dir(&id.stateroot, &kernel.boot_id);
        boot::install::install(&tree, &kernel, &boot, &dir)?;
        let merged = match (options.merge, merge) {
            (Merge::Etc(policy), Some(merge)) => {
                let before = |merged: &tree::Merged| {
                    on_event(DeployEvent::MergingEtc {
                        modified: merged.changed.modified,
                        removed: merged.changed.removed,
                        added: merged.changed.added,
                        copies: merged.copies,
                        removals: merged.removals,
                        conflicts: merged.conflicts.len(),
                    });
                };
                tree::merge_etc(self, &merge.id, id, policy, &before)?
            }
            _ => tree::Merged::default(),
        };
        let origin = match (&options.origin, merge) {
            (Some(origin), _) => origin.inherited(),
            (None, Some(merge)) => merge.origin.inherited(),
            (None, None) => Origin::default(),
        };
        fsio::replace(self.root(), layout::origin_file(id), 0o644, origin.to_text().as_bytes())?;
        // A guard against mistakes; not every filesystem and user can have it.
        fsio::set_immutable(&tree, true)?;
        let entry = self.entry(id, &tree, &kernel, &dir, &commit, &kargs)?;
        Ok(Ready { slot: Slot { id: id.clone(), boot_id: kernel.boot_id, entry }, merged })
    }

    /// The boot entry, but for what depends on its place in the list.
    fn entry(
        &self,
        id: &DeploymentId,
        tree: &Dir,
        kernel: &Kernel,
        kernel_dir: &str,
        commit: &Commit,
        kargs: &Kargs,
    ) -> Result<Bls> {
        let prefix = match self.repo().config().keyfile.get_bool("sysroot", "bootprefix") {
            Some(Ok(true)) => "/boot/",
            _ => "/",
        };
        let installed = |file: &BootFile| format!("{prefix}{kernel_dir}/{}", file.installed.display());
        let mut title = os_title(tree)?.unwrap_or_else(|| id.stateroot.to_string());
        if let Some(version) = commit.metadata.get_str("version").filter(|version| !title.contains(version)) {
            title = format!("{title} {version}");
        }
        let mut entry = Bls::default();
        entry.set("title", &title);
        entry.set("options", &kargs.to_string());
        if let Some(devicetree) = &kernel.devicetree {
            entry.set("devicetree", &installed(devicetree));
        }
        entry.set("linux", &installed(&kernel.image));
        if let Some(initramfs) = &kernel.initramfs {
            entry.set("initrd", &installed(initramfs));
        }
        if !kernel.devicetrees.is_empty() {
            entry.set("fdtdir", &format!("{prefix}{kernel_dir}/dtb"));
        }
        Ok(entry)
    }

    /// Removes what was made of a deployment that did not get into the list. What cannot be removed is left to the next
    /// clean-up, since the first failure is what has to be reported.
    fn abandon(&self, id: &DeploymentId) {
        for path in [layout::deployment_dir(id), layout::origin_file(id)] {
            if let Err(error) = fsio::remove_tree(self.root(), &path) {
                tracing::debug!(%error, path, "an unfinished deployment stays for the next clean-up");
            }
        }
    }
}

/// A deployment that is complete but in no list.
struct Ready {
    slot: Slot,
    merged: tree::Merged,
}

/// What the operating system calls itself.
fn os_title(tree: &Dir) -> Result<Option<String>> {
    for path in ["usr/lib/os-release", "etc/os-release"] {
        // One of the two is often a link to the other; it is followed within the tree.
        let file = match tree.open(path) {
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
