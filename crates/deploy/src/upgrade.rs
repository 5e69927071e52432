//! The local half of an upgrade: what to pull, and, when it is here, whether to deploy it.

use crate::deploy::{DeployEvent, DeployOptions, Deployed};
use crate::{Deployment, Locked, Origin, Result, StaterootName, Sysroot};
use sapwood_objstore::{Commit, Id};
use sapwood_repo::Refspec;

/// What an upgrade follows. The caller pulls [`refspec`](Self::refspec) if it is a remote's, then calls
/// [`Locked::upgrade`].
#[derive(Debug, Clone, PartialEq)]
pub struct UpgradePlan {
    /// The stateroot.
    pub stateroot: StaterootName,
    /// The deployment that is upgraded; the new one takes over its configuration.
    pub from: Deployment,
    /// The ref to follow.
    pub refspec: Refspec,
    /// The commit to deploy instead of the newest one of the ref.
    pub override_commit: Option<String>,
    /// The origin of the new deployment.
    pub origin: Origin,
    /// Whether the ref is another one than before.
    pub switched: bool,
}

/// Whether an older commit may replace a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Downgrade {
    /// It is refused.
    #[default]
    Refuse,
    /// It may.
    Allow,
}

/// How to upgrade.
#[derive(Debug, Clone, Default)]
pub struct UpgradeOptions {
    /// Whether an older commit may replace a newer one.
    pub downgrade: Downgrade,
    /// How it is deployed. The origin is that of the plan.
    pub deploy: DeployOptions,
}

/// What came of an upgrade.
#[derive(Debug)]
pub enum UpgradeOutcome {
    /// The newest commit is deployed already.
    Unchanged {
        /// The commit.
        commit: Id<Commit>,
    },
    /// A new deployment was made.
    Deployed(Box<Deployed>),
}

impl Sysroot {
    /// Finds out what an upgrade of a stateroot follows; `None` is the stateroot of the running system, or the only one
    /// that has deployments.
    ///
    /// # Errors
    /// When nothing is deployed, or the origin of the deployment names no ref.
    pub fn plan_upgrade(&self, stateroot: Option<&StaterootName>) -> Result<UpgradePlan> {
        let _ = stateroot;
        todo!()
    }

    /// As [`plan_upgrade`](Self::plan_upgrade), to follow another ref from now on. A ref without a remote is one of the
    /// remote that is followed now.
    ///
    /// # Errors
    /// As there, and [`Error::SameRef`](crate::Error::SameRef).
    pub fn plan_switch(&self, stateroot: Option<&StaterootName>, refspec: &str) -> Result<UpgradePlan> {
        let _ = (stateroot, refspec);
        todo!()
    }
}

impl Locked<'_> {
    /// Deploys what the ref of the plan points to now, or the commit it is held at.
    ///
    /// # Errors
    /// [`Error::Downgrade`](crate::Error::Downgrade), and those of [`deploy`](Self::deploy). The boot order is the old
    /// one then.
    pub fn upgrade(
        &self,
        plan: &UpgradePlan,
        options: &UpgradeOptions,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<UpgradeOutcome> {
        let _ = (plan, options, on_event);
        todo!()
    }
}
