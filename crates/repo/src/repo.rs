//! The repository: a store, refs, a configuration.

use crate::{CollectionId, Config, Keyfile, RefEdit, RefEntry, Refspec, Result, Transaction};
use sapwood_fsio::Dir;
use sapwood_objstore::{Commit, Format, Id, Mode, Store};

/// What a new repository is like.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Its format.
    pub format: Format,
    /// How it keeps objects.
    pub mode: Mode,
    /// Its collection id.
    pub collection_id: Option<CollectionId>,
}

/// A repository, open.
#[derive(Debug)]
pub struct Repo { _todo: () }

impl Repo {
    /// Creates a repository in the existing directory `dir`; one that is complete already is opened as it is.
    pub fn create(dir: &Dir, options: &CreateOptions) -> Result<Self> { todo!() }
    /// Opens the repository in `dir`. Opens its parents (`core.parent`) by the path in the configuration.
    pub fn open(dir: &Dir) -> Result<Self> { todo!() }
    /// Its objects.
    pub fn store(&self) -> &Store { todo!() }
    /// Its directory.
    pub fn dir(&self) -> &Dir { todo!() }
    /// Its configuration, as it was when it was opened or last edited through this value.
    pub fn config(&self) -> &Config { todo!() }
    /// Changes the configuration file, atomically. What `edit` makes must be a valid configuration.
    pub fn edit_config(&mut self, edit: impl FnOnce(&mut Keyfile)) -> Result<()> { todo!() }

    /// Begins a transaction.
    pub fn begin(&self) -> Result<Transaction<'_>> { todo!() }

    /// What a ref points to, through an alias too.
    pub fn ref_target(&self, name: &Refspec) -> Result<Option<Id<Commit>>> { todo!() }
    /// All refs, sorted by name: local ones and those of remotes.
    pub fn refs(&self) -> Result<Vec<RefEntry>> { todo!() }
    /// Moves refs without adding objects; each is checked to be where the edit expects it before any moves.
    pub fn edit_refs(&self, edits: Vec<RefEdit>) -> Result<()> { todo!() }
    /// The commit that a revision names: a ref, `REMOTE:REF`, an id, a unique prefix of one, each with any number of `^`.
    pub fn resolve(&self, revision: &str) -> Result<Id<Commit>> { todo!() }
    /// Whether the content of a commit is known to be incomplete here.
    pub fn is_partial(&self, commit: Id<Commit>) -> Result<bool> { todo!() }
    /// Marks a commit as incomplete (before its content arrives), durably.
    pub fn mark_partial(&self, commit: Id<Commit>) -> Result<()> { todo!() }
    /// Removes that mark.
    pub fn clear_partial(&self, commit: Id<Commit>) -> Result<()> { todo!() }
}
