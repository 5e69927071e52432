//! Refs: names of commits, moved by compare and swap.

use crate::{RefName, Refspec};
use sapwood_objstore::{Commit, Id};

/// A ref and where it points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEntry {
    /// Its name.
    pub name: Refspec,
    /// The commit.
    pub target: Id<Commit>,
    /// If it is an alias: the ref it follows.
    pub alias_of: Option<RefName>,
}

/// Where a ref must be for an edit to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anywhere, or nowhere.
    Any,
    /// It must not exist.
    Absent,
    /// It must be here.
    At(Id<Commit>),
}

/// One change of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefEdit {
    /// Makes it point to a commit.
    Set { /** The ref. */ name: Refspec, /** Where it must be now. */ expected: Expected, /** Where it shall be. */ target: Id<Commit> },
    /// Makes it an alias of another local ref.
    Alias { /** The ref. */ name: RefName, /** What it shall follow. */ of: RefName },
    /// Removes it.
    Delete { /** The ref. */ name: Refspec, /** Where it must be now. */ expected: Expected },
}
