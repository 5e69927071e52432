//! Whether what a remote says is its newest: statements, checked and remembered.

use super::options::PullOptions;
use crate::PullError;
use sapwood_repo::statement::{Checked, FreshnessError, Seen, check, check_summary};
use sapwood_repo::{RemoteName, Repo};
use std::time::{SystemTime, UNIX_EPOCH};

/// What proves that a remote's state is its newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// The remote: what is seen of it is remembered under its name.
    pub remote: RemoteName,
    /// The id of the key set that is trusted.
    pub root: [u8; 32],
    /// What was seen of it before.
    pub seen: Option<Seen>,
}

impl Freshness {
    /// For a remote of a repository, with what is known of it there.
    ///
    /// # Errors
    /// As [`Repo::seen`].
    pub fn of(repo: &Repo, remote: RemoteName, root: [u8; 32]) -> Result<Self, sapwood_repo::Error> {
        let seen = repo.seen(&remote)?;
        Ok(Self { remote, root, seen })
    }

    /// Checks the file of the statement.
    pub(super) fn check(&self, source: &str, file: Option<&[u8]>) -> Result<Checked, PullError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        check(file, &self.root, self.seen.as_ref(), now).map_err(|error| stale(source, error))
    }

    /// Checks it, and the summary that it is about; gives what is to be remembered.
    pub(super) fn check_all(
        &self,
        source: &str,
        file: Option<&[u8]>,
        summary: Option<&[u8]>,
    ) -> Result<Seen, PullError> {
        let Checked { statement, seen } = self.check(source, file)?;
        check_summary(&statement, summary).map_err(|error| stale(source, error))?;
        Ok(seen)
    }
}

pub(super) fn stale(source: &str, error: FreshnessError) -> PullError {
    PullError::NotFresh { remote: source.into(), source: Box::new(error) }
}

/// Remembers what was seen, durably.
pub(super) fn remember(repo: &Repo, options: &PullOptions, seen: Option<&Seen>) -> Result<(), PullError> {
    match (&options.freshness, seen) {
        (Some(freshness), Some(seen)) => Ok(repo.remember(&freshness.remote, seen)?),
        _ => Ok(()),
    }
}
