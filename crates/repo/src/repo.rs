//! The repository: a store, refs, a configuration.
//!
//! Opening reads the configuration and looks at nothing else, so a repository of a newer format is refused, or opened
//! for reading alone, before anything in it could be misunderstood.

use crate::refs::{LOCK, RefDb, RefTxn, RefWriting};
use crate::remote::DropIns;
use crate::write::TMP;
use crate::{
    BrokenRef, CollectionId, Config, Error, Keyfile, Namespace, RefEdit, RefEntry, RefName, Refspec, Remote,
    Result, Transaction,
};
use sapwood_fsio::Dir;
use sapwood_fsio::lock::{Lock, LockError, LockKind};
use sapwood_objstore::{Commit, Format, Id, Mode, RepoLock, Store};
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// The configuration file.
const CONFIG: &str = "config";
/// Its presence says that a repository is complete.
const OBJECTS: &str = "objects";
/// The directories of a new repository, in OSTree's order; `objects` follows them.
const DIRS: [&str; 7] = ["tmp", "extensions", "state", "refs", "refs/heads", "refs/mirrors", "refs/remotes"];
/// Their permission bits, less the umask.
const DIR_MODE: u32 = 0o775;
/// How many repositories may be each other's parents.
const MAX_PARENTS: usize = 16;

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
pub struct Repo {
    dir: Dir,
    store: Store,
    config: Config,
    parents: Vec<ParentRepo>,
    pub(crate) drop_ins: Option<DropIns>,
}

/// A repository that this one looks into (`core.parent`), or one that such a one looks into.
#[derive(Debug)]
pub(crate) struct ParentRepo {
    dir: Dir,
    pub(crate) config: Config,
}

impl ParentRepo {
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn ref_db(&self) -> RefDb<'_> {
        RefDb::new(&self.dir)
    }
}

impl Repo {
    /// Creates a repository in the existing directory `dir`; one that is complete already is opened as it is.
    ///
    /// A crash leaves a directory that is no repository yet, and in which creating succeeds the next time. Files that
    /// are in the way are not touched; a configuration that says more than a new one does is kept.
    ///
    /// # Errors
    /// [`Error::Config`] if there is such a configuration, of another format or mode; [`Error::Io`]; for a complete
    /// repository those of [`open`](Self::open).
    pub fn create(dir: &Dir, options: &CreateOptions) -> Result<Self> {
        if sapwood_fsio::stat_optional(dir, OBJECTS)?.is_some() {
            return Self::open(dir);
        }
        let initial = Config::initial(options.format, options.mode, options.collection_id.as_ref());
        let found = match sapwood_fsio::read_optional(dir, CONFIG, Keyfile::MAX_BYTES as u64)? {
            Some(bytes) => Some(Config::parse(&bytes)?).filter(|config| !config.is_initial()),
            None => None,
        };
        let config = if let Some(config) = found {
            check_same_kind(&config, options.format, options.mode)?;
            config
        } else {
            crate::write::replace(dir, CONFIG, initial.to_text().as_bytes(), true)?;
            Config::from_keyfile(initial)?
        };
        for path in DIRS {
            sapwood_fsio::ensure_dir(dir, path, DIR_MODE)?;
        }
        for path in ["refs", "."] {
            sapwood_fsio::sync_dir(&sapwood_fsio::open_dir(dir, path)?)?;
        }
        drop(Store::create(dir, config.format, config.mode, config.store_options())?);
        sapwood_fsio::sync_dir(dir)?;
        Self::open(dir)
    }

    /// Opens the repository in `dir`, and its parents (`core.parent`) by the path in the configuration.
    ///
    /// Nothing is changed, save that `tmp` is made anew where it is missing and may be made: people empty repositories
    /// of it, and others' programs expect it.
    ///
    /// # Errors
    /// [`Error::NotARepo`], [`Error::NewerFormat`], [`Error::Config`], [`Error::Keyfile`], [`Error::Io`].
    pub fn open(dir: &Dir) -> Result<Self> {
        let config = read_config(dir)?;
        let mut parents = Vec::new();
        let store = open_store(dir, &config, &mut parents)?;
        if let Err(error) = sapwood_fsio::ensure_dir(dir, TMP, DIR_MODE) {
            tracing::debug!(%error, "the repository has no `tmp`");
        }
        Ok(Self { dir: sapwood_fsio::open_dir(dir, ".")?, store, config, parents, drop_ins: None })
    }

    /// Its objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its configuration, as it was when it was opened or last edited through this value.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Overrides `core.fsync` for this value; the file is not changed.
    ///
    /// Without syncs a crash of the program still leaves the old state or the new one, but a power loss may leave
    /// anything: for repositories that can be made anew.
    pub fn set_fsync(&mut self, fsync: bool) {
        self.config.fsync = fsync;
        self.store.set_fsync(fsync);
    }

    /// Overrides `core.per-object-fsync` for this value; the file is not changed.
    pub fn set_per_object_fsync(&mut self, each: bool) {
        self.store.set_per_object_fsync(each);
    }

