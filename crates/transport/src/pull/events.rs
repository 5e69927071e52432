//! What a pull tells while it runs, and at its end.

use sapwood_objstore::{Commit, Id, Published};
use sapwood_repo::Refspec;

/// News of a pull. All are told from the thread that called it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum PullEvent<'a> {
    /// A ref of the remote points to this commit; told once for each, before anything of it is fetched.
    Resolved {
        /// The ref that will be set; `None` if a commit alone was asked for.
        name: Option<&'a Refspec>,
        /// Its commit.
        commit: Id<Commit>,
    },
    /// How far it is; told at most ten times a second, and once when all has arrived.
    Progress(Progress),
    /// Everything has arrived and is being made durable.
    Syncing,
}

/// How far a pull is. Counts never shrink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Metadata objects (commits, dirtrees, dirmetas) known to be missing here at the beginning.
    pub meta_known: u64,
    /// Those of them that have arrived.
    pub meta_done: u64,
    /// Files known to be missing here at the beginning.
    pub files_known: u64,
    /// Those of them that have arrived.
    pub files_done: u64,
    /// Metadata objects of those that have arrived that came from a repository of this machine.
    pub meta_local: u64,
    /// Files of those that have arrived that came from a repository of this machine.
    pub files_local: u64,
    /// Content in bytes of the files that were missing, before compression: exact in the native format, `None` in
    /// OSTree's, which does not say.
    pub content_bytes_known: Option<u64>,
    /// Content in bytes of those that have arrived, before compression; `None` as above.
    pub content_bytes_done: Option<u64>,
    /// Whether all metadata has arrived, so that the known counts are final.
    pub totals_final: bool,
    /// Parts of static deltas that are fetched.
    pub delta_parts_known: u64,
    /// Those of them that have been dealt with.
    pub delta_parts_done: u64,
    /// Bytes that they have together, as fetched.
    pub delta_bytes_known: u64,
    /// Bytes received in bodies.
    pub bytes_received: u64,
    /// Files asked for.
    pub requests: u64,
    /// Those of them that are waited for now, or stored.
    pub requests_open: u64,
}

/// A ref that a pull set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The ref of this repository.
    pub name: Refspec,
    /// Where it was; `None` if it is new.
    pub old: Option<Id<Commit>>,
    /// Where it is now.
    pub new: Id<Commit>,
}

/// What a pull did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullOutcome {
    /// The refs, in the order asked for; those that were there already included.
    pub refs: Vec<RefUpdate>,
    /// Commits asked for without a ref.
    pub commits: Vec<Id<Commit>>,
    /// Metadata objects that came over.
    pub meta_fetched: u64,
    /// Files that came over.
    pub files_fetched: u64,
    /// Metadata objects that were taken from local caches instead.
    pub meta_cached: u64,
    /// Files that were taken from local caches instead.
    pub files_cached: u64,
    /// Parts of static deltas that came over and made objects; these are not counted otherwise.
    pub delta_parts: u64,
    /// Bytes received in bodies.
    pub bytes_received: u64,
    /// Files asked for.
    pub requests: u64,
    /// What was written.
    pub published: Published,
}

impl PullOutcome {
    /// Objects that came over.
    pub fn objects_fetched(&self) -> u64 {
        self.meta_fetched + self.files_fetched
    }
}
