//! Committing directories.
//!
//! A directory is imported into a [`Transaction`] by several threads, a commit object is written for it, and with the
//! transaction's commit all of it becomes durable, then visible, and then the branch moves. What the last commit of the
//! same directory learned about its files is kept in a stat cache, so that unchanged files are not read again.

mod build;
mod cache;
mod consume;
mod devino;
mod import;
mod lists;
mod look;
mod merge;
mod modify;
mod place;
mod record;
mod restore;
mod sizes;
mod stage;
mod unpack;

pub(crate) use stage::{COLLECTION_BINDING, REF_BINDING};

use crate::selinux::Labels;
use crate::{RefName, Refspec, Repo, Result, Root, Transaction, pool};
pub use build::{BuildCounts, BuiltTree, TreeBuilder};
pub use consume::Consumed;
pub(crate) use import::placed;
pub use lists::{ListError, ModeList, SkipList};
pub(crate) use look::Looker;
pub use look::id_on_disk;
use sapwood_fsio::Dir;
use sapwood_objstore::{Commit, Id, Metadata, Published, Totals, Value};
pub use sizes::{RecordedSize, recorded_sizes};
pub use unpack::{PathFilter, TarOptions};

/// What is changed on the way from disk to repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Modifiers {
    /// Owner of everything. Without effect beside [`canonical_permissions`](Self::canonical_permissions).
    pub owner_uid: Option<u32>,
    /// Group of everything. Without effect beside [`canonical_permissions`](Self::canonical_permissions).
    pub owner_gid: Option<u32>,
    /// No extended attributes.
    pub no_xattrs: bool,
    /// Owner and group 0, permission bits `& 0755`, no extended attributes. A `bare-user-only` repository always does so.
    pub canonical_permissions: bool,
    /// Nobody may write files that can be executed.
    pub mode_ro_executables: bool,
}

/// What hard links into the repository mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// Nothing: a file is what it looks like.
    #[default]
    Ignore,
    /// The file is the object, with the attributes that the object has, and with what is changed of it.
    Modify,
    /// The file is the object, and nothing is changed of it.
    Trust,
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
    /// Labels that are given to what is recorded; what the policy has none for keeps its own. `bare-user-only` repositories
    /// keep none. Default: none.
    pub labels: Option<Labels>,
    /// Modes that are changed.
    pub modes: ModeList,
    /// What is left out.
    pub skip: SkipList,
    /// What files are that have a name in the repository too. Default: what they look like.
    pub links: Links,
    /// Whether files are recognised by the stat cache, and the cache is renewed. Default: yes.
    pub use_cache: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            modifiers: Modifiers::default(),
            threads: pool::default_threads(),
            max_depth: 1024,
            labels: None,
            modes: ModeList::default(),
            skip: SkipList::default(),
            links: Links::default(),
            use_cache: true,
        }
    }
}

/// An imported directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportedTree {
    /// Its root.
    pub root: Root,
    /// What it holds.
    pub totals: Totals,
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitEvent {
    /// So much was recorded until now.
    Imported {
        /** Files. */
        files: u64,
        /** Bytes of content. */
        bytes: u64,
    },
    /// Objects are being made durable.
    Syncing,
}

/// The parent of a new commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent {
    /// What the branch points to now, if anything.
    #[default]
    Branch,
    /// None.
    None,
    /// This.
    Commit(Id<Commit>),
}

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
    /// Further facts. `ostree.ref-binding` is added to them as OSTree adds it: last, and empty without a branch.
    pub metadata: Metadata,
    /// The version of the kernel, if the tree can be booted. The metadata say both then, and have the order that OSTree gives
    /// them.
    pub bootable: Option<String>,
    /// The sizes of its objects, as [`Repo::sizes`] gives them: they come last, as in OSTree.
    pub sizes: Option<Value>,
    /// Without `ostree.ref-binding` (and collection binding).
    pub no_bindings: bool,
    /// Refs beside the branch under which the commit may be served.
    pub bind_refs: Vec<RefName>,
}

/// What was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitOutcome {
    /// The new commit.
    pub commit: Id<Commit>,
    /// Its tree.
    pub tree: ImportedTree,
    /// What was offered and written; files that the stat cache knew count as offered.
    pub published: Published,
}

impl Repo {
    /// Records the directory in a transaction; nothing is visible before that commits.
    ///
    /// Symlinks are recorded, not followed, and filesystems mounted below are part of the tree. On failure the
    /// transaction can go on; what was staged until then is not referred to.
    ///
    /// # Errors
    /// - [`Error::Unrecordable`](crate::Error::Unrecordable) for what the format or the repository cannot hold, and for
    ///   a file that keeps changing while it is read.
    /// - [`Error::TooDeep`](crate::Error::TooDeep) past [`ImportOptions::max_depth`].
    /// - [`Error::Io`](crate::Error::Io), with the path in the tree, for what cannot be read or vanishes meanwhile.
    /// - [`Error::Store`](crate::Error::Store) when objects cannot be written.
    pub fn import(
        &self,
        txn: &Transaction<'_>,
        dir: &Dir,
        options: &ImportOptions,
        on_event: &(dyn Fn(CommitEvent) + Sync),
    ) -> Result<ImportedTree> {
        let mut builder = self.build_tree(txn, options)?;
        builder.add_dir(dir, on_event)?;
        Ok(builder.finish()?.tree)
    }

    /// Writes a commit object for a tree into the transaction and has the branch moved to it.
    ///
    /// The branch must still be where it is now when the transaction commits.
    ///
    /// # Errors
    /// When the branch cannot be read, or the object not be written.
    pub fn stage_commit(
        &self,
        txn: &mut Transaction<'_>,
        tree: ImportedTree,
        options: &CommitOptions,
    ) -> Result<Id<Commit>> {
        stage::stage(self, txn, tree, options)
    }

    /// Records a directory as a commit: import, commit object, sync, ref.
    ///
    /// Once it returns, commit and ref survive a power loss. After a crash or a failure the ref is where it was.
    ///
    /// # Errors
    /// As [`import`](Self::import) and [`Transaction::commit`].
    pub fn commit_dir(
        &self,
        dir: &Dir,
        import: &ImportOptions,
        commit: &CommitOptions,
        on_event: &(dyn Fn(CommitEvent) + Sync),
    ) -> Result<CommitOutcome> {
        let mut txn = self.begin()?;
        let mut builder = self.build_tree(&txn, import)?;
        builder.add_dir(dir, on_event)?;
        let built = builder.finish()?;
        let id = self.stage_commit(&mut txn, built.tree, commit)?;
        on_event(CommitEvent::Syncing);
        let mut published = txn.commit()?;
        published.files_total += built.counts.hits;
        Ok(CommitOutcome { commit: id, tree: built.tree, published })
    }
}
