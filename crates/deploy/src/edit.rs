//! Changes of the list that install nothing: removing, reordering, pinning.

use crate::cleanup::{Cleaned, CleanupOptions};
use crate::{DeploymentId, Locked, Result};

impl Locked<'_> {
    /// Removes the deployment at a place of the boot order.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`](crate::Error::NoSuchDeployment), [`Error::Booted`](crate::Error::Booted),
    /// [`Error::Pinned`](crate::Error::Pinned); or when the list cannot be written.
    pub fn undeploy(&self, index: usize, options: &CleanupOptions) -> Result<(DeploymentId, Cleaned)> {
        let _ = (index, options);
        todo!()
    }

    /// Makes the deployment at a place of the boot order the default. Its tree, `/etc` included, is as it was when it
    /// was last used: this is how one rolls back.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`](crate::Error::NoSuchDeployment); or when the list cannot be written.
    pub fn set_default(&self, index: usize) -> Result<DeploymentId> {
        let _ = index;
        todo!()
    }

    /// Keeps a deployment until it is unpinned, or no longer. Says whether that is a change.
    ///
    /// # Errors
    /// [`Error::NoSuchDeployment`](crate::Error::NoSuchDeployment); or when its origin cannot be written.
    pub fn set_pinned(&self, index: usize, pinned: bool) -> Result<bool> {
        let _ = (index, pinned);
        todo!()
    }
}