    /// Changes the configuration file, atomically. What `edit` makes must be a valid configuration of the same format
    /// and, once there are objects, of the same mode; the file is read again before, so that nothing another process
    /// wrote is lost.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Keyfile`] for what `edit` made; [`Error::NewerFormat`] where the repository can
    /// only be read; [`Error::Lock`], [`Error::Io`]. The file is then the old one.
    pub fn edit_config(&mut self, edit: impl FnOnce(&mut Keyfile)) -> Result<()> {
        self.config.check_writable()?;
        let lock = self.lock_refs()?;
        let mut keyfile = read_config(&self.dir)?.keyfile;
        let before = keyfile.clone();
        edit(&mut keyfile);
        let text = keyfile.to_text();
        let config = Config::parse(text.as_bytes())?;
        let may_change = config.mode != self.config.mode && self.is_empty()?;
        let mode = if may_change { config.mode } else { self.config.mode };
        check_same_kind(&config, self.config.format, mode)?;
        let mut parents = Vec::new();
        let store = open_store(&self.dir, &config, &mut parents)?;
        if keyfile != before {
            crate::write::replace(&self.dir, CONFIG, text.as_bytes(), true)?;
        }
        drop(lock);
        self.store = store;
        self.config = config;
        self.parents = parents;
        Ok(())
    }

    /// Whether it has no object of its own.
    fn is_empty(&self) -> Result<bool> {
        for shard in 0..=u8::MAX {
            if !self.store.shard_objects(shard)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says in the configuration file that static deltas have indexes. The caller holds the lock of the refs.
    pub(crate) fn set_indexed_deltas(&self) -> Result<()> {
        let mut keyfile = read_config(&self.dir)?.keyfile;
        if keyfile.get_bool("core", "indexed-deltas") == Some(Ok(true)) {
            return Ok(());
        }
        keyfile.set("core", "indexed-deltas", "true");
        crate::write::replace(&self.dir, CONFIG, keyfile.to_text().as_bytes(), self.config.fsync)
    }

    /// Begins a transaction, under the shared lock.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] where the repository can only be read; [`Error::Store`].
    pub fn begin(&self) -> Result<Transaction<'_>> {
        self.config.check_writable()?;
        Transaction::begin(self)
    }

    /// What a ref points to, through an alias too.
    ///
    /// # Errors
    /// [`Error::MalformedRef`], [`Error::Io`].
    pub fn ref_target(&self, name: &Refspec) -> Result<Option<Id<Commit>>> {
        self.ref_db().target(name)
    }

    /// All refs, sorted by name: local ones, then those of remotes. Left out are aliases of what does not exist, and
    /// files whose names no ref can have.
    ///
    /// # Errors
    /// [`Error::MalformedRef`] for a file that holds no id, [`Error::Io`].
    pub fn refs(&self) -> Result<Vec<RefEntry>> {
        self.ref_db().list()
    }

    /// The refs of other collections that are carried on here, sorted; left out is the same as in [`refs`](Self::refs).
    ///
    /// # Errors
    /// As [`refs`](Self::refs).
    pub fn mirrored_refs(&self) -> Result<Vec<RefEntry>> {
        self.ref_db().list_mirrors()
    }

    /// Every ref whose collection is known, by collection and name: the repository's own (if it has a collection id),
    /// mirrored ones, and those of remotes that have one. Of several that are called the same the first in that order
    /// counts.
    ///
    /// # Errors
    /// As [`refs`](Self::refs).
    pub fn collection_refs(&self) -> Result<BTreeMap<(CollectionId, RefName), RefEntry>> {
        let configured = self.remotes()?;
        let (remote, own): (Vec<_>, Vec<_>) =
            self.refs()?.into_iter().partition(|entry| entry.name.remote().is_some());
        let mut all = BTreeMap::new();
        for entry in own.into_iter().chain(self.mirrored_refs()?).chain(remote) {
            let collection = match &entry.name.namespace {
                Namespace::Local => self.config.collection_id.clone(),
                Namespace::Mirror(collection) => Some(collection.clone()),
                Namespace::Remote(name) => {
                    configured.iter().find(|remote| remote.name == *name).and_then(Remote::collection_id)
                }
            };
            if let Some(collection) = collection {
                all.entry((collection, entry.name.name.clone())).or_insert(entry);
            }
        }
        Ok(all)
    }

    /// All refs that can be followed and all that cannot, each sorted by name; mirrored ones are among them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn survey_refs(&self) -> Result<(Vec<RefEntry>, Vec<BrokenRef>)> {
        self.ref_db().survey()
    }

