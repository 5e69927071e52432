//! Changes of the list that install nothing: removing, reordering, pinning.

use crate::bootloader::{Bootloader as _, NoBootloader};
use crate::cleanup::{Cleaned, CleanupOptions};
use crate::list::Current;
use crate::plan::{Change, DeployPlan, Slot};
use crate::write::{self, Written};
use crate::{
    Deployment, DeploymentId, Error, Kargs, Locked, Origin, Result, Sysroot, bootloader, layout, stage,
};
use sapwood_fsio as fsio;

/// What came of removing a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeployed {
    /// Which it was.
    pub id: DeploymentId,
    /// How the list was written.
    pub written: Written,
    /// What was removed.
    pub cleaned: Cleaned,
}

/// What going back did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// What was the default.
    pub from: DeploymentId,
    /// What is the default now.
    pub to: DeploymentId,
    /// How the list was written.
    pub written: Written,
}

/// Whose kernel arguments are changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KargsOf<'a> {
    /// Those of what is staged.
    Staged,
    /// Those of a deployment in the boot order.
    Listed(&'a Deployment),
}

/// What changing kernel arguments did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KargsChanged {
    /// How the list was written.
    pub written: Written,
    /// Whether those of what is staged were changed, too.
    pub staged: bool,
}

impl Locked<'_> {
    /// Removes the deployment at a place of the boot order, pinned or not. What is staged comes first in it.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`], [`Error::Booted`]; or when the list cannot be written: it is the old one then.
    /// [`Error::AfterSwitch`] if only cleaning up failed.
    pub fn undeploy(&self, index: usize, options: &CleanupOptions) -> Result<Undeployed> {
        let current = self.current()?;
        let Some(removed) = stage::at(self, &current, index)? else {
            return self.unstage(&current, *options);
        };
        if removed.booted {
            return Err(Error::Booted { index });
        }
        let others = current.deployments.iter().filter(|deployment| deployment.id != removed.id);
        let slots: Vec<Slot> = others.map(Slot::of).collect();
        let written = self.write_list(&current, &slots, &|| {})?;
        let cleaned =
            self.cleanup(options).map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(Undeployed { id: removed.id.clone(), written, cleaned })
    }

    /// Removes what is staged.
    fn unstage(&self, current: &Current, options: CleanupOptions) -> Result<Undeployed> {
        let id = self.staged()?.ok_or(Error::NothingStaged)?.id;
        self.forget_staged()?;
        let count = current.deployments.len();
        let written =
            Written { change: Change::Nothing, bootloader: NoBootloader.name(), before: count, after: count };
        Ok(Undeployed { id, written, cleaned: self.cleanup(&options)? })
    }

    /// Makes the deployment at a place of the boot order the default, and forgets what is staged. Its tree, `/etc`
    /// included, is as it was when it was last used.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`]; or when the list cannot be written: it is the old one then. [`Error::AfterSwitch`]
    /// if only cleaning up failed.
    pub fn set_default(&self, index: usize) -> Result<DeploymentId> {
        let current = self.current()?;
        let first = listed(self, &current, index)?;
        self.put_first(&current, first)?;
        Ok(first.id.clone())
    }

    /// Goes back: makes the next deployment of the default's stateroot the default, as [`set_default`](Self::set_default)
    /// does. What was the default comes right behind it, so that going back twice changes nothing.
    ///
    /// # Errors
    /// [`Error::NoRollback`] where the stateroot has no other, [`Error::NothingToBoot`] where nothing is deployed; else
    /// as there.
    pub fn rollback(&self) -> Result<RolledBack> {
        let current = self.current()?;
        let (from, others) = current.deployments.split_first().ok_or(Error::NothingToBoot)?;
        let to = others.iter().find(|other| other.id.stateroot == from.id.stateroot);
        let to = to.ok_or_else(|| Error::NoRollback { deployment: from.id.clone() })?;
        let written = self.put_first(&current, to)?;
        Ok(RolledBack { from: from.id.clone(), to: to.id.clone(), written })
    }

    fn put_first(&self, current: &Current, first: &Deployment) -> Result<Written> {
        let others = current.deployments.iter().filter(|deployment| deployment.id != first.id);
        let mut slots: Vec<Slot> = std::iter::once(first).chain(others).map(Slot::of).collect();
        if first.failed()
            && let Some(slot) = slots.first_mut()
        {
            // Who asks for it has it tried again.
            slot.tries = self.new_tries()?;
        }
        let written = self.replace_list(current, &slots, &|| {})?;
        self.cleanup(&CleanupOptions { keep_objects: true })
            .map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(written)
    }

    /// Keeps a deployment until it is unpinned, or no longer. Says whether that is a change. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`]; or when its origin cannot be written: it is the old one then.
    pub fn set_pinned(&self, index: usize, pinned: bool) -> Result<bool> {
        let current = self.current()?;
        let deployment = listed(self, &current, index)?;
        if deployment.pinned() == pinned {
            return Ok(false);
        }
        let mut origin = deployment.origin.clone();
        origin.set_pinned(pinned);
        origin.write(self.root(), &deployment.id)?;
        Ok(true)
    }

    /// Replaces the origin of a deployment, staged or not. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`]; or when the origin cannot be written: it is the old one then.
    pub fn set_origin(&self, index: usize, origin: &Origin) -> Result<()> {
        let current = self.current()?;
        let id = match stage::at(self, &current, index)? {
            Some(deployment) => deployment.id.clone(),
            None => self.staged()?.ok_or(Error::NothingStaged)?.id,
        };
        origin.write(self.root(), &id)
    }

    /// Changes the kernel arguments of deployments that are in the boot order, and of what is staged: `change` is given
    /// those that there are, and gives new ones for whom gets them. Trees stay as they are. `change` is not asked for
    /// something staged that takes over the arguments of another deployment when its time comes: it takes the new ones.
    ///
    /// # Errors
    /// Those of `change`: nothing is changed then. Or when the list cannot be written: it is the old one then, but what is
    /// staged may have its new arguments. [`Error::AfterSwitch`] if only cleaning up failed.
    pub fn change_kargs(
        &self,
        change: &dyn Fn(KargsOf<'_>, Kargs) -> Result<Option<Kargs>>,
    ) -> Result<KargsChanged> {
        let current = self.current()?;
        let slot = |deployment: &Deployment| {
            let mut slot = Slot::of(deployment);
            if let Some(kargs) = change(KargsOf::Listed(deployment), deployment.entry.kargs())? {
                slot.entry.set("options", &kargs.to_string());
            }
            Ok(slot)
        };
        let slots = current.deployments.iter().map(slot).collect::<Result<Vec<_>>>()?;
        let staged = self.change_staged_kargs(&current, &|kargs| change(KargsOf::Staged, kargs))?;
        let written = self.write_list(&current, &slots, &|| {})?;
        self.cleanup(&CleanupOptions { keep_objects: true })
            .map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(KargsChanged { written, staged })
    }

    /// Plans and writes a list. A record of something staged that does not count is removed first: it could count again.
    pub(crate) fn write_list(
        &self,
        current: &Current,
        slots: &[Slot],
        on_syncing: &dyn Fn(),
    ) -> Result<Written> {
        if self.staged_record(current)?.is_none() {
            self.forget_staged()?;
        }
        self.apply_list(current, slots, on_syncing)
    }

    /// As [`write_list`](Self::write_list), in place of what is staged too: that counts no more once the list is written.
    pub(crate) fn replace_list(
        &self,
        current: &Current,
        slots: &[Slot],
        on_syncing: &dyn Fn(),
    ) -> Result<Written> {
        match self.staged_record(current)? {
            None => self.forget_staged()?,
            Some(record) => self.supersede_staged(record, slots)?,
        }
        let written = self.apply_list(current, slots, on_syncing)?;
        self.forget_staged().map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(written)
    }

    fn apply_list(&self, current: &Current, slots: &[Slot], on_syncing: &dyn Fn()) -> Result<Written> {
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        let bootloader = bootloader::of(self, &boot)?;
        write::apply(self, &DeployPlan::new(current, slots), bootloader.as_ref(), on_syncing)
    }
}

/// The deployment at a place; what is staged is in no list yet.
fn listed<'c>(sysroot: &Sysroot, current: &'c Current, index: usize) -> Result<&'c Deployment> {
    stage::at(sysroot, current, index)?.ok_or(Error::IsStaged { index })
}
