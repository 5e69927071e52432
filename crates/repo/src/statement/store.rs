//! Statements of this repository, and what is known of those of remotes.

use super::{Checked, FILE, FreshnessError, MAX_BYTES, Seen, StatementFile, check};
use crate::sign::{Ed25519, SignError};
use crate::{Error, RemoteName, Repo, Result};
use sapwood_fsio::Dir;
use sapwood_objstore::Format;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where what is known of remotes is; below it, a file for each.
const SEEN: &str = "state/trust";
/// Largest of them, in bytes.
const MAX_SEEN_BYTES: u64 = 64 << 10;

fn seen_of(remote: &RemoteName) -> String {
    format!("{SEEN}/{remote}")
}

fn seen_in(repo: &Dir, remote: &RemoteName) -> Result<Option<Seen>> {
    let bytes = sapwood_fsio::read_optional(repo, seen_of(remote), MAX_SEEN_BYTES)?;
    bytes.map(|bytes| Seen::decode(&bytes)).transpose().map_err(Error::Statement)
}

fn cannot_sign(reason: &str) -> SignError {
    SignError::Signing { reason: reason.to_owned() }
}

/// States of a summary that it is the newest, for so many seconds from now, or for good.
///
/// # Errors
/// [`Error::Sign`] where there is no key set, or too few publishers sign; those of `summary`.
pub(crate) fn state_now<S: AsRef<[u8]>>(
    file: Option<StatementFile>,
    summary: impl FnOnce() -> Result<S>,
    lasts_seconds: Option<u64>,
    publishers: &[Ed25519],
) -> Result<StatementFile> {
    let mut file = file.ok_or_else(|| cannot_sign("the repository has no key set"))?;
    let summary = summary()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    file.state(summary.as_ref(), now, lasts_seconds, publishers)?;
    Ok(file)
}

impl Repo {
    /// The key sets of this repository, and what is stated now; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Statement`] where it is malformed; [`Error::Io`].
    pub fn statement(&self) -> Result<Option<StatementFile>> {
        let bytes = sapwood_fsio::read_optional(self.dir(), FILE, MAX_BYTES)?;
        bytes.map(|bytes| StatementFile::decode(&bytes)).transpose().map_err(Error::Statement)
    }

    /// Replaces them by what `change` makes of them, atomically and durably; nobody else changes them meanwhile. Gives what it
    /// made.
    ///
    /// # Errors
    /// What `change` fails with; as [`statement`](Self::statement); [`Error::NewerFormat`] where the repository can only be
    /// read; [`Error::Lock`]. Then they are as they were.
    pub fn change_statement<E: From<Error>>(
        &self,
        change: impl FnOnce(Option<StatementFile>) -> std::result::Result<StatementFile, E>,
    ) -> std::result::Result<StatementFile, E> {
        self.config().check_writable()?;
        let _lock = self.lock_refs()?;
        let file = change(self.statement()?)?;
        crate::write::replace(self.dir(), FILE, &file.encode(), self.config().fsync)?;
        Ok(file)
    }

    /// States that the summary, as it stands, is the newest; for so many seconds from now, or for good. Until this has
    /// returned, clients that ask for statements are refused: they have the old one and see the new summary.
    ///
    /// # Errors
    /// [`Error::Sign`] where there is no key set or no summary, or too few publishers sign; [`Error::Statement`],
    /// [`Error::Io`].
    pub fn state_summary(&self, lasts_seconds: Option<u64>, signers: &[Ed25519]) -> Result<StatementFile> {
        let summary = || {
            let bytes = sapwood_fsio::read_optional(self.dir(), "summary", Format::MAX_META_BYTES)?;
            Ok::<_, Error>(bytes.ok_or_else(|| cannot_sign("there is no summary"))?)
        };
        self.change_statement(|file| state_now(file, summary, lasts_seconds, signers))
    }

    /// The furthest that is known of a remote's statements below a root, here or in the repositories that this one looks into.
    ///
    /// # Errors
    /// [`Error::Statement`] where that is damaged: to take that for nothing would be to forget; [`Error::Io`].
    pub fn seen(&self, remote: &RemoteName, root: &[u8; 32]) -> Result<Option<Seen>> {
        let mut furthest = self.own_seen(remote)?.filter(|seen| seen.root == *root);
        for parent in self.parents() {
            if let Some(theirs) = seen_in(parent.dir(), remote)?.filter(|seen| seen.root == *root) {
                furthest = Some(match furthest {
                    Some(ours) => ours.furthest(theirs).map_err(Error::Statement)?,
                    None => theirs,
                });
            }
        }
        Ok(furthest)
    }

    /// What this repository itself remembers of a remote's statements, below whatever root.
    ///
    /// # Errors
    /// As [`seen`](Self::seen).
    pub fn own_seen(&self, remote: &RemoteName) -> Result<Option<Seen>> {
        seen_in(self.dir(), remote)
    }

    /// Checks a remote's statement against what is known of it, and remembers it, durably: in one step, so that of several
    /// who look at the same remote none brings back what another has seen the end of. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// [`Error::NotFresh`] where it does not pass: then what is known stays. As [`seen`](Self::seen);
    /// [`Error::NewerFormat`] where the repository can only be read; [`Error::Lock`].
    pub fn see(
        &self,
        remote: &RemoteName,
        file: Option<&[u8]>,
        root: &[u8; 32],
        now: u64,
    ) -> Result<Checked> {
        self.config().check_writable()?;
        let _lock = self.lock_refs()?;
        let known = self.seen(remote, root)?;
        let checked = check(file, root, known.as_ref(), now).map_err(Error::NotFresh)?;
        if self.own_seen(remote)?.as_ref() != Some(&checked.seen) {
            sapwood_fsio::ensure_dir(self.dir(), SEEN, 0o775)?;
            crate::write::replace(self.dir(), &seen_of(remote), &checked.seen.encode(), self.config().fsync)?;
        }
        Ok(checked)
    }

    /// That a statement is still the newest that is known of a remote, or that a newer one only says again of the same summary
    /// that it is the newest.
    pub(crate) fn check_seen(&self, remote: &RemoteName, seen: &Seen) -> Result<()> {
        let is_it = |known: Seen| {
            let is_same = known.statement == seen.statement;
            let is_renewed = known.summary.is_some() && known.summary == seen.summary;
            is_same || is_renewed
        };
        if self.seen(remote, &seen.root)?.is_some_and(is_it) {
            Ok(())
        } else {
            Err(Error::NotFresh(FreshnessError::Overtaken))
        }
    }

    /// Forgets what this repository itself knows of a remote's statements; gives whether that was anything. What a parent knows
    /// stays, and counts.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] where the repository can only be read; [`Error::Io`].
    pub fn forget(&self, remote: &RemoteName) -> Result<bool> {
        self.config().check_writable()?;
        Ok(sapwood_fsio::remove_file_optional(self.dir(), seen_of(remote))?)
    }
}
