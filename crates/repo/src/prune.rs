//! Deleting what no ref reaches: a plan first, then applied under the exclusive lock.

use crate::{Repo, Result};
use sapwood_objstore::{Commit, Id, ObjectName};
use std::time::SystemTime;

/// What is kept.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// How many parents of each ref's commit are kept; `None` is all. Default: all.
    pub depth: Option<u32>,
    /// Only refs keep commits alive; otherwise every commit that is stored does too. Default: no.
    pub refs_only: bool,
    /// Commits not older than this are kept as if a ref named them.
    pub keep_younger_than: Option<SystemTime>,
}

/// What a prune will do. It holds the repository's exclusive lock.
#[derive(Debug)]
#[must_use = "nothing is deleted until it is applied"]
pub struct PrunePlan<'repo> {
    repo: &'repo Repo,
}

/// What a prune did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /** Objects looked at. */
    pub total_objects: u64,
    /** Objects deleted. */
    pub deleted_objects: u64,
    /** Their size on disk. */
    pub freed_bytes: u64,
    /** Commits deleted. */
    pub deleted_commits: u64,
}

impl PrunePlan<'_> {
    /// What applying it will do.
    pub fn summary(&self) -> Pruned {
        todo!()
    }
    /// The objects it will delete.
    pub fn objects(&self) -> &[ObjectName] {
        todo!()
    }
    /// Deletes them, commits first, so that a crash leaves no commit without its content.
    pub fn apply(self) -> Result<Pruned> {
        todo!()
    }
}

impl Repo {
    /// Finds what can be deleted.
    pub fn plan_prune(&self, options: &PruneOptions) -> Result<PrunePlan<'_>> {
        todo!()
    }
    /// Deletes one commit object, and what is kept beside it; refuses while a ref points to it.
    pub fn delete_commit(&self, commit: Id<Commit>) -> Result<()> {
        todo!()
    }
}
