//! Committing directories.

use crate::{Refspec, Repo, Result, Root, Transaction};
use sapwood_fsio::Dir;
use sapwood_objstore::{Commit, Id, Metadata, Published, Totals};

/// What is changed on the way from disk to repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Modifiers {
    /// Owner of everything.
    pub owner_uid: Option<u32>,
    /// Group of everything.
    pub owner_gid: Option<u32>,
    /// No extended attributes.
    pub no_xattrs: bool,
    /// Owner and group 0, permission bits `& 0755`, no extended attributes.
    pub canonical_permissions: bool,
}

/// How a directory is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// What is changed.
    pub modifiers: Modifiers,
    /// Threads that read and hash. Default: one for each core.
    pub threads: usize,
    /// Deepest tree accepted. Default: 1024 directories.
    pub max_depth: usize,
    /// Whether files are recognised by the stat cache. Default: yes.
    pub use_cache: bool,
}

/// An imported directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportedTree { /** Its root. */ pub root: Root, /** What it holds. */ pub totals: Totals }

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitEvent { /** So much was recorded until now. */ Imported { /** Files. */ files: u64, /** Bytes of content. */ bytes: u64 }, /** Objects are being made durable. */ Syncing }

/// The parent of a new commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent { /** What the branch points to now, if anything. */ #[default] Branch, /** None. */ None, /** This. */ Commit(Id<Commit>) }

/// What is said of a new commit.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The ref that is moved to it; `None` moves none.
    pub branch: Option<Refspec>,
    /// Its parent.
    pub parent: Parent,
    /// One line about it.
    pub subject: String,
    /// More about it.
    pub body: String,
    /// Seconds since the epoch; `None` is now.
    pub timestamp: Option<u64>,
    /// Further facts. `ostree.ref-binding` is added to them as OSTree adds it.
    pub metadata: Metadata,
    /// Without `ostree.ref-binding` (and collection binding).
    pub no_bindings: bool,
}

/// What was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitOutcome { /** The new commit. */ pub commit: Id<Commit>, /** Its tree. */ pub tree: ImportedTree, /** What was written. */ pub published: Published }

impl Default for ImportOptions { fn default() -> Self { todo!() } }

impl Repo {
    /// Records the directory in a transaction; nothing is visible before that commits.
    pub fn import(&self, txn: &Transaction<'_>, dir: &Dir, options: &ImportOptions, on_event: &(dyn Fn(CommitEvent) + Sync)) -> Result<ImportedTree> { todo!() }
    /// Writes a commit object for a tree into the transaction and has the branch moved to it.
    pub fn stage_commit(&self, txn: &mut Transaction<'_>, tree: ImportedTree, options: &CommitOptions) -> Result<Id<Commit>> { todo!() }
    /// Records a directory as a commit: import, commit object, sync, ref.
    pub fn commit_dir(&self, dir: &Dir, import: &ImportOptions, commit: &CommitOptions, on_event: &(dyn Fn(CommitEvent) + Sync)) -> Result<CommitOutcome> { todo!() }
}
