//! What a prune is asked for, and what it tells.

use crate::Refspec;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is kept, and how much consideration is shown for others.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// How many parents of each ref's commit are kept; `None` is all. Default: all.
    pub depth: Option<u32>,
    /// Only refs keep commits alive; otherwise every commit that is stored does too. Default: no.
    pub refs_only: bool,
    /// Of each ref's history, the newest commit and those after it up to the first one older than this are kept, and
    /// nothing else: as OSTree has it, `depth` and `refs_only` are then not looked at. Seconds since the epoch.
    /// Default: not set.
    pub keep_younger_than: Option<i64>,
    /// Refs of whose commit so many parents are kept (`None` is all), whatever the other options say. With any, only refs
    /// keep commits alive. Default: none.
    pub branch_depths: BTreeMap<Refspec, Option<u32>>,
    /// The only refs whose history is shortened: of all others all parents are kept. With any, only refs keep commits
    /// alive. Default: none, which is every ref.
    pub only_branches: BTreeSet<Refspec>,
    /// Which kinds of objects are looked at and deleted. Default: all.
    pub scope: PruneScope,
    /// Objects that came here less than this ago stay, and of commits all that they need: for builders that store commits first
    /// and set refs later, in another transaction. Default: none, as in OSTree.
    pub grace: Duration,
    /// After holding the exclusive lock for so long while deleting, a prune lets others have it for a moment. Default: 1 s.
    pub hold: Duration,
    /// How long it lets them. Those who wait for the lock try at least every 50 ms. Default: 120 ms.
    pub pause: Duration,
    /// How many bytes of ids are held in memory, about, before some go to a file in `tmp`. Default: 128 MiB, which is enough
    /// for four million objects.
    pub memory_bytes: u64,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            depth: None,
            refs_only: false,
            keep_younger_than: None,
            branch_depths: BTreeMap::new(),
            only_branches: BTreeSet::new(),
            scope: PruneScope::default(),
            grace: Duration::ZERO,
            hold: Duration::from_secs(1),
            pause: Duration::from_millis(120),
            memory_bytes: 128 << 20,
        }
    }
}

/// Which kinds of objects a prune looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PruneScope {
    /// All.
    #[default]
    Everything,
    /// Commits alone, which is quick: what they leave behind is for another prune to delete.
    Commits,
}

/// What a prune did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /** Objects looked at. */
    pub total_objects: u64,
    /** Objects deleted. */
    pub deleted_objects: u64,
    /** Their size on disk. */
    pub freed_bytes: u64,
    /** Commits deleted. */
    pub deleted_commits: u64,
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PruneEvent {
    /// It is known what the commits reach that are kept; objects are listed next. The shared lock is held.
    Marked,
    /// So many objects were deleted so far.
    Deleted {
        /** How many. */
        objects: u64,
    },
    /// The exclusive lock was let go of, for others to have it for a moment.
    Paused,
}
