//! Deploying a commit: everything about a new deployment, until it is in the boot order.

use crate::boot::kargs::{KargEdit, Kargs};
use crate::cleanup::{self, Cleaned, CleanupOptions, Keep};
use crate::deployment::{DeploymentId, StaterootName};
use crate::list::Current;
use crate::origin::Origin;
use crate::plan::{Position, Retain, Slot};
use crate::prepare::Blueprint;
use crate::space::WhereFull;
use crate::{Error, Locked, Result, bootloader, etc, layout};
use sapwood_etcmerge::{Conflict, NotKept, Policy, Skipped};
use sapwood_fsio as fsio;
use sapwood_objstore::{Commit, Id};
use std::path::PathBuf;

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
    /// Overlays of its initramfs, as [`Locked::add_overlay`] named them.
    pub overlays: Vec<String>,
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
    /// A compiled SELinux policy in it that was changed locally, where the new version has another one: the two are not
    /// combined.
    pub uncombined_policy: Option<PathBuf>,
    /// How the list was written.
    pub written: crate::Written,
    /// What was removed.
    pub cleaned: Cleaned,
}

impl Locked<'_> {
    /// Installs a commit as a new deployment, and puts it into the boot order. Durable when it returns.
    ///
    /// The deployment that is merged with always stays in the list, so there is one to go back to; its tree is not
    /// touched. What an earlier, interrupted call left is removed first. What is staged is replaced, in the same step.
    ///
    /// # Errors
    /// [`Error::AfterSwitch`] if the new deployment boots and only cleaning up failed; [`Error::NoDiskRoom`], [`Error::NoRoom`]. In all other
    /// cases the boot order is the old one, what was staged still is, and what was made is removed, now or by the next
    /// call.
    pub fn deploy(
        &self,
        stateroot: &StaterootName,
        commit: Id<Commit>,
        options: &DeployOptions,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<Deployed> {
        let current = self.current()?;
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        bootloader::of(self, &boot)?;
        self.new_tries()?;
        self.recover(&current, &options.overlays, on_event)?;
        let (blueprint, origin) = self.blueprint(&current.deployments, stateroot, commit, options)?;
        self.make_disk_room(&blueprint, WhereFull::RemoveOld)?;
        let laid = self.lay(&blueprint.id, &origin, on_event).and_then(|_| self.make_boot_room(&blueprint));
        let placed = laid.and_then(|()| self.place(&blueprint, on_event));
        let mut deployed = placed.inspect_err(|error| {
            if !matches!(error, Error::AfterSwitch { .. }) {
                self.abandon(&blueprint.id);
            }
        })?;
        deployed.cleaned = self
            .cleanup(&CleanupOptions { keep_objects: options.keep_objects })
            .map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        on_event(DeployEvent::Cleaned(&deployed.cleaned));
        Ok(deployed)
    }

    /// Removes what interrupted runs left.
    pub(crate) fn recover(
        &self,
        current: &Current,
        overlays: &[String],
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<()> {
        let recovered = cleanup::remove_unneeded(self, current, &Keep { deployment: None, overlays })?;
        if recovered != Cleaned::default() {
            on_event(DeployEvent::Recovered(&recovered));
        }
        Ok(())
    }

    /// Finishes a deployment whose tree is there, and puts it into the boot order, instead of what is staged.
    pub(crate) fn place(
        &self,
        blueprint: &Blueprint,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<Deployed> {
        let current = self.current()?;
        let ready = self.finish(blueprint, &current.deployments, on_event)?;
        let order = blueprint.arrange(&current.deployments);
        let slot = |at: &Option<usize>| match at.and_then(|at| current.deployments.get(at)) {
            Some(deployment) => Slot::of(deployment),
            None => ready.slot.clone(),
        };
        let slots: Vec<Slot> = order.iter().map(slot).collect();
        for at in order.iter().flatten() {
            if let Some(kept) = current.deployments.get(*at) {
                self.repair_kernel(kept);
            }
        }
        let written = self.replace_list(&current, &slots, &|| on_event(DeployEvent::Syncing))?;
        on_event(DeployEvent::Switched { deployments: written.after });
        let etc::Merged { conflicts, skipped, not_kept, uncombined_policy, .. } = ready.merged;
        Ok(Deployed {
            id: blueprint.id.clone(),
            index: order.iter().position(Option::is_none).unwrap_or(0),
            merged_from: blueprint.merge.clone(),
            conflicts,
            skipped,
            not_kept,
            uncombined_policy,
            written,
            cleaned: Cleaned::default(),
        })
    }
}
