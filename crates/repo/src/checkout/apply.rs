//! Making the directories and files of a checkout, by several threads.
//!
//! A directory gets its attributes when all that is in it is there; whoever finishes its last part does that, and goes
//! on with the directory above.

use super::place::{Make, Placed, Placing, conflict, place};
use super::plan::{Plan, What};
use super::whiteout;
use super::{CheckoutEvent, CheckoutStats, Overwrite, Ownership};
use crate::pool::{self, FirstError};
use crate::selinux::{LABEL, Labels};
use crate::{Error, Repo, Result, Root};
use rayon::Scope;
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Delivered, DirEntry, DirMeta, DirTree, FileEntry, Id, Store, Uncompressed};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that one task makes.
const FILES_PER_TASK: usize = 256;
/// Deepest tree that is checked out: each level costs an open directory.
const MAX_DEPTH: usize = 1024;
/// Directory attributes remembered; a tree has few different ones.
const MAX_METAS: usize = 4096;

/// A directory under way.
#[derive(Debug)]
struct Node {
    parent: Option<Arc<Node>>,
    /// In its parent; for the top one as the caller gave it.
    name: PathBuf,
    /// The path from the top of the checkout on, with `/` before each name; empty where that is not asked for.
    inner: String,
    depth: usize,
    dir: Dir,
    /// `None` for one that was there already, which keeps what it has.
    meta: Option<Arc<DirMeta>>,
    /// Parts of it that are not done.
    pending: AtomicUsize,
}

impl Node {
    fn path(&self) -> PathBuf {
        let mut names = vec![self.name.as_path()];
        let mut above = self.parent.as_deref();
        while let Some(node) = above {
            names.push(&node.name);
            above = node.parent.as_deref();
        }
        names.iter().rev().collect()
    }
}

/// One checkout: what the tasks share.
struct Apply<'a> {
    store: &'a Store,
    plan: &'a Plan,
    cache: Option<Uncompressed<'a>>,
    on_event: &'a (dyn Fn(CheckoutEvent) + Sync),
    failure: FirstError,
    metas: Mutex<HashMap<Id<DirMeta>, Arc<DirMeta>>>,
    linked: AtomicU64,
    reflinked: AtomicU64,
    copied: AtomicU64,
    dirs: AtomicU64,
    kept: AtomicU64,
}

pub(crate) fn apply(
    repo: &Repo,
    plan: &Plan,
    parent: &Dir,
    name: &Path,
    on_event: &(dyn Fn(CheckoutEvent) + Sync),
) -> Result<CheckoutStats> {
    let apply = Apply {
        store: repo.store(),
        plan,
        cache: if plan.options.use_cache { repo.store().uncompressed()? } else { None },
        on_event,
        failure: FirstError::default(),
        metas: Mutex::default(),
        linked: AtomicU64::new(0),
        reflinked: AtomicU64::new(0),
        copied: AtomicU64::new(0),
        dirs: AtomicU64::new(0),
        kept: AtomicU64::new(0),
    };
    match &plan.what {
        What::Dir(_) if plan.options.skip.contains("/") => {}
        What::Dir(root) => {
            pool::run(plan.options.threads, |scope| apply.visit(scope, Above::Top(parent), name, *root))?;
        }
        What::File(entry) => apply.single(parent, name, entry)?,
    }
    let Apply { failure, cache, linked, reflinked, copied, dirs, kept, .. } = apply;
    failure.into_result()?;
    cache.map_or(Ok(()), Uncompressed::publish)?;
    if plan.options.fsync {
        fsio::syncfs(parent)?;
    }
    Ok(CheckoutStats {
        linked: linked.into_inner(),
        reflinked: reflinked.into_inner(),
        copied: copied.into_inner(),
        dirs: dirs.into_inner(),
        kept: kept.into_inner(),
    })
}

/// What holds a directory that is to be made.
enum Above<'a> {
    Top(&'a Dir),
    Node(Arc<Node>),
}

