//! Publishing: the summary, and what vouches for it, renewed together.
//!
//! All is made in memory before any of it is written: where a key fails, summary, signatures and statement stay as they were.
//! Keys may be asked for, and slow; nobody else is kept waiting for them. So what was signed is looked at again under the lock, and written only if
//! it still is what the repository has to say. No signature ever lies beside a summary that it is not of: what is killed halfway
//! leaves none.

use super::{SIGNATURE, SUMMARY, Summary, SummaryCopy, SummaryState, deltas};
use crate::sign::{Ed25519, SignError, Signer, sign_by_all};
use crate::{Error, Repo, Result, statement, write};
use sapwood_fsio::lock::LockKind;
use sapwood_objstore::{Format, Metadata, RepoLock};

/// What vouches for a summary that is written; by default nothing.
#[derive(Clone, Copy, Default)]
pub struct Vouching<'a> {
    /// The keys that sign it.
    pub signers: &'a [Box<dyn Signer>],
    /// The publishers' keys that state that it is the newest; none state nothing.
    pub publishers: &'a [Ed25519],
    /// For how many seconds from now they do; `None` is for good.
    pub lasts_seconds: Option<u64>,
}

impl std::fmt::Debug for Vouching<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vouching")
            .field("signers", &self.signers.len())
            .field("publishers", &self.publishers.len())
            .field("lasts_seconds", &self.lasts_seconds)
            .finish()
    }
}

/// How often a summary is made anew because others published while it was being signed; then they have to wait.
const MAX_OVERTAKEN: u32 = 3;

impl Repo {
    /// Writes the summary of all local refs; removes signatures that it makes stale. In the OSTree format the indexes of
    /// static deltas are renewed first, and `core.indexed-deltas` is set. In the native one closures are: a crash may leave
    /// some without a summary that is new, which does no harm.
    ///
    /// # Errors
    /// [`Error::Store`] with a missing object if a ref points to a commit that is not here; [`Error::MalformedRef`],
    /// [`Error::NewerFormat`], [`Error::Lock`], [`Error::Io`]. The summary is then the old one, unless the disk failed.
    pub fn update_summary(&self) -> Result<Summary> {
        self.publish_summary(&Metadata::default(), &Vouching::default())
    }

    /// As [`update_summary`](Self::update_summary), with further facts in it; signed and stated, and what vouched for the old
    /// one is replaced with it. Clients that look at the files one by one may still see new ones beside old ones.
    ///
    /// # Errors
    /// As [`update_summary`](Self::update_summary); [`Error::Sign`] where a key fails, the repository has no key set, or too
    /// few publishers sign; [`Error::Statement`].
    pub fn publish_summary(&self, extra: &Metadata, by: &Vouching<'_>) -> Result<Summary> {
        self.config().check_writable()?;
        let mut lock = self.store().lock(LockKind::Shared)?;
        self.write_summary(extra, by, &mut lock)
    }

    /// Renews the summary after refs moved, where that is configured; for a caller that holds the repository's lock. One that is
    /// written by publishers' keys alone is left as it is.
    pub(crate) fn follow_with_summary(&self) -> Result<()> {
        if !self.config().auto_update_summary {
            return Ok(());
        }
        if self.statement()?.is_some() {
            tracing::error!(
                "the summary is not renewed, in spite of core.auto-update-summary: that takes the publishers' keys (`summary -u`)"
            );
            return Ok(());
        }
        // Without keys, the caller's lock is never given up.
        self.write_summary(&Metadata::default(), &Vouching::default(), &mut None).map(drop)
    }

    /// `repo_lock` keeps commits here that refs point to. It is given up while keys sign, and taken again: a prune that waits for
    /// it would have all others wait behind it.
    fn write_summary(
        &self,
        extra: &Metadata,
        by: &Vouching<'_>,
        repo_lock: &mut Option<RepoLock>,
    ) -> Result<Summary> {
        // Not under the lock below: it takes a while, and a ref that moves meanwhile only lacks its closure.
        self.renew_closures(&self.local_targets()?);
        let mut patience = if by.signers.is_empty() { 0 } else { MAX_OVERTAKEN };
        loop {
            let mut lock = self.lock_refs()?;
            let summary = self.new_summary(extra)?;
            let bytes = summary.encode(self.config().format);
            let seen = (summary.listed().map_err(Error::Summary)?, self.summary_state()?);
            if patience > 0 {
                lock = None;
                *repo_lock = None;
            }
            let signatures = self.signatures_of(&bytes, by.signers)?;
            if patience > 0 {
                drop(lock);
                *repo_lock = self.store().lock(LockKind::Shared)?;
                lock = self.lock_refs()?;
                if (self.to_be_listed()?, self.summary_state()?) != seen {
                    patience -= 1;
                    continue;
                }
            }
            let statement = self.new_statement(&bytes, by)?;
            self.put_summary(&SummaryCopy {
                summary: &bytes,
                signatures: signatures.as_deref(),
                statement: statement.as_deref(),
            })?;
            drop(lock);
            return Ok(summary);
        }
    }

