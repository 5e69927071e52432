//! Removing what no boot entry needs.

use crate::{Locked, Result};
use sapwood_repo::Pruned;

/// What is cleaned up.
#[derive(Debug, Clone, Default)]
pub struct CleanupOptions {
    /// Whether what is not needed any more stays in the repository. Default: it is deleted.
    pub keep_objects: bool,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Trees of deployments that are in no list.
    pub deployments: usize,
    /// Kernels that no entry names.
    pub kernels: usize,
    /// Refs that kept the commits of deployments.
    pub refs: usize,
    /// What was removed from the repository, unless objects were kept.
    pub pruned: Option<Pruned>,
}

impl Locked<'_> {
    /// Removes deployments, kernels, links and refs that the current list does not need, and then the objects that no
    /// ref needs.
    ///
    /// # Errors
    /// When something cannot be removed; what boots is not touched, and calling it again goes on.
    pub fn cleanup(&self, options: &CleanupOptions) -> Result<Cleaned> {
        let _ = options;
        todo!()
    }
}
