//! History: a commit, its parent, and so on.

use crate::{Repo, Result};
use sapwood_objstore::{Commit, Id};

/// One commit of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry { /** Its id. */ pub id: Id<Commit>, /** The commit. */ pub commit: Commit }

/// Commits from newest to oldest; ends where a parent is not in the repository.
#[derive(Debug)]
pub struct History<'repo> { repo: &'repo Repo }
impl History<'_> {
    /// After the end: the parent that is named but not here.
    pub fn missing(&self) -> Option<Id<Commit>> { todo!() }
}
impl Iterator for History<'_> {
    type Item = Result<LogEntry>;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
impl Repo {
    /// The history of a commit, itself first.
    pub fn history(&self, commit: Id<Commit>) -> History<'_> { todo!() }
}
