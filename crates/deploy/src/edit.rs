//! Changes of the list that install nothing: removing, reordering, pinning.

use crate::cleanup::{Cleaned, CleanupOptions};
use crate::list::Current;
use crate::plan::{DeployPlan, Slot};
use crate::write::{self, Written};
use crate::{Deployment, DeploymentId, Error, Locked, Result, bootloader, layout};
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

impl Locked<'_> {
    /// Removes the deployment at a place of the boot order, pinned or not.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`], [`Error::Booted`]; or when the list cannot be written: it is the old one then.
    /// [`Error::AfterSwitch`] if only cleaning up failed.
    pub fn undeploy(&self, index: usize, options: &CleanupOptions) -> Result<Undeployed> {
        let current = self.current()?;
        let removed = at(&current, index)?;
        if removed.booted {
            return Err(Error::Booted { index });
        }
        let others = current.deployments.iter().filter(|deployment| deployment.index != index);
        let slots: Vec<Slot> = others.map(Slot::of).collect();
        let written = self.write_list(&current, &slots, &|| {})?;
        let cleaned =
            self.cleanup(options).map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(Undeployed { id: removed.id.clone(), written, cleaned })
    }

    /// Makes the deployment at a place of the boot order the default. Its tree, `/etc` included, is as it was when it
    /// was last used: this is how one rolls back.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`]; or when the list cannot be written: it is the old one then. [`Error::AfterSwitch`]
    /// if only cleaning up failed.
    pub fn set_default(&self, index: usize) -> Result<DeploymentId> {
        let current = self.current()?;
        let first = at(&current, index)?;
        let others = current.deployments.iter().filter(|deployment| deployment.index != index);
        let slots: Vec<Slot> = std::iter::once(first).chain(others).map(Slot::of).collect();
        self.write_list(&current, &slots, &|| {})?;
        self.cleanup(&CleanupOptions { keep_objects: true })
            .map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(first.id.clone())
    }

    /// Keeps a deployment until it is unpinned, or no longer. Says whether that is a change. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`]; or when its origin cannot be written: it is the old one then.
    pub fn set_pinned(&self, index: usize, pinned: bool) -> Result<bool> {
        let current = self.current()?;
        let deployment = at(&current, index)?;
        if deployment.pinned() == pinned {
            return Ok(false);
        }
        let mut origin = deployment.origin.clone();
        origin.set_pinned(pinned);
        let path = layout::origin_file(&deployment.id);
        fsio::replace(self.root(), path, 0o644, origin.to_text().as_bytes())?;
        Ok(true)
    }

    /// Plans and writes a list.
    pub(crate) fn write_list(
        &self,
        current: &Current,
        slots: &[Slot],
        on_syncing: &dyn Fn(),
    ) -> Result<Written> {
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        let bootloader = bootloader::of(self, &boot)?;
        write::apply(self, &DeployPlan::new(current, slots), bootloader.as_ref(), on_syncing)
    }
}

fn at(current: &Current, index: usize) -> Result<&Deployment> {
    let count = current.deployments.len();
    current.deployments.get(index).ok_or(Error::NoSuchDeployment { index, count })
}
