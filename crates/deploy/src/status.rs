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
    /// Before the running one (or, if none runs, before the default one of its stateroot): it boots next.
    pub pending: bool,
    /// Behind it, and of the same stateroot: what one goes back to.
    pub rollback: bool,
}

impl Sysroot {
    /// What is deployed.
    ///
    /// # Errors
    /// As [`deployments`](Self::deployments).
    pub fn status(&self) -> Result<Status> {
        todo!()
    }
}
