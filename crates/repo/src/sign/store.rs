//! Signatures of commits and of the summary that are in a repository.

use super::{SignError, Signer, add_signature, signatures};
use crate::{Error, Repo, Result};
use sapwood_objstore::{Commit, Format, Id, Metadata, Value};

/// The summary, and its signatures.
const SUMMARY: &str = "summary";
const SIGNATURES: &str = "summary.sig";

impl Repo {
    /// Adds signatures to a commit that is here. All of them are added, or none.
    ///
    /// # Errors
    /// [`Error::Sign`]; [`Error::Store`] where the commit cannot be read; those of [`begin`](Self::begin).
    pub fn sign_commit(&self, commit: Id<Commit>, signers: &[Box<dyn Signer>]) -> Result<()> {
        let bytes = self.store().load_bytes(commit.name())?;
        let mut beside = self.store().detached(commit)?.unwrap_or_default();
        for signer in signers {
            add_signature(&mut beside, &bytes, &**signer).map_err(sign_error)?;
        }
        self.put_beside(commit, &beside)
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
        let mut beside = self.store().detached(commit)?.unwrap_or_default();
        let all = signatures(&beside, key).to_vec();
        let kept: Vec<Vec<u8>> = all.iter().filter(|one| !is_unwanted(one)).cloned().collect();
        let deleted = all.len() - kept.len();
        if deleted == 0 {
            return Ok(0);
        }
        if kept.is_empty() {
            let mut rest = Metadata::default();
            beside
                .iter()
                .filter(|(name, _)| *name != key)
                .for_each(|(name, value)| rest.set(name, value.clone()));
            beside = rest;
        } else {
            beside.set(key, Value::ByteArrays(kept));
        }
        self.put_beside(commit, &beside)?;
        Ok(deleted)
    }

    fn put_beside(&self, commit: Id<Commit>, beside: &Metadata) -> Result<()> {
        let txn = self.begin()?;
        txn.objects().put_detached(commit, beside)?;
        txn.commit()?;
        Ok(())
    }

    /// Whether there is a file of signatures of the summary. Whose they are, and of which summary, is not looked at.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_summary_signatures(&self) -> Result<bool> {
        Ok(sapwood_fsio::stat_optional(self.dir(), SIGNATURES)?.is_some())
    }

    /// Signs the summary as it stands, and replaces the signatures that it had.
    ///
    /// # Errors
    /// [`Error::Sign`], also where there is no summary; [`Error::Io`].
    pub fn sign_summary(&self, signers: &[Box<dyn Signer>]) -> Result<()> {
        self.config().check_writable()?;
        let bytes = sapwood_fsio::read_optional(self.dir(), SUMMARY, Format::MAX_META_BYTES)?;
        let none = || sign_error(SignError::Signing { reason: "there is no summary".to_owned() });
        let bytes = bytes.ok_or_else(none)?;
        let mut beside = Metadata::default();
        for signer in signers {
            add_signature(&mut beside, &bytes, &**signer).map_err(sign_error)?;
        }
        let encoded = self.store().format().encode_metadata(&beside);
        crate::write::replace(self.dir(), SIGNATURES, &encoded, self.config().fsync)
    }
}

fn sign_error(error: SignError) -> Error {
    Error::Sign(Box::new(error))
}
