//! Recording a directory: walked, read, hashed and stored by several threads, each file read once.
//!
//! A directory is done when all that is in it is done; whoever finishes its last part writes its tree object and goes on
//! with the directory above. Memory holds the names of the directories under way, not those of the whole tree.

use super::build::TreeBuilder;
use super::cache::{Cache, Record};
use super::devino::Devino;
use super::modify::Rules;
use super::record::FileReader;
use crate::pool::{self, FirstError};
use crate::repo::ParentRepo;
use crate::{CommitEvent, Consumed, Error, Links, Repo, Result, Root};
use rayon::Scope;
use sapwood_fsio::{self as fsio, Dir, Entry, Kind, Stat};
use sapwood_objstore::{
    self as objstore, DirEntry, DirMeta, DirTree, EntryName, FileEntry, Id, NameError, Store, Totals,
};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that one task takes: enough to be worth a task, few enough that both ends of a large directory are busy.
const FILES_PER_TASK: usize = 64;
/// Directory attributes remembered so as not to store them again; a tree has few different ones.
const MAX_METAS: usize = 4096;

/// A directory under way.
#[derive(Debug)]
pub(crate) struct Node {
    parent: Option<Arc<Node>>,
    /// Its name in its parent; `None` for the root.
    name: Option<EntryName>,
    depth: usize,
    pub(crate) dir: Dir,
    /// The mount it is on, if files there can be recognised.
    pub(crate) mount: Option<u64>,
    meta: Id<DirMeta>,
    /// Parts of it that are not done.
    pending: AtomicUsize,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    files: Vec<FileEntry>,
    dirs: Vec<DirEntry>,
}

impl Node {
    /// The path from the top, as on disk: without a slash at its beginning, and empty for the top.
    fn path_on_disk(&self) -> PathBuf {
        let mut names = Vec::new();
        let mut here = Some(self);
        while let Some(node) = here {
            names.extend(node.name.as_ref().map(EntryName::as_str));
            here = node.parent.as_deref();
        }
        names.iter().rev().collect()
    }

    /// The path in the tree of an entry, beginning with a slash.
    pub(crate) fn path(&self, entry: &[u8]) -> String {
        let mut names = vec![String::from_utf8_lossy(entry).into_owned()];
        let mut above = Some(self);
        while let Some(node) = above {
            names.extend(node.name.as_ref().map(ToString::to_string));
            above = node.parent.as_deref();
        }
        names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
    }
}

/// Where a directory is.
enum Place<'a> {
    Top(&'a Dir),
    Below(Arc<Node>, EntryName),
}

impl Place<'_> {
    fn depth(&self) -> usize {
        match self {
            Place::Top(_) => 1,
            Place::Below(parent, _) => parent.depth + 1,
        }
    }

    fn path(&self) -> String {
        match self {
            Place::Top(_) => "/".into(),
            Place::Below(parent, name) => parent.path(name.as_str().as_bytes()),
        }
    }

    fn open(&self) -> fsio::Result<Dir> {
        match self {
            Place::Top(dir) => fsio::open_dir(dir, "."),
            Place::Below(parent, name) => fsio::open_dir(&parent.dir, name),
        }
    }

    fn into_parts(self) -> (Option<Arc<Node>>, Option<EntryName>) {
        match self {
            Place::Top(_) => (None, None),
            Place::Below(parent, name) => (Some(parent), Some(name)),
        }
    }
}

/// One import: what the tasks share.
pub(crate) struct Import<'a> {
    pub(crate) objects: &'a objstore::Transaction<'a>,
    pub(crate) rules: &'a Rules,
    pub(crate) devino: &'a Devino,
    pub(crate) links: Links,
    pub(crate) cache: Cache,
    pub(crate) format: objstore::Format,
    /// What is noted of a directory that is consumed.
    pub(crate) consumed: Option<&'a Consumed>,
    /// Device and inode of directories that must not be consumed.
    kept: Vec<(u64, u64)>,
    max_depth: usize,
    on_event: &'a (dyn Fn(CommitEvent) + Sync),
    failure: FirstError,
    root: Mutex<Option<Root>>,
    metas: Mutex<HashMap<DirMeta, Id<DirMeta>>>,
    written: &'a Mutex<HashSet<Id<DirTree>>>,
    records: Mutex<Vec<Record>>,
    files: AtomicU64,
    dirs: AtomicU64,
    bytes: AtomicU64,
    hits: AtomicU64,
    linked: AtomicU64,
}

