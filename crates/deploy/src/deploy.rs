//! Deploying a commit: everything about a new deployment, until it is in the boot order.

use crate::boot::kargs::{KargEdit, Kargs};
use crate::cleanup::Cleaned;
use crate::deployment::{DeploymentId, StaterootName};
use crate::origin::Origin;
use crate::plan::{Position, Retain};
use crate::{Locked, Result};
use sapwood_etcmerge::{Conflict, Policy};
use sapwood_objstore::{Commit, Id};

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
    /// How the list was written.
    pub written: crate::Written,
    /// What was removed.
    pub cleaned: Cleaned,
}

impl Locked<'_> {
    /// Installs a commit as a new deployment, and puts it into the boot order.
    ///
    /// # Errors
    /// In each case the boot order is the old one.
    pub fn deploy(
        &self,
        stateroot: &StaterootName,
        commit: Id<Commit>,
        options: &DeployOptions,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<Deployed> {
        let _ = (stateroot, commit, options, on_event);
        todo!()
    }
}
