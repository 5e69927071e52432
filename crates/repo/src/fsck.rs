//! Checking a repository: every object is read and hashed, in parallel. A finding is not an error.

use crate::{Refspec, Repo, Result};
use sapwood_objstore::{Commit, Id, ObjectName};

/// What is checked, and with how much effort.
#[derive(Debug, Clone, Default)]
pub struct FsckOptions {
    /// Corrupt objects are removed, and commits that lose something are marked as incomplete.
    pub delete_corrupt: bool,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /** Something refers to it, but it is not here. */
    Missing,
    /** It hashes to something else. */
    Corrupt {
        /** To this. */
        actual: sapwood_objstore::ObjectId,
    },
    /** Its bytes are not a valid object. */
    Malformed,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /** The object. */
    pub object: ObjectName,
    /** What is wrong. */
    pub problem: Problem,
    /** Commits that need it. */
    pub commits: Vec<Id<Commit>>,
    /** Refs whose commit is among those. */
    pub refs: Vec<Refspec>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /** Everything wrong. */
    pub findings: Vec<Finding>,
    /** Objects read. */
    pub objects: u64,
    /** Complete commits checked. */
    pub commits: u64,
    /** Commits known to be incomplete. */
    pub partial: Vec<Id<Commit>>,
    /** Those of them that an earlier check found damaged. */
    pub damaged: Vec<Id<Commit>>,
    /** Refs to commits that are not here. */
    pub dangling_refs: Vec<Refspec>,
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FsckEvent {
    /** Objects to be read, once known. */
    Total {
        /** How many. */
        objects: u64,
    },
    /** Objects read so far. */
    Checked {
        /** How many. */
        objects: u64,
    },
}

impl Repo {
    /// Checks everything that refs and commits reach, and every object that is stored.
    pub fn fsck(&self, options: &FsckOptions, on_event: &(dyn Fn(FsckEvent) + Sync)) -> Result<FsckReport> {
        todo!()
    }
}