    /// Where all refs point that can be followed, those of remotes and other collections too.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn ref_targets(&self) -> Result<Vec<(Refspec, Id<Commit>)>> {
        let (refs, _) = self.survey_refs()?;
        Ok(refs.into_iter().map(|entry| (entry.name, entry.target)).collect())
    }

    /// Moves refs without adding objects; each is checked to be where the edit expects it before any moves.
    ///
    /// Edits are checked in order, each on what those before it would leave. A ref is the old one or the new one whatever
    /// moment the power fails, but some may have moved and others not. Where that is configured, the summary is renewed;
    /// one that publishers' keys must vouch for is left as it is, and the log says so.
    ///
    /// # Errors
    /// [`Error::RefMoved`], [`Error::RefConflict`], [`Error::HasAlias`], [`Error::UnknownRevision`] (an alias of
    /// nothing), [`Error::Store`] with a missing object (a commit that is not here), [`Error::NewerFormat`],
    /// [`Error::Lock`]: nothing has moved. [`Error::Io`].
    pub fn edit_refs(&self, edits: Vec<RefEdit>) -> Result<()> {
        self.config.check_writable()?;
        let _lock = self.store.lock(LockKind::Shared)?;
        let any = !edits.is_empty();
        self.edit_refs_locked(edits, &|| Ok(()))?;
        if any { self.follow_with_summary() } else { Ok(()) }
    }

    /// As [`edit_refs`](Self::edit_refs), for a caller that holds the repository's lock, and if `holds` says so when nobody
    /// else can move refs any more.
    pub(crate) fn edit_refs_locked(&self, edits: Vec<RefEdit>, holds: &dyn Fn() -> Result<()>) -> Result<()> {
        let exists = |commit: Id<Commit>| {
            if self.store.contains(commit.name())? {
                return Ok(());
            }
            Err(Error::Store(sapwood_objstore::Error::Missing { name: commit.name() }))
        };
        let lock_wait = self.config.locking.then_some(self.config.lock_wait);
        let writing = RefWriting { fsync: self.config.fsync, lock_wait };
        RefTxn::new(&self.dir, writing, edits).prepare(holds, &exists)?.commit()
    }

    pub(crate) fn ref_db(&self) -> RefDb<'_> {
        RefDb::new(&self.dir)
    }

    /// The repositories that this one looks into, nearest first.
    pub(crate) fn parents(&self) -> &[ParentRepo] {
        &self.parents
    }

    /// Keeps others from deleting objects, while much is read. `None` also where nobody ever locked it and this user cannot:
    /// it is somebody else's, or on a read-only disk.
    pub(crate) fn lock_to_read(&self) -> Result<Option<RepoLock>> {
        match self.store.lock(LockKind::Shared) {
            Err(sapwood_objstore::Error::Lock(LockError::Io(error))) if is_read_only(error.source.kind()) => {
                Ok(None)
            }
            other => Ok(other?),
        }
    }

    /// Keeps other Sapwood processes from moving refs and writing the configuration.
    pub(crate) fn lock_refs(&self) -> Result<Option<Lock>> {
        if !self.config.locking {
            return Ok(None);
        }
        Ok(Some(Lock::acquire(&self.dir, LOCK, LockKind::Exclusive, self.config.lock_wait)?))
    }
}

fn read_config(dir: &Dir) -> Result<Config> {
    let bytes = sapwood_fsio::read_optional(dir, CONFIG, Keyfile::MAX_BYTES as u64)?;
    let Some(bytes) = bytes else { return Err(Error::NotARepo { missing: CONFIG }) };
    Config::parse(&bytes)
}

/// Opens the store of a repository, and those of its parents, which are added to `parents`, nearest first.
fn open_store(dir: &Dir, config: &Config, parents: &mut Vec<ParentRepo>) -> Result<Store> {
    if sapwood_fsio::stat_optional(dir, OBJECTS)?.is_none() {
        return Err(Error::NotARepo { missing: OBJECTS });
    }
    let store = Store::open(dir, config.format, config.mode, config.store_options())?;
    let Some(path) = &config.parent else { return Ok(store) };
    let wrong = |expected| config.wrong_core("parent", expected);
    if parents.len() == MAX_PARENTS {
        return Err(wrong("a chain of at most 16 repositories"));
    }
    #[expect(clippy::disallowed_methods, reason = "the configuration names the parent by an absolute path")]
    let opened = Dir::open_ambient_dir(path, cap_std::ambient_authority());
    let dir = sapwood_fsio::At::at(opened, "open the parent repository", path)?;
    let parent = read_config(&dir)?;
    if parent.format != config.format {
        return Err(wrong("a repository of the same format"));
    }
    parents.push(ParentRepo { dir: sapwood_fsio::open_dir(&dir, ".")?, config: parent.clone() });
    Ok(store.with_parent(open_store(&dir, &parent, parents)?))
}

fn check_same_kind(config: &Config, format: Format, mode: Mode) -> Result<()> {
    if config.format != format {
        return Err(config.wrong_core("repo_version", "the format the repository has"));
    }
    if config.mode != mode {
        return Err(config.wrong_core("mode", "the mode the repository has"));
    }
    Ok(())
}

/// Whether an error says that this user may not write here.
pub(crate) fn is_read_only(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}
