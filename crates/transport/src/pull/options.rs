//! What is pulled, and how.

use super::fresh::Freshness;
use super::subpath::Subpath;
use super::summary::SummaryCache;
use crate::WantedError;
use sapwood_objstore::{Commit, Format, Id, ObjectId, ObjectName, Trust};
use sapwood_repo::sign::Policy;
use sapwood_repo::{CollectionId, RefName, RemoteName};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// One thing to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A ref of the remote, at the commit it points to there.
    Ref(RefName),
    /// A ref, but set to this commit whatever the remote's ref points to.
    RefAt(RefName, Id<Commit>),
    /// A commit; no ref is set.
    Commit(Id<Commit>),
}

impl Wanted {
    /// Reads `REF`, `REF@COMMIT` or `COMMIT`, where `COMMIT` is 64 hexadecimal digits.
    ///
    /// # Errors
    /// See [`WantedError`].
    pub fn parse(text: &str) -> Result<Self, WantedError> {
        if let Ok(id) = ObjectId::from_hex(text) {
            return Ok(Self::Commit(Id::new(id)));
        }
        Ok(match text.split_once('@') {
            Some((name, id)) => Self::RefAt(RefName::new(name)?, Id::new(ObjectId::from_hex(id)?)),
            None => Self::Ref(RefName::new(text)?),
        })
    }
}

/// Which refs of this repository a pull sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RefsInto {
    /// Its own refs, of the same names: a mirror.
    #[default]
    Heads,
    /// The last known state of this remote's refs.
    Remote(RemoteName),
    /// Its own refs, of the same names, where the remote's are of no collection or of this repository's; else those that it
    /// carries on for the remote's collection. Where all refs are pulled, those that the remote carries on for others, too; but
    /// none that it carries on for this repository's own collection.
    Mirror,
}

/// How much of a commit is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All it reaches.
    #[default]
    Everything,
    /// Commit objects alone; the commits stay marked as incomplete.
    CommitsOnly,
}

/// Whether a commit must have been made for the ref that it is pulled as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bindings {
    /// A commit that names refs must name this one; where refs are of a collection, it must name this one and that.
    #[default]
    Check,
    /// Whatever it names.
    Ignore,
}

/// Whether static deltas are used. They are only where whole commits go into a repository that is not an archive, of
/// OSTree's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deltas {
    /// Where there are any that are of use; else, and where one is damaged, objects are fetched one by one.
    #[default]
    Use,
    /// They are not looked for.
    Never,
    /// Each commit that is not here must come by one; what it does not hold may be fetched one by one.
    Require,
}

/// How old a commit may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Age {
    /// Its timestamp does not matter.
    #[default]
    Any,
    /// Not older than what the ref that it is pulled for points to; a new ref takes any.
    NotBeforeRef,
    /// As [`NotBeforeRef`](Self::NotBeforeRef), but a ref that is wanted at a certain commit takes that one.
    Forward,
    /// Not older than this commit, which must be here.
    NotBefore(Id<Commit>),
}

/// Which permission bits regular files may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileModes {
    /// All that the repository can hold.
    #[default]
    Any,
    /// Those of 0775: neither setuid or setgid bits nor writable for all, whatever the repository's mode.
    Plain,
}

/// How much a remote may make this machine do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimits {
    /// Objects looked at in one pull. Default: 16 million, which is about 1 GB of memory.
    pub max_objects: u64,
    /// Depth of trees in directories, the root not counted. Default: 1024.
    pub max_depth: u32,
    /// Largest metadata object and summary, in bytes. Default: 128 MiB.
    pub max_meta_bytes: u64,
    /// Largest archived file, in bytes. Default: 1 TiB.
    pub max_file_bytes: u64,
    /// Largest part of a static delta, in bytes as fetched. Default: 256 MiB.
    pub max_part_bytes: u64,
    /// Parts of static deltas in memory at a time, in bytes, as they are fetched and as they may decompress. One that may be
    /// larger by itself is not used. Default: 512 MiB.
    pub max_parts_memory_bytes: u64,
    /// Superblocks of all static deltas of a pull together, in bytes: they are in memory. What does not fit is not used.
    /// Default: 128 MiB.
    pub max_superblocks_bytes: u64,
    /// How long [`plan_pull`](crate::plan_pull) waits for the next closure, for the sizes that it tells, when it knows all
    /// else. Default: 30 s.
    pub max_closure_wait: Duration,
}

