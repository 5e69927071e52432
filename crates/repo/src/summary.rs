//! The summary: all refs and what they point to, in one file, so that one request tells a client everything.

use crate::{RefName, Repo, Result};
use sapwood_objstore::{Commit, DecodeError, Format, Id, Metadata};

/// A summary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The refs, sorted by name.
    pub refs: Vec<SummaryRef>,
    /// Further facts.
    pub metadata: Metadata,
}

/// A ref in a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRef {
    /// Its name.
    pub name: RefName,
    /// The commit.
    pub target: Id<Commit>,
    /// Size of the commit object in bytes.
    pub commit_bytes: u64,
    /// Further facts.
    pub metadata: Metadata,
}

impl Summary {
    /// The bytes of the file.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        todo!()
    }
    /// Reads them.
    pub fn decode(format: Format, bytes: &[u8]) -> std::result::Result<Self, DecodeError> {
        todo!()
    }
    /// The ref of that name.
    pub fn get(&self, name: &str) -> Option<&SummaryRef> {
        todo!()
    }
}

impl Repo {
    /// Writes the summary of all local refs, atomically; removes a signature that it makes stale.
    pub fn update_summary(&self) -> Result<Summary> {
        todo!()
    }
    pub(crate) fn write_summary_locked(&self) -> Result<Summary> {
        todo!()
    }
    /// The summary file, if there is one.
    pub fn summary(&self) -> Result<Option<Summary>> {
        todo!()
    }
}
