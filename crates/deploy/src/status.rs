//! What is deployed, for people and programs to read.

use crate::{Deployment, Result, Sysroot};

/// The state of a sysroot.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The deployments in boot order.
    pub deployments: Vec<StatusEntry>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusEntry {
    /// The deployment.
    pub deployment: Deployment,
    /// The version that its commit names; `None` if it names none or is not in the repository any more.
    pub version: Option<String>,
    /// When its commit was made, in seconds since the epoch; `None` if it is not in the repository any more.
    pub timestamp: Option<u64>,
    /// The one that boots instead of the running one of its stateroot. Never set where nothing runs.
    pub pending: bool,
    /// The one behind the running one of its stateroot: what one goes back to. Never set where nothing runs.
    pub rollback: bool,
}

impl Sysroot {
    /// What is deployed.
    ///
    /// # Errors
    /// As [`deployments`](Self::deployments), and when a commit cannot be read.
    pub fn status(&self) -> Result<Status> {
        let all = self.deployments()?;
        let running = all.iter().find(|d| d.booted).map(|d| (d.index, d.id.stateroot.clone()));
        let own =
            |d: &&Deployment| running.as_ref().is_some_and(|(_, stateroot)| *stateroot == d.id.stateroot);
        let at = running.as_ref().map(|(index, _)| *index);
        let pending = all.iter().filter(own).find(|d| at.is_some_and(|at| d.index < at)).map(|d| d.index);
        let rollback = all.iter().filter(own).find(|d| at.is_some_and(|at| d.index > at)).map(|d| d.index);
        let mut deployments = Vec::with_capacity(all.len());
        for deployment in all {
            let commit = deployment.id.commit;
            let known = self.repo().store().contains(commit.name())?;
            let commit = if known { Some(self.repo().store().load(commit)?) } else { None };
            deployments.push(StatusEntry {
                version: commit.as_ref().and_then(|c| c.metadata.get_str("version")).map(str::to_owned),
                timestamp: commit.as_ref().map(|commit| commit.timestamp),
                pending: pending == Some(deployment.index),
                rollback: rollback == Some(deployment.index),
                deployment,
            });
        }
        Ok(Status { deployments })
    }
}
