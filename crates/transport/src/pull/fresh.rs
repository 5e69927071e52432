//! Whether what a remote says is its newest: statements, checked and remembered.

use super::options::PullOptions;
use crate::PullError;
use sapwood_repo::statement::{Checked, FreshnessError, Seen, check};
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
        let seen = repo.seen(&remote, &root)?;
        Ok(Self { remote, root, seen })
    }

    /// Checks the file of the statement.
    pub(super) fn check(&self, source: &str, file: Option<&[u8]>) -> Result<Checked, PullError> {
        check(file, &self.root, self.seen.as_ref(), now()).map_err(|error| stale(source, error))
    }
}

pub(super) fn stale(source: &str, error: FreshnessError) -> PullError {
    PullError::NotFresh { remote: source.into(), source: Box::new(error) }
}

/// Remembers what a remote stated, durably, and gives it: refs move only while it is still the newest that is known. Nothing
/// was asked for where only commits were wanted that the user named.
pub(super) fn remember(
    repo: &Repo,
    source: &str,
    options: &PullOptions,
    file: Option<&[u8]>,
) -> Result<Option<(RemoteName, Seen)>, PullError> {
    let (Some(Freshness { remote, root, .. }), Some(_)) = (&options.freshness, file) else { return Ok(None) };
    let Checked { seen, .. } = repo.see(remote, file, root, now()).map_err(|error| of_repo(source, error))?;
    Ok(Some((remote.clone(), seen)))
}

/// Names the remote where it is to blame.
pub(super) fn of_repo(source: &str, error: sapwood_repo::Error) -> PullError {
    match error {
        sapwood_repo::Error::NotFresh(error) => stale(source, error),
        other => other.into(),
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
