//! Marks of incompleteness: a file in `state` for each commit whose content is known not to be all here.
//!
//! A mark is durable before the first object of an incomplete commit becomes visible, and goes when the last one is
//! durable. An empty one is a pull's; one that holds `f` was set by a check that found damage.

use crate::{Repo, Result};
use sapwood_fsio::Dir;
use sapwood_objstore::{Commit, Id, ObjectId};
use std::collections::HashSet;

/// Where the marks are.
const STATE: &str = "state";
/// What follows the id in the name of a mark.
const SUFFIX: &str = ".commitpartial";
/// What a mark holds that was set by a check.
const DAMAGED: &[u8] = b"f";

/// Why a commit is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// Its content has not all been pulled.
    Pulled,
    /// A check found that something is missing or corrupt.
    Damaged,
}

fn path(commit: Id<Commit>) -> String {
    format!("{STATE}/{commit}{SUFFIX}")
}

impl Repo {
    /// Whether the content of a commit is known to be incomplete here. Of a commit that only a parent repository has, that one
    /// knows it.
    ///
    /// # Errors
    /// [`crate::Error::Store`], [`crate::Error::Io`].
    pub fn is_partial(&self, commit: Id<Commit>) -> Result<bool> {
        if self.is_marked(commit)? {
            return Ok(true);
        }
        if self.parents().is_empty() || self.store().size_and_time(commit.name())?.is_some() {
            return Ok(false);
        }
        for parent in self.parents() {
            if sapwood_fsio::stat_optional(parent.dir(), path(commit))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_marked(&self, commit: Id<Commit>) -> Result<bool> {
        Ok(sapwood_fsio::stat_optional(self.dir(), path(commit))?.is_some())
    }

    /// Marks a commit as incomplete (before its content arrives), durably. A mark that is there stays as it is.
    ///
    /// # Errors
    /// [`crate::Error::NewerFormat`] where the repository can only be read; [`crate::Error::Io`].
    pub fn mark_partial(&self, commit: Id<Commit>) -> Result<()> {
        if self.is_marked(commit)? { Ok(()) } else { self.mark_incomplete(commit, Incomplete::Pulled) }
    }

    /// Removes that mark, durably; none there is success.
    ///
    /// # Errors
    /// [`crate::Error::NewerFormat`] where the repository can only be read; [`crate::Error::Io`].
    pub fn clear_partial(&self, commit: Id<Commit>) -> Result<()> {
        self.config().check_writable()?;
        if sapwood_fsio::remove_file_optional(self.dir(), path(commit))? && self.config().fsync {
            sapwood_fsio::sync_dir(&sapwood_fsio::open_dir(self.dir(), STATE)?)?;
        }
        Ok(())
    }

    pub(crate) fn mark_incomplete(&self, commit: Id<Commit>, why: Incomplete) -> Result<()> {
        self.config().check_writable()?;
        sapwood_fsio::ensure_dir(self.dir(), STATE, 0o775)?;
        let content = match why {
            Incomplete::Pulled => &[],
            Incomplete::Damaged => DAMAGED,
        };
        crate::write::replace(self.dir(), &path(commit), content, self.config().fsync)
    }

    /// All commits that this repository has marks of.
    pub(crate) fn incomplete(&self) -> Result<Vec<(Id<Commit>, Incomplete)>> {
        marks_in(self.dir())
    }

    /// All commits that this repository or one of its parents has marks of.
    pub(crate) fn incomplete_anywhere(&self) -> Result<HashSet<Id<Commit>>> {
        let mut all: HashSet<_> = self.incomplete()?.into_iter().map(|(id, _)| id).collect();
        for parent in self.parents() {
            all.extend(marks_in(parent.dir())?.into_iter().map(|(id, _)| id));
        }
        Ok(all)
    }
}

fn marks_in(repo: &Dir) -> Result<Vec<(Id<Commit>, Incomplete)>> {
    let Some(dir) = sapwood_fsio::open_dir_optional(repo, STATE)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for entry in sapwood_fsio::entries(&dir)? {
        let id = entry.name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let Some(Ok(id)) = id.map(ObjectId::from_hex) else { continue };
        let content = sapwood_fsio::read_optional(&dir, &entry.name, 16)?;
        let why = match content.as_deref() {
            Some(DAMAGED) => Incomplete::Damaged,
            Some(_) => Incomplete::Pulled,
            None => continue,
        };
        all.push((Id::new(id), why));
    }
    Ok(all)
}