impl Above<'_> {
    fn dir(&self) -> &Dir {
        match self {
            Above::Top(dir) => dir,
            Above::Node(node) => &node.dir,
        }
    }

    fn path(&self, name: &Path) -> PathBuf {
        match self {
            Above::Top(_) => name.to_owned(),
            Above::Node(node) => node.path().join(name),
        }
    }
}

impl Apply<'_> {
    /// The task for one directory. A failure stops all tasks.
    fn visit<'s>(&'s self, scope: &Scope<'s>, above: Above<'_>, name: &Path, root: Root) {
        if self.failure.is_set() {
            return;
        }
        if let Err(error) = self.try_visit(scope, above, name, root) {
            self.failure.set(error);
        }
    }

    fn try_visit<'s>(&'s self, scope: &Scope<'s>, above: Above<'_>, name: &Path, root: Root) -> Result<()> {
        let depth = match &above {
            Above::Top(_) => 1,
            Above::Node(node) => node.depth + 1,
        };
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        // Both are read before the directory is made: a missing object then leaves the least behind.
        let tree: Arc<DirTree> = Arc::new(self.store.load(root.tree)?);
        let meta = self.meta(root.meta)?;
        if self.plan.options.whiteouts {
            whiteout::check(&tree)?;
        }
        let inner = match &above {
            Above::Node(node) if !self.plan.options.skip.is_empty() || self.labels().is_some() => {
                format!("{}/{}", node.inner, name.display())
            }
            _ => String::new(),
        };
        let options = &self.plan.options;
        if options.whiteouts && options.overwrite != Overwrite::Refuse && whiteout::is_opaque(&tree) {
            fsio::remove_tree(above.dir(), name).map_err(|error| placed(error, above.path(name)))?;
        }
        let (dir, is_new) = self.make_dir(&above, name)?;
        if self.plan.options.whiteouts && !is_new {
            whiteout::apply(&dir, &tree, &|name| self.is_skipped(&inner, name))
                .map_err(|error| below(error, &above.path(name), Path::new("")))?;
        }
        let is_wanted = |entry: &&DirEntry| !self.is_skipped(&inner, &format!("{}/", entry.name.as_str()));
        let dirs: Vec<DirEntry> = if self.plan.options.skip.is_empty() {
            tree.dirs().to_vec()
        } else {
            tree.dirs().iter().filter(is_wanted).cloned().collect()
        };
        let parts = dirs.len() + tree.files().len().div_ceil(FILES_PER_TASK) + 1;
        let node = Arc::new(Node {
            parent: match above {
                Above::Top(_) => None,
                Above::Node(node) => Some(node),
            },
            name: name.to_owned(),
            inner,
            depth,
            dir,
            meta: is_new.then_some(meta),
            pending: AtomicUsize::new(parts),
        });
        for entry in dirs {
            let above = Arc::clone(&node);
            scope.spawn(move |scope| {
                let root = Root { tree: entry.tree, meta: entry.meta };
                self.visit(scope, Above::Node(above), entry.name.as_ref(), root);
            });
        }
        if tree.files().len() <= FILES_PER_TASK {
            if !tree.files().is_empty() {
                self.make_files(&node, tree.files());
            }
        } else {
            for start in (0..tree.files().len()).step_by(FILES_PER_TASK) {
                let node = Arc::clone(&node);
                let tree = Arc::clone(&tree);
                scope.spawn(move |_| {
                    let end = tree.files().len().min(start + FILES_PER_TASK);
                    self.make_files(&node, tree.files().get(start..end).unwrap_or_default());
                });
            }
        }
        self.part_done(&node)
    }

    /// Whether something in the directory `inner` is to be left out.
    fn is_skipped(&self, inner: &str, name: &str) -> bool {
        let skip = &self.plan.options.skip;
        !skip.is_empty() && skip.contains(&format!("{inner}/{name}"))
    }

    fn meta(&self, id: Id<DirMeta>) -> Result<Arc<DirMeta>> {
        let lock = || self.metas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meta) = lock().get(&id) {
            return Ok(Arc::clone(meta));
        }
        let meta = Arc::new(self.store.load(id)?);
        let mut metas = lock();
        if metas.len() < MAX_METAS {
            metas.insert(id, Arc::clone(&meta));
        }
        Ok(meta)
    }

    /// Opens the directory, made private where it does not exist; says whether it is new.
    fn make_dir(&self, above: &Above<'_>, name: &Path) -> Result<(Dir, bool)> {
        match fsio::create_dir(above.dir(), name, 0o700) {
            Ok(dir) => {
                self.dirs.fetch_add(1, Ordering::Relaxed);
                return Ok((dir, true));
            }
            Err(error) if error.is_exists() => {}
            Err(error) => return Err(placed(error, above.path(name))),
        }
        if self.plan.options.overwrite == Overwrite::Refuse {
            return Err(conflict(&above.path(name), ""));
        }
        let found = fsio::stat(above.dir(), name).map_err(|error| placed(error, above.path(name)))?;
        if found.kind != Kind::Dir {
            return Err(conflict(&above.path(name), ", and is not a directory"));
        }
        let dir = fsio::open_dir(above.dir(), name).map_err(|error| placed(error, above.path(name)))?;
        Ok((dir, false))
    }

    /// The task for some files of a directory.
    fn make_files(&self, node: &Arc<Node>, files: &[FileEntry]) {
        for entry in files {
            if self.failure.is_set() {
                return;
            }
            if self.is_skipped(&node.inner, entry.name.as_str()) {
                continue;
            }
            if let Err(error) = self.make_file(&node.dir, &node.inner, entry) {
                self.failure.set(below(error, &node.path(), entry.name.as_ref()));
                return;
            }
        }
        self.report();
        if let Err(error) = self.part_done(node) {
            self.failure.set(error);
        }
    }

    fn report(&self) {
        let counters = [&self.linked, &self.reflinked, &self.copied, &self.kept];
        let files = counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        (self.on_event)(CheckoutEvent::Files { files });
    }

    fn make_file(&self, dir: &Dir, inner: &str, entry: &FileEntry) -> Result<()> {
        let options = &self.plan.options;
        if options.whiteouts && whiteout::is_docker(entry) {
            return Ok(());
        }
        let whiteout = if options.passthrough_whiteouts { whiteout::passed_through(entry) } else { None };
        let own_attribute = self.store.format().user_meta_attribute();
        let placed = if let Some(hidden) = whiteout {
            let make: Make<'_> = &|dir, name| self.make_whiteout(entry, dir, name);
            place(dir, hidden, &Placing { options, make, is_same: &|_| Ok(false), own_attribute })?
        } else {
            let make: Make<'_> = &|dir, name| {
                let delivered = match (options.ownership, &self.cache) {
                    (_, Some(cache)) => cache.deliver(entry.id, dir, name)?,
                    (Ownership::Full, _) => self.store.deliver(entry.id, dir, name, options.links)?,
                    (Ownership::User, _) => self.store.deliver_as_user(entry.id, dir, name, options.links)?,
                };
                if let Some(labels) = self.labels() {
                    let kind = fsio::stat(dir, name)?.kind;
                    if let Some(label) = labels.of(&format!("{inner}/{}", entry.name), kind)? {
                        fsio::xattr::set_of(dir, name, LABEL, &label)?;
                    }
                }
                Ok(delivered)
            };
            let is_same = |found: &fsio::Stat| {
                Ok(match &self.cache {
                    Some(cache) => cache.is_linked(entry.id, found)?,
                    None => self.store.is_linked(entry.id, found)?,
                })
            };
            place(dir, entry.name.as_ref(), &Placing { options, make, is_same: &is_same, own_attribute })?
        };
        let counter = match placed {
            Placed::Kept => &self.kept,
            Placed::New(Delivered::Linked) => &self.linked,
            Placed::New(Delivered::Reflinked) => &self.reflinked,
            Placed::New(Delivered::Copied) => &self.copied,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the character device 0:0 that tells an overlay file system to hide a name.
    fn make_whiteout(&self, entry: &FileEntry, dir: &Dir, name: &Path) -> Result<Delivered> {
        let header = self.store.open_file(entry.id)?.header;
        fsio::make_node(dir, name, Kind::CharDevice, header.mode, 0)?;
        if self.plan.options.ownership == Ownership::Full {
            fsio::set_owner_of(dir, name, header.uid, header.gid)?;
            for (attribute, value) in header.xattrs.iter() {
                fsio::xattr::set_of(dir, name, attribute, value)?;
            }
        }
        Ok(Delivered::Copied)
    }

    /// Counts a part of a directory as done; the last one completes it, and is itself a part of the one above.
    fn part_done(&self, node: &Arc<Node>) -> Result<()> {
        let mut current = node;
        while current.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Some(meta) = &current.meta {
                self.dress(&current.dir, &current.inner, meta)
                    .map_err(|error| below(error, &current.path(), Path::new("")))?;
            }
            match &current.parent {
                Some(parent) => current = parent,
                None => break,
            }
        }
        Ok(())
    }

    /// The labels that are given to what is checked out.
    fn labels(&self) -> Option<&Labels> {
        self.plan.options.labels.as_ref()
    }

    fn dress(&self, dir: &Dir, inner: &str, meta: &DirMeta) -> Result<()> {
        if self.plan.options.ownership == Ownership::Full {
            let stat = fsio::stat_dir(dir)?;
            if (stat.uid, stat.gid) != (meta.uid, meta.gid) {
                fsio::set_owner(dir, meta.uid, meta.gid)?;
            }
            if self.store.options().xattrs {
                for (attribute, value) in meta.xattrs.iter() {
                    fsio::xattr::set(dir, attribute, value)?;
                }
            }
            let path = if inner.is_empty() { "/" } else { inner };
            if let Some(label) = self.labels().map_or(Ok(None), |labels| labels.of(path, Kind::Dir))? {
                fsio::xattr::set(dir, LABEL, &label)?;
            }
        }
        let most = if self.plan.options.limit_dir_modes { 0o775 } else { 0o7777 };
        fsio::set_mode(dir, meta.mode & most)?;
        if self.plan.options.zero_dir_mtime {
            fsio::set_mtime(dir, 0)?;
        }
        Ok(())
    }

    /// Checks out one file into the directory `name`.
    fn single(&self, parent: &Dir, name: &Path, entry: &FileEntry) -> Result<()> {
        let dir = match fsio::create_dir(parent, name, 0o700) {
            Ok(dir) => {
                self.dirs.fetch_add(1, Ordering::Relaxed);
                dir
            }
            Err(error) if error.is_exists() => fsio::open_dir(parent, name)?,
            Err(error) => return Err(error.into()),
        };
        if self.plan.options.whiteouts {
            whiteout::apply_one(&dir, entry)?;
        }
        self.make_file(&dir, "", entry).map_err(|error| below(error, name, entry.name.as_ref()))?;
        self.report();
        Ok(())
    }
}

fn placed(mut error: fsio::Error, path: PathBuf) -> Error {
    error.path = path;
    Error::Io(error)
}

/// The same error, saying where in the checkout it happened: at `name` in `dir`, or at `dir` itself if that is empty.
fn below(error: Error, dir: &Path, name: &Path) -> Error {
    let at = |name: &Path| if name.as_os_str().is_empty() { dir.to_owned() } else { dir.join(name) };
    match error {
        Error::CheckoutConflict { path, detail } => {
            Error::CheckoutConflict { path: dir.join(path).display().to_string(), detail }
        }
        Error::Io(error) => placed(error, at(name)),
        Error::Store(source) => {
            Error::CheckoutFile { path: at(name).display().to_string(), source: Box::new(source) }
        }
        other => other,
    }
}
