//! The local half of an upgrade: what to pull, and, when it is here, whether to deploy it.

use crate::deploy::{DeployEvent, DeployOptions, Deployed};
use crate::sysroot::merge_deployment;
use crate::{
    Deployment, Error, Finalization, Followed, Locked, Origin, Result, Staged, StaterootName, Sysroot,
};
use sapwood_objstore::{Commit, Id};
use std::collections::BTreeSet;

/// What an upgrade follows. The caller pulls what it [`follows`](Self::follows) if that is a remote's, then calls
/// [`Locked::upgrade`].
#[derive(Debug, Clone, PartialEq)]
pub struct UpgradePlan {
    /// The stateroot.
    pub stateroot: StaterootName,
    /// The deployment that is upgraded; the new one takes over its configuration.
    pub from: Deployment,
    /// What to follow.
    pub follows: Followed,
    /// The commit to deploy instead of the newest one of the ref.
    pub override_commit: Option<String>,
    /// The origin of the new deployment.
    pub origin: Origin,
    /// Whether that is another one than before.
    pub switched: bool,
}

/// Whether an older commit may replace a newer one: also where a plan follows another ref than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Downgrade {
    /// It is refused.
    #[default]
    Refuse,
    /// It may.
    Allow,
}

/// When an upgrade gets into the boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// When the running system shuts down.
    Staged(Finalization),
}

/// What a commit says of the end of what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOfLife {
    /// Why, in its words.
    pub reason: String,
    /// The ref that goes on with it.
    pub rebase: Option<String>,
}

/// How to upgrade.
#[derive(Debug, Clone, Default)]
pub struct UpgradeOptions {
    /// Whether an older commit may replace a newer one.
    pub downgrade: Downgrade,
    /// When it gets into the boot order. Default: at once.
    pub when: When,
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
    /// A new deployment waits for the shutdown.
    Staged(Box<Staged>),
    /// One was to wait for the shutdown, and does already.
    StagedBefore(Box<Staged>),
}

impl UpgradePlan {
    /// Follows another ref, where what is followed came to its end and says how it goes on. One without a remote is one
    /// of the remote that is followed now.
    ///
    /// # Errors
    /// When it is neither ref nor commit.
    pub fn rebase(&mut self, refspec: &str) -> Result<()> {
        let new = Followed::parse(refspec)?.or_of(&self.follows);
        self.origin.set_refspec(&new.to_string());
        self.switched |= new != self.follows;
        self.override_commit = None;
        self.follows = new;
        Ok(())
    }

    /// Whether this commit, which it leads to, is something else than it upgrades.
    fn is_update(&self, commit: Id<Commit>) -> bool {
        self.switched || commit != self.from.id.commit
    }
}

impl Sysroot {
    /// Finds out what an upgrade of a stateroot follows; `None` is the stateroot of the running system, or the only one
    /// that has deployments.
    ///
    /// # Errors
    /// [`Error::StaterootNeeded`], [`Error::NothingDeployed`]; [`Error::NoOrigin`] when the origin of the deployment names
    /// nothing to follow, [`Error::Unconfigured`] when it says that something else is to be done first.
    pub fn plan_upgrade(&self, stateroot: Option<&StaterootName>) -> Result<UpgradePlan> {
        let from = self.upgraded_deployment(stateroot)?;
        let origin = from.origin.inherited();
        if let Some(reason) = origin.unconfigured_state() {
            return Err(Error::Unconfigured { deployment: from.id, reason });
        }
        let Some(refspec) = origin.refspec() else { return Err(Error::NoOrigin { deployment: from.id }) };
        Ok(UpgradePlan {
            stateroot: from.id.stateroot.clone(),
            from,
            follows: Followed::parse(&refspec)?,
            override_commit: origin.override_commit(),
            origin,
            switched: false,
        })
    }

    /// As [`plan_upgrade`](Self::plan_upgrade), to follow another ref from now on. A ref without a remote is one of the
    /// remote that is followed now.
    ///
    /// # Errors
    /// As there, and [`Error::SameRef`].
    pub fn plan_switch(&self, stateroot: Option<&StaterootName>, refspec: &str) -> Result<UpgradePlan> {
        let from = self.upgraded_deployment(stateroot)?;
        let mut origin = from.origin.inherited();
        let old = origin.refspec().map(|text| Followed::parse(&text)).transpose()?;
        // A remote alone: the same ref of another remote.
        let same_ref =
            old.as_ref().filter(|_| refspec.ends_with(':')).map(|old| format!("{refspec}{}", old.name()));
        let mut new = Followed::parse(same_ref.as_deref().unwrap_or(refspec))?;
        if let Some(old) = &old {
            new = new.or_of(old);
        }
        if Some(&new) == old.as_ref() {
            return Err(Error::SameRef { refspec: new.to_string() });
        }
        origin.set_refspec(&new.to_string());
        let stateroot = from.id.stateroot.clone();
        Ok(UpgradePlan { stateroot, from, follows: new, override_commit: None, origin, switched: true })
    }

