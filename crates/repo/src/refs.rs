//! Refs: names of commits, moved by compare and swap.
//!
//! Each ref is a file below `refs/` that holds an id, or a relative symlink to another ref: an alias. A ref is always
//! the old one or the new one, whatever moment the power fails; several refs that are edited together are all checked
//! before the first one moves, but a crash between two moves leaves the later ones as they were. They move in an order in
//! which no alias leads nowhere in between.
//!
//! Real `ostree` takes no lock for refs. Ours is a file of our own, so compare-and-swap holds among Sapwood's processes;
//! against a real `ostree` the last writer wins, as between two of its own.

mod check;
mod edit;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use edit::{RefTxn, RefWriting};
pub use read::BrokenRef;
pub(crate) use read::RefDb;

use crate::{RefName, Refspec};
use sapwood_objstore::{Commit, Id};

/// The lock file that serialises changes of refs and of the configuration among Sapwood's processes.
pub(crate) const LOCK: &str = ".refs.lock";

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
    /// It must still lead where it led when it was looked at, or nowhere; or be already where the edit takes it.
    Still(Option<Id<Commit>>),
}

/// One change of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefEdit {
    /// Makes it point to a commit, which must be in the repository. An alias is replaced; what it followed stays.
    Set {
        /** The ref. */
        name: Refspec,
        /** Where it must be now. */
        expected: Expected,
        /** Where it shall be. */
        target: Id<Commit>,
    },
    /// Makes it an alias of another local ref, which must exist.
    Alias {
        /** The ref. */
        name: RefName,
        /** What it shall follow. */
        of: RefName,
    },
    /// Removes it; an alias is removed itself. With [`Expected::Any`] a ref that does not exist is no error.
    Delete {
        /** The ref. */
        name: Refspec,
        /** Where it must be now. */
        expected: Expected,
    },
}

/// What a ref is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// There is none.
    Absent,
    /// A file with this id.
    At(Id<Commit>),
    /// A symlink to another ref of the same tree.
    Alias(RefName),
    /// Something else, which leads nowhere: it can be replaced and removed, as any ref can.
    Malformed,
}
