//! What is deployed, for people and programs to read.

use crate::{Deployment, Result, Staged, Sysroot, Unlock};
use sapwood_objstore::{Commit, Id};

/// The state of a sysroot.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What is staged.
    pub staged: Option<StagedEntry>,
    /// The deployments in boot order.
    pub deployments: Vec<StatusEntry>,
}

/// What waits for the next shutdown.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedEntry {
    /// The deployment.
    pub staged: Staged,
    /// As in [`StatusEntry`].
    pub version: Option<String>,
    /// As in [`StatusEntry`].
    pub timestamp: Option<u64>,
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
    /// Whether its `/usr` is writable.
    pub unlocked: Option<Unlock>,
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
            let (version, timestamp) = self.facts(deployment.id.commit)?;
            deployments.push(StatusEntry {
                version,
                timestamp,
                unlocked: self.unlocked(&deployment)?,
                pending: pending == Some(deployment.index),
                rollback: rollback == Some(deployment.index),
                deployment,
            });
        }
        let staged = match self.staged()? {
            Some(staged) => {
                let (version, timestamp) = self.facts(staged.id.commit)?;
                Some(StagedEntry { staged, version, timestamp })
            }
            None => None,
        };
        Ok(Status { staged, deployments })
    }

    /// Version and time of a commit.
    fn facts(&self, id: Id<Commit>) -> Result<(Option<String>, Option<u64>)> {
        if !self.repo().store().contains(id.name())? {
            return Ok((None, None));
        }
        let commit = self.repo().store().load(id)?;
        Ok((commit.metadata.get_str("version").map(str::to_owned), Some(commit.timestamp)))
    }
}
