//! Who vouches for a commit: the policy is checked before anything of the commit is stored, and again for commits that
//! are here already, since the way on which they came in may have asked for less.

use super::worker::{Local, Workshop};
use crate::PullError;
use bytes::Bytes;
use sapwood_objstore::{Commit, DecodeError, Error, Id, Metadata};
use sapwood_repo::Repo;

impl Workshop<'_> {
    /// Checks the bytes of a commit against the policy.
    pub(super) fn check_policy(
        &self,
        commit: Id<Commit>,
        bytes: &[u8],
        beside: Option<&Metadata>,
    ) -> Result<(), PullError> {
        let checked = self.policy.check_commit(bytes, beside);
        checked.map_err(|source| PullError::Untrusted { commit, source: Box::new(source) })
    }

    /// Checks a commit that is here, with the metadata that came for it or else with what is here.
    pub(super) fn check_again(&self, commit: Id<Commit>, beside: Option<&Metadata>) -> Result<(), PullError> {
        if self.policy.commit.is_empty() {
            return Ok(());
        }
        let failed = |source| PullError::Store { object: commit.name(), source: Box::new(source) };
        let here = match beside {
            Some(_) => None,
            None => self.objects.detached(commit).map_err(failed)?,
        };
        let bytes = self.objects.load_bytes(commit.name()).map_err(failed)?;
        self.check_policy(commit, &bytes, beside.or(here.as_ref()))
    }

    /// Checks a commit that was found here.
    pub(super) fn check_found(&self, commit: Id<Commit>) -> Result<(), PullError> {
        match self.local {
            Local::Source(from, _) => {
                let beside = self.detached_of(from, commit)?;
                self.check_again(commit, beside.as_ref())?;
                self.put_detached(commit, beside.as_ref())
            }
            // What the remote has beside the commits asked for is on its way.
            Local::Caches(_) if self.roots.contains(&commit.raw()) => Ok(()),
            Local::Caches(_) => self.check_again(commit, None),
        }
    }

    /// The metadata beside a commit of another repository of this machine: what is malformed is left out as if it was fetched.
    pub(super) fn detached_of(&self, from: &Repo, commit: Id<Commit>) -> Result<Option<Metadata>, PullError> {
        match from.store().detached(commit) {
            Err(Error::Detached { source, .. }) => self.left_out(&source).map(|()| None),
            other => {
                other.map_err(|source| PullError::Store { object: commit.name(), source: Box::new(source) })
            }
        }
    }

    /// Whether a commit can do without the metadata beside it, which is malformed.
    fn left_out(&self, error: &DecodeError) -> Result<(), PullError> {
        if self.policy.commit.is_empty() {
            tracing::warn!(remote = self.source, %error, "the metadata beside a commit is malformed, and left out");
            return Ok(());
        }
        let (remote, file) = (self.source.into(), "the metadata beside a commit");
        Err(PullError::Malformed { remote, file, source: error.clone().into() })
    }

    /// Reads the metadata beside a commit. What is malformed is no reason to refuse a commit that needs none: it is left
    /// out then.
    pub(super) fn decode_detached(&self, bytes: Option<&Bytes>) -> Result<Option<Metadata>, PullError> {
        let Some(bytes) = bytes else { return Ok(None) };
        match self.repo.store().format().decode_metadata(bytes) {
            Ok(metadata) => Ok(Some(metadata)),
            // So deleted metadata is left behind.
            Err(_) if bytes.is_empty() => Ok(Some(Metadata::default())),
            Err(error) => self.left_out(&error).map(|()| None),
        }
    }

    /// Stages the metadata beside a commit, unless it is what is here.
    pub(super) fn put_detached(
        &self,
        commit: Id<Commit>,
        metadata: Option<&Metadata>,
    ) -> Result<(), PullError> {
        let Some(metadata) = metadata else { return Ok(()) };
        // A file that says nothing is written only where one says something.
        let here = self.repo.store().detached(commit).ok().flatten();
        if here.as_ref() == Some(metadata) || (here.is_none() && metadata.iter().next().is_none()) {
            return Ok(());
        }
        let failed = |source| PullError::Store { object: commit.name(), source: Box::new(source) };
        self.objects.put_detached(commit, metadata).map_err(failed)
    }
}