/// What an import did.
#[derive(Debug)]
pub(crate) struct Imported {
    /// None if a list says to skip all of it.
    pub(crate) root: Option<Root>,
    pub(crate) totals: Totals,
    /// Files that were recognised without reading.
    pub(crate) hits: u64,
    /// Those of them that are links to objects of the store.
    pub(crate) linked: u64,
}

/// Records `dir` and all below it, and renews the stat cache.
pub(crate) fn import(
    builder: &TreeBuilder<'_>,
    dir: &Dir,
    consumed: Option<&Consumed>,
    on_event: &(dyn Fn(CommitEvent) + Sync),
) -> Result<Imported> {
    let TreeBuilder { repo, objects, options, rules, .. } = builder;
    if rules.lists().skips(|| "/".to_owned()) {
        return Ok(Imported { root: None, totals: Totals::default(), hits: 0, linked: 0 });
    }
    let store = repo.store();
    let cache = if options.use_cache {
        Cache::open(repo.dir(), store.format(), rules, &fsio::stat_dir(dir)?)
    } else {
        Cache::none()
    };
    let import = Import {
        objects,
        rules,
        devino: &builder.devino,
        links: options.links,
        cache,
        format: store.format(),
        consumed,
        kept: if consumed.is_some() { kept(repo)? } else { Vec::new() },
        max_depth: options.max_depth,
        on_event,
        failure: FirstError::default(),
        root: Mutex::default(),
        metas: Mutex::default(),
        written: &builder.written,
        records: Mutex::default(),
        files: AtomicU64::new(0),
        dirs: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        hits: AtomicU64::new(0),
        linked: AtomicU64::new(0),
    };
    objects.write_ahead(|| pool::run(options.threads, |scope| import.visit(scope, Place::Top(dir))))??;
    import.finish(repo, options.use_cache)
}