impl Default for PullLimits {
    fn default() -> Self {
        Self {
            max_objects: 16_000_000,
            max_depth: 1024,
            max_meta_bytes: Format::MAX_META_BYTES,
            max_file_bytes: 1 << 40,
            max_part_bytes: 256 << 20,
            max_parts_memory_bytes: 512 << 20,
            max_superblocks_bytes: 128 << 20,
            max_closure_wait: Duration::from_secs(30),
        }
    }
}

/// What is pulled, and how.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// What is pulled. Empty (the default): all refs, which a remote must list in its summary.
    pub wanted: Vec<Wanted>,
    /// Which refs are set. Default: those of the same names.
    pub into: RefsInto,
    /// How many parents of each commit are pulled, as far as the remote has them; `None` is all. Default: 0.
    pub depth: Option<u32>,
    /// How much of each commit is pulled. Default: everything.
    pub scope: Scope,
    /// Whether bindings of the refs that are pulled are checked. Default: yes.
    pub bindings: Bindings,
    /// The collection that the remote is of: commits that are pulled for refs must then name it, and the ref. Where it is not
    /// given, commits that come from another repository of this machine must name that one's. Default: none.
    pub collection: Option<CollectionId>,
    /// Which parts of each commit's tree are pulled; its commits then stay marked as incomplete. Empty (the default): all.
    /// A path that a tree does not have is passed over.
    pub subpaths: Vec<Subpath>,
    /// Damaged objects that are fetched again although they are here; each stays until its replacement is verified and
    /// durable. Default: none.
    pub replace: Vec<ObjectName>,
    /// How old the wanted commits may be. Default: any.
    pub age: Age,
    /// Which permission bits regular files may have. Default: any.
    pub file_modes: FileModes,
    /// For [`pull_local`](crate::pull_local): whether the other repository is believed. Metadata is checked all the same.
    /// Default: yes.
    pub trust: Trust,
    /// What must be signed: checked before anything of a commit is stored. Default: nothing.
    pub policy: Arc<Policy>,
    /// What proves that the remote's state is its newest; then its refs are those of its summary alone. Default: nothing.
    pub freshness: Option<Freshness>,
    /// Where a summary that must be signed is kept for the next time, so that it is fetched once. Default: nowhere.
    pub summary_cache: Option<SummaryCache>,
    /// Whether static deltas are used, by [`pull`](crate::pull). Default: where they are of use.
    pub deltas: Deltas,
    /// Whether the remote's summary and its signatures are kept as they are: for a mirror of all refs. Default: no.
    pub copy_summary: bool,
    /// How many requests are under way at once, at most: fewer where more bring nothing, or some are refused. Default: 128.
    pub requests: usize,
    /// How many bytes of bodies may come in a second, over more than a moment; the fewer, the fewer requests are under way.
    /// What deems transfers stalled must be below that: see
    /// [`HttpOptions::min_bytes_per_second`](crate::HttpOptions::min_bytes_per_second). Default: any number.
    pub max_bytes_per_second: Option<NonZeroU64>,
    /// How often progress is told, at most. Default: ten times a second.
    pub progress_interval: Duration,
    /// Threads that verify and store. Default: one for each core.
    pub threads: usize,
    /// Limits. See [`PullLimits`].
    pub limits: PullLimits,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            wanted: Vec::new(),
            into: RefsInto::default(),
            depth: Some(0),
            scope: Scope::default(),
            bindings: Bindings::default(),
            collection: None,
            subpaths: Vec::new(),
            replace: Vec::new(),
            age: Age::default(),
            file_modes: FileModes::default(),
            trust: Trust::Trusted,
            policy: Arc::default(),
            freshness: None,
            summary_cache: None,
            deltas: Deltas::default(),
            copy_summary: false,
            requests: 128,
            max_bytes_per_second: None,
            progress_interval: Duration::from_millis(100),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            limits: PullLimits::default(),
        }
    }
}
