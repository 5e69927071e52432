//! Signatures of commits and of the summary that are in a repository.

use super::{Signer, keep_signature, signatures};
use crate::{Repo, Result};
use sapwood_objstore::{Commit, Id, Metadata, Value};

/// The signatures of the summary.
const SIGNATURES: &str = "summary.sig";

impl Repo {
    /// Adds signatures to a commit that is here. All of them are added, or none.
    ///
    /// # Errors
    /// [`Error::Sign`](crate::Error::Sign); [`Error::Store`](crate::Error::Store) where the commit cannot be read;
    /// [`Error::Lock`](crate::Error::Lock); those of [`begin`](Self::begin).
    pub fn sign_commit(&self, commit: Id<Commit>, signers: &[Box<dyn Signer>]) -> Result<()> {
        let bytes = self.store().load_bytes(commit.name())?;
        // Not under the lock: keys may be asked for.
        let made = signers.iter().map(|signer| signer.sign(&bytes));
        let made: Vec<_> = made.collect::<std::result::Result<_, _>>()?;
        self.edit_beside(commit, |beside| {
            for (signer, signature) in signers.iter().zip(made) {
                keep_signature(beside, &**signer, signature)?;
            }
            Ok(())
        })
    }

    /// Takes away those signatures of a commit, in the list under `key`, that `is_unwanted` picks; gives how many.
    ///
    /// # Errors
    /// As [`sign_commit`](Self::sign_commit).
    pub fn delete_signatures(
        &self,
        commit: Id<Commit>,
        key: &str,
        is_unwanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<usize> {
        self.edit_beside(commit, |beside| {
            let all = signatures(beside, key).to_vec();
            let kept: Vec<Vec<u8>> = all.iter().filter(|one| !is_unwanted(one)).cloned().collect();
            let deleted = all.len() - kept.len();
            if deleted > 0 && kept.is_empty() {
                let mut rest = Metadata::default();
                let others = beside.iter().filter(|(name, _)| *name != key);
                others.for_each(|(name, value)| rest.set(name, value.clone()));
                *beside = rest;
            } else if deleted > 0 {
                beside.set(key, Value::ByteArrays(kept));
            }
            Ok(deleted)
        })
    }

    /// Changes the metadata beside a commit, while no other process of ours does.
    fn edit_beside<T>(&self, commit: Id<Commit>, edit: impl FnOnce(&mut Metadata) -> Result<T>) -> Result<T> {
        let txn = self.begin()?;
        let lock = self.lock_refs()?;
        let before = self.store().detached(commit)?.unwrap_or_default();
        let mut beside = before.clone();
        let done = edit(&mut beside)?;
        if beside != before {
            txn.objects().put_detached(commit, &beside)?;
            txn.commit()?;
        }
        drop(lock);
        Ok(done)
    }

    /// Whether there is a file of signatures of the summary. Whose they are, and of which summary, is not looked at.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn has_summary_signatures(&self) -> Result<bool> {
        Ok(sapwood_fsio::stat_optional(self.dir(), SIGNATURES)?.is_some())
    }
}