    /// Whether the commit that a plan would deploy is the end of what it belongs to.
    ///
    /// # Errors
    /// When it is not here.
    pub fn end_of_life(&self, plan: &UpgradePlan) -> Result<Option<EndOfLife>> {
        let commit = self.repo().store().load(self.target(plan)?)?;
        let text = |key| commit.metadata.get_str(key).map(str::to_owned);
        let (reason, rebase) = (text("ostree.endoflife"), text("ostree.endoflife-rebase"));
        if reason.is_none() && rebase.is_none() {
            return Ok(None);
        }
        Ok(Some(EndOfLife { reason: reason.unwrap_or_default(), rebase }))
    }

    /// Whether what a plan leads to now is something else than it upgrades. It may wait for the shutdown already.
    ///
    /// # Errors
    /// When it is not here.
    pub fn has_update(&self, plan: &UpgradePlan) -> Result<bool> {
        Ok(plan.is_update(self.target(plan)?))
    }

    fn target(&self, plan: &UpgradePlan) -> Result<Id<Commit>> {
        match (&plan.override_commit, &plan.follows) {
            (Some(commit), _) => Ok(self.repo().resolve(commit)?),
            (None, Followed::Commit { commit, .. }) => Ok(*commit),
            // A name without a remote may be that of a remote's ref, where no other has it.
            (None, Followed::Ref(refspec)) => match self.repo().ref_target(refspec)? {
                Some(commit) => Ok(commit),
                None => Ok(self.repo().resolve(&refspec.to_string())?),
            },
        }
    }

    fn upgraded_deployment(&self, stateroot: Option<&StaterootName>) -> Result<Deployment> {
        let deployments = self.deployments()?;
        let stateroot = match (stateroot, deployments.iter().find(|d| d.booted)) {
            (Some(named), _) => named.clone(),
            (None, Some(booted)) => booted.id.stateroot.clone(),
            (None, None) => {
                let names: BTreeSet<_> = deployments.iter().map(|d| &d.id.stateroot).collect();
                let [only] = names.iter().collect::<Vec<_>>()[..] else {
                    let names = names.into_iter().map(ToString::to_string).collect();
                    return Err(Error::StaterootNeeded { names });
                };
                (*only).clone()
            }
        };
        merge_deployment(&deployments, &stateroot).cloned().ok_or(Error::NothingDeployed { name: stateroot })
    }
}

impl Locked<'_> {
    /// Deploys what the ref of the plan points to now, or the commit it is held at. The plan should be made under the
    /// same lock.
    ///
    /// # Errors
    /// [`Error::Downgrade`], and those of [`deploy`](Self::deploy).
    pub fn upgrade(
        &self,
        plan: &UpgradePlan,
        options: &UpgradeOptions,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<UpgradeOutcome> {
        let commit = self.target(plan)?;
        if !plan.is_update(commit) {
            return Ok(UpgradeOutcome::Unchanged { commit });
        }
        let asked_for = |staged: &Staged| {
            options.when == When::Staged(staged.finalization)
                && staged.id.commit == commit
                && staged.id.stateroot == plan.stateroot
                && staged.origin == plan.origin
        };
        if let Some(staged) = self.staged()?.filter(asked_for) {
            return Ok(UpgradeOutcome::StagedBefore(Box::new(staged)));
        }
        if options.downgrade == Downgrade::Refuse {
            self.refuse_older(plan.from.id.commit, commit)?;
        }
        let deploy = DeployOptions { origin: Some(plan.origin.clone()), ..options.deploy.clone() };
        Ok(match options.when {
            When::Now => {
                UpgradeOutcome::Deployed(Box::new(self.deploy(&plan.stateroot, commit, &deploy, on_event)?))
            }
            When::Staged(finalization) => {
                let staged = self.stage(&plan.stateroot, commit, &deploy, finalization, on_event)?;
                UpgradeOutcome::Staged(Box::new(staged))
            }
        })
    }

    fn refuse_older(&self, current: Id<Commit>, new: Id<Commit>) -> Result<()> {
        let store = self.repo().store();
        if !store.contains(current.name())? {
            // It was pruned, so its time is not known.
            return Ok(());
        }
        let (current_time, new_time) = (store.load(current)?.timestamp, store.load(new)?.timestamp);
        if new_time >= current_time {
            return Ok(());
        }
        Err(Error::Downgrade { new: new.to_hex(), new_time, current: current.to_hex(), current_time })
    }
}