/// The repository, where its objects are if that is elsewhere, and the repositories that it rests on.
fn kept(repo: &Repo) -> Result<Vec<(u64, u64)>> {
    let stores = std::iter::successors(Some(repo.store()), |store| store.parent());
    let parents = repo.parents().iter().map(ParentRepo::dir);
    let dirs = [repo.dir()].into_iter().chain(parents).chain(stores.map(Store::objects));
    dirs.map(|dir| fsio::stat_dir(dir).map(|stat| (stat.dev, stat.ino)))
        .collect::<fsio::Result<_>>()
        .map_err(Into::into)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Import<'_> {
    fn finish(self, repo: &Repo, use_cache: bool) -> Result<Imported> {
        self.failure.into_result()?;
        let root = self.root.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(root) = root else {
            // Every task either fails or counts its directory down, so the root comes last.
            return Err(Error::Unrecordable { path: "/".into(), reason: "it was not finished".into() });
        };
        let (hits, linked) = (self.hits.into_inner(), self.linked.into_inner());
        let records = self.records.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_same = hits == records.len() as u64 && records.len() == self.cache.len();
        if use_cache
            && !is_same
            && let Err(error) = self.cache.save(repo.dir(), records)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the stat cache was not saved");
        }
        let totals = Totals {
            files: self.files.into_inner(),
            dirs: self.dirs.into_inner(),
            bytes: self.bytes.into_inner(),
        };
        Ok(Imported { root: Some(root), totals, hits, linked })
    }

    /// The task for one directory. A failure stops all tasks.
    fn visit<'s>(&'s self, scope: &Scope<'s>, place: Place<'_>) {
        if self.failure.is_set() {
            return;
        }
        if let Err(error) = self.try_visit(scope, place) {
            self.failure.set(error);
        }
    }

    fn try_visit<'s>(&'s self, scope: &Scope<'s>, place: Place<'_>) -> Result<()> {
        let depth = place.depth();
        if depth > self.max_depth {
            return Err(Error::TooDeep { limit: self.max_depth });
        }
        let path = || place.path();
        let dir = place.open().map_err(|error| placed(error, path))?;
        let stat = fsio::stat_dir(&dir).map_err(|error| placed(error, path))?;
        self.check_consumable(&stat, path)?;
        let mount = self.cache.places.known_mount(&dir, &stat);
        let xattrs = if self.rules.xattrs {
            self.rules.xattrs(fsio::xattr::list(&dir).map_err(|error| placed(error, path))?, path)?
        } else {
            objstore::Xattrs::default()
        };
        let changes = self.rules.changes(Kind::Dir, path)?;
        let meta = self.put_meta(self.rules.dir((&stat).into(), xattrs, &changes))?;
        let entries = fsio::entries(&dir).map_err(|error| placed(error, path))?;
        let (dirs, files): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.kind == Kind::Dir);

        // One more than there are parts, so that it cannot be done before all parts are there.
        let parts = dirs.len() + files.len().div_ceil(FILES_PER_TASK) + 1;
        let (parent, name) = place.into_parts();
        let node = Arc::new(Node {
            parent,
            name,
            depth,
            dir,
            mount,
            meta,
            pending: AtomicUsize::new(parts),
            done: Mutex::default(),
        });
        self.dirs.fetch_add(1, Ordering::Relaxed);
        let mut skipped = Vec::new();
        for entry in dirs {
            let name = entry_name(&node, &entry)?;
            if self.rules.lists().skips(|| node.path(name.as_str().as_bytes()))
                || self.objects.stages_in(&node.dir, &entry.name)?
            {
                self.check_skipped(&node.dir, &entry.name, depth, &|| node.path(entry.name.as_bytes()))?;
                skipped.push(entry.name);
                self.part_done(&node)?;
                continue;
            }
            let parent = Arc::clone(&node);
            scope.spawn(move |scope| {
                self.visit(scope, Place::Below(parent, name));
            });
        }
        if let Some(consumed) = self.consumed {
            consumed.note_dir(node.path_on_disk(), skipped);
        }
        if files.len() <= FILES_PER_TASK {
            if !files.is_empty() {
                self.take_files(&node, &files);
            }
        } else {
            let files = Arc::new(files);
            for start in (0..files.len()).step_by(FILES_PER_TASK) {
                let files = Arc::clone(&files);
                let node = Arc::clone(&node);
                scope.spawn(move |_| {
                    let end = files.len().min(start + FILES_PER_TASK);
                    self.take_files(&node, files.get(start..end).unwrap_or_default());
                });
            }
        }
        self.part_done(&node)
    }

    /// Refuses to consume what the commit is to be in.
    fn check_consumable(&self, stat: &Stat, path: impl Fn() -> String) -> Result<()> {
        if self.kept.contains(&(stat.dev, stat.ino)) {
            let reason = "the repository itself is there, and would be consumed".into();
            return Err(Error::Unrecordable { path: path(), reason });
        }
        Ok(())
    }

    /// What is skipped is consumed, too.
    fn check_skipped(
        &self,
        parent: &Dir,
        name: &OsStr,
        depth: usize,
        path: &dyn Fn() -> String,
    ) -> Result<()> {
        if self.consumed.is_none() {
            return Ok(());
        }
        if depth > self.max_depth {
            return Err(Error::TooDeep { limit: self.max_depth });
        }
        let dir = fsio::open_dir(parent, name).map_err(|error| placed(error, path))?;
        self.check_consumable(&fsio::stat_dir(&dir).map_err(|error| placed(error, path))?, path)?;
        for entry in fsio::entries(&dir).map_err(|error| placed(error, path))? {
            if entry.kind == Kind::Dir {
                let below = || format!("{}/{}", path(), entry.name.display());
                self.check_skipped(&dir, &entry.name, depth + 1, &below)?;
            }
        }
        Ok(())
    }

    /// Stores attributes of directories, each different set once.
    fn put_meta(&self, meta: DirMeta) -> Result<Id<DirMeta>> {
        if let Some(id) = lock(&self.metas).get(&meta) {
            return Ok(*id);
        }
        let id = self.objects.put(&meta)?;
        let mut metas = lock(&self.metas);
        if metas.len() < MAX_METAS {
            metas.insert(meta, id);
        }
        Ok(id)
    }

    /// The task for some files of a directory.
    fn take_files(&self, node: &Arc<Node>, files: &[Entry]) {
        if let Err(error) = self.try_take_files(node, files) {
            self.failure.set(error);
        }
    }

    fn try_take_files(&self, node: &Arc<Node>, files: &[Entry]) -> Result<()> {
        let reader = FileReader { import: self, node };
        let mut done = Vec::with_capacity(files.len());
        let mut records = Vec::with_capacity(files.len());
        let (mut hits, mut linked) = (0, 0);
        let mut consumed = Vec::new();
        for entry in files {
            if self.failure.is_set() {
                return Ok(());
            }
            let name = entry_name(node, entry)?;
            let Some(file) = reader.take(entry)? else {
                if self.consumed.is_some() {
                    consumed.push((entry.name.clone(), reader.stat(entry)?));
                }
                continue;
            };
            if self.consumed.is_some() {
                consumed.push((entry.name.clone(), file.stat));
            }
            hits += u64::from(file.is_hit);
            linked += u64::from(file.is_link);
            records.extend(file.record);
            self.bytes.fetch_add(file.size, Ordering::Relaxed);
            self.files.fetch_add(1, Ordering::Relaxed);
            let size = self.format.records_sizes().then_some(file.size);
            done.push(FileEntry { name, id: file.id, size });
        }
        self.hits.fetch_add(hits, Ordering::Relaxed);
        self.linked.fetch_add(linked, Ordering::Relaxed);
        if let Some(noted) = self.consumed {
            noted.note_files(node.path_on_disk(), consumed.into_iter());
        }
        lock(&self.records).append(&mut records);
        lock(&node.done).files.append(&mut done);
        (self.on_event)(CommitEvent::Imported {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        });
        self.part_done(node)
    }

    /// Counts a part of a directory as done; the last one completes it, and is itself a part of the one above.
    fn part_done(&self, node: &Arc<Node>) -> Result<()> {
        let mut current = node;
        // `AcqRel`: who counts down last sees what all others have added.
        while current.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            let done = std::mem::take(&mut *lock(&current.done));
            let tree = DirTree::new(done.files, done.dirs).map_err(|name| Error::Unrecordable {
                path: current.path(name.as_str().as_bytes()),
                reason: "the directory lists it twice; it was changed meanwhile".into(),
            })?;
            let tree = self.objects.put(&tree).map_err(|error| match error {
                objstore::Error::TooLarge { limit_bytes, .. } => Error::Unrecordable {
                    path: current.path(b""),
                    reason: format!("the names in the directory take more than {limit_bytes} bytes"),
                },
                other => other.into(),
            })?;
            lock(self.written).insert(tree);
            let (Some(parent), Some(name)) = (&current.parent, &current.name) else {
                *lock(&self.root) = Some(Root { tree, meta: current.meta });
                break;
            };
            lock(&parent.done).dirs.push(DirEntry { name: name.clone(), tree, meta: current.meta });
            current = parent;
        }
        Ok(())
    }
}

fn entry_name(node: &Node, entry: &Entry) -> Result<EntryName> {
    let name = entry.name.as_bytes();
    EntryName::from_bytes(name).map_err(|error| {
        let reason = match error {
            NameError::NotUtf8 => "Invalid UTF-8 in filename".to_owned(),
            other => other.to_string(),
        };
        Error::Unrecordable { path: node.path(name), reason }
    })
}

/// The same failure with the path in the tree instead of that in its directory.
pub(crate) fn placed(mut error: fsio::Error, path: impl FnOnce() -> String) -> Error {
    error.path = path().into();
    Error::Io(error)
}