    /// The summary as it has to be now. The caller holds the lock of the refs.
    fn new_summary(&self, extra: &Metadata) -> Result<Summary> {
        let has_deltas = self.config().format == Format::Ostree;
        let deltas = if has_deltas { deltas::renew_indexes(self, None)? } else { Vec::new() };
        let mut refs = Vec::new();
        for entry in self.refs()?.into_iter().filter(|entry| entry.name.is_local()) {
            refs.push(self.summary_ref(entry.name, entry.target)?);
        }
        Ok(Summary { refs, metadata: self.summary_facts(extra, has_deltas, &deltas)? })
    }

    /// The file of signatures of a summary; `None` without signers.
    fn signatures_of(&self, summary: &[u8], signers: &[Box<dyn Signer>]) -> Result<Option<Vec<u8>>> {
        let made = sign_by_all(signers, summary)?;
        Ok((!signers.is_empty()).then(|| self.store().format().encode_metadata(&made)))
    }

    /// What the publishers state of a summary, with the key sets of this repository; `None` without publishers.
    fn new_statement(&self, summary: &[u8], by: &Vouching<'_>) -> Result<Option<Vec<u8>>> {
        if by.publishers.is_empty() {
            return Ok(None);
        }
        let file = statement::state_now(self.statement()?, || Ok(summary), by.lasts_seconds, by.publishers)?;
        Ok(Some(file.encode()))
    }

    /// Puts a summary in place with what vouches for it, durably; a file that is right already stays as it is. The caller holds
    /// the lock of the refs.
    ///
    /// Old signatures go before the summary that they are of, and what is stated comes last: whatever is seen meanwhile, clients
    /// refuse it or it is right. Without a new statement the old one stays.
    pub(super) fn put_summary(&self, new: &SummaryCopy<'_>) -> Result<()> {
        let fsync = self.config().fsync;
        let is_there = |name: &str, bytes: &[u8]| {
            let there = sapwood_fsio::read_optional(self.dir(), name, Format::MAX_META_BYTES);
            // What cannot be read is replaced like anything else.
            matches!(there, Ok(Some(there)) if there == bytes)
        };
        let is_new = !is_there(SUMMARY, new.summary);
        if (is_new || new.signatures.is_none())
            && sapwood_fsio::remove_file_optional(self.dir(), SIGNATURE)?
            && fsync
        {
            sapwood_fsio::sync_dir(self.dir())?;
        }
        if is_new {
            write::replace(self.dir(), SUMMARY, new.summary, fsync)?;
        }
        for (name, bytes) in [(SIGNATURE, new.signatures), (statement::FILE, new.statement)] {
            if let Some(bytes) = bytes.filter(|bytes| !is_there(name, bytes)) {
                write::replace(self.dir(), name, bytes, fsync)?;
            }
        }
        Ok(())
    }

    /// Signs the summary as it stands, and replaces the signatures that it had.
    ///
    /// # Errors
    /// [`Error::Sign`], also where there is no summary; [`Error::SummaryMoved`] where it was replaced meanwhile;
    /// [`Error::Lock`], [`Error::Io`].
    pub fn sign_summary(&self, signers: &[Box<dyn Signer>]) -> Result<()> {
        self.config().check_writable()?;
        let summary = sapwood_fsio::read_optional(self.dir(), SUMMARY, Format::MAX_META_BYTES)?;
        let none = || SignError::Signing { reason: "there is no summary".to_owned() };
        let summary = summary.ok_or_else(none)?;
        let signatures = self.signatures_of(&summary, signers)?;
        let _lock = self.lock_refs()?;
        if self.summary_state()? != SummaryState::of(&summary) {
            return Err(Error::SummaryMoved);
        }
        self.put_summary(&SummaryCopy {
            summary: &summary,
            signatures: signatures.as_deref(),
            statement: None,
        })
    }
}
