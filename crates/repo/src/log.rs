//! History: a commit, its parent, and so on.

use crate::{Repo, Result};
use sapwood_objstore::{Commit, Id};

/// One commit of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /** Its id. */
    pub id: Id<Commit>,
    /** The commit. */
    pub commit: Commit,
}

/// Commits from newest to oldest; ends where a parent is not in the repository.
#[derive(Debug)]
pub struct History<'repo> {
    repo: &'repo Repo,
    next: Option<Id<Commit>>,
    is_first: bool,
    missing: Option<Id<Commit>>,
}

impl History<'_> {
    /// After the end: the parent that is named but not here.
    pub fn missing(&self) -> Option<Id<Commit>> {
        self.missing
    }
}

impl Iterator for History<'_> {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next.take()?;
        let is_first = std::mem::replace(&mut self.is_first, false);
        match self.repo.store().load(id) {
            Ok(commit) => {
                self.next = commit.parent;
                Some(Ok(LogEntry { id, commit }))
            }
            Err(sapwood_objstore::Error::Missing { .. }) if !is_first => {
                self.missing = Some(id);
                None
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl Repo {
    /// The history of a commit, itself first. That the first commit is missing is an error; that a later one is, the end.
    pub fn history(&self, commit: Id<Commit>) -> History<'_> {
        History { repo: self, next: Some(commit), is_first: true, missing: None }
    }
}
