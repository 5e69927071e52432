//! What commits reach: every directory is read once, by several threads, and every object noted.
//!
//! Directories are taken level by level, those of one level by their first byte, so that asking which of them are new is a
//! merge of sorted lists. Memory is bounded by what [`Spill`] allows.

use crate::announced::actual_size;
use crate::ids::{Ids, Spill};
use crate::pool;
use crate::tree::MAX_DEPTH;
use crate::{Error, Problem, Result, Root};
use rayon::prelude::*;
use sapwood_objstore::{Commit, DirTree, Id, ObjectKind, ObjectName, Store, Verdict};
use std::sync::{Arc, Mutex, PoisonError};

/// What to do when a directory that should be there cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnBad {
    /// Fail.
    Fail,
    /// Go on if it is missing: the commit is known to be incomplete. Fail if it is corrupt.
    SkipMissing,
    /// Note it, and go on.
    Collect,
}

/// The objects that some commits reach, by kind; the commits themselves are not among them.
#[derive(Debug)]
pub(crate) struct Reachable {
    spill: Arc<Spill>,
    /// Directories; each is read once, however often trees are added.
    pub(crate) trees: Ids,
    pub(crate) metas: Ids,
    pub(crate) files: Ids,
    bad: Mutex<Vec<(Id<DirTree>, Problem)>>,
    /// Directories that were missing when they were to be read.
    missing: Mutex<Vec<Id<DirTree>>>,
}

impl Reachable {
    pub(crate) fn new(spill: &Arc<Spill>) -> Self {
        Self {
            spill: Arc::clone(spill),
            trees: Ids::new(spill),
            metas: Ids::new(spill),
            files: Ids::new(spill),
            bad: Mutex::default(),
            missing: Mutex::default(),
        }
    }

    /// Whether a directory, its metadata or a file is reached. Quick only where nothing was spilled.
    pub(crate) fn contains(&self, name: &ObjectName) -> Result<bool> {
        match name.kind {
            ObjectKind::Commit => Ok(false),
            ObjectKind::DirTree => self.trees.contains(name.id),
            ObjectKind::DirMeta => self.metas.contains(name.id),
            ObjectKind::File => self.files.contains(name.id),
        }
    }

    /// The directories that could not be read, taken out. Only [`OnBad::Collect`] notes any.
    pub(crate) fn take_bad(&self) -> Vec<(Id<DirTree>, Problem)> {
        std::mem::take(&mut *self.bad.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds all that these trees reach. What is in the set already is not read again, save directories that were missing.
    ///
    /// # Errors
    /// [`Error::CommitTooDeep`], and [`Error::Store`], by `on_bad`.
    pub(crate) fn add(&self, store: &Store, roots: &[Root], threads: usize, on_bad: OnBad) -> Result<()> {
        match self.add_levels(store, roots, threads, on_bad) {
            Err(Error::TooDeep { limit }) => Err(match self.too_deep(store, roots, threads)? {
                Some(commit) => Error::CommitTooDeep { commit, limit },
                None => Error::TooDeep { limit },
            }),
            other => other,
        }
    }

    /// The commit of the tree that is too deep, found by halves.
    fn too_deep(&self, store: &Store, roots: &[Root], threads: usize) -> Result<Option<Id<Commit>>> {
        let mut among = roots;
        while among.len() > 1 {
            let (first, second) = among.split_at(among.len() / 2);
            let reached = Self::new(&self.spill);
            among = match reached.add_levels(store, first, threads, OnBad::SkipMissing) {
                Err(Error::TooDeep { .. }) => first,
                other => other.map(|()| second)?,
            };
        }
        for shard in 0..=u8::MAX {
            for id in store.shard_commits(shard)? {
                let commit = store.load(id).ok();
                if commit.is_some_and(|commit| among.iter().any(|root| root.tree == commit.tree)) {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    fn add_levels(&self, store: &Store, roots: &[Root], threads: usize, on_bad: OnBad) -> Result<()> {
        let mut level = Ids::new(&self.spill);
        for root in roots {
            self.metas.push(root.meta.raw());
            level.push(root.tree.raw());
        }
        pool::run(threads, |_| {
            let missing = std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner));
            missing
                .into_par_iter()
                .try_for_each(|tree| self.enter(store, tree, OnBad::SkipMissing, &level))?;
            for _ in 0..=MAX_DEPTH {
                if level.is_empty() {
                    return Ok(());
                }
                let below = Ids::new(&self.spill);
                (0..=u8::MAX).into_par_iter().with_max_len(1).try_for_each(|shard| {
                    let new = self.trees.insert(shard, level.take(shard)?)?;
                    new.into_par_iter().try_for_each(|tree| self.enter(store, Id::new(tree), on_bad, &below))
                })?;
                level = below;
            }
            if level.is_empty() {
                return Ok(());
            }
            if on_bad != OnBad::Collect {
                return Err(Error::TooDeep { limit: MAX_DEPTH });
            }
            for shard in 0..=u8::MAX {
                for tree in self.trees.insert(shard, level.take(shard)?)?.into_iter().map(Id::new) {
                    let problem = match store.load::<DirTree>(tree) {
                        Ok(_) => Problem::TooDeep { limit: MAX_DEPTH },
                        Err(error) => problem_of(store, tree.name(), error)?,
                    };
                    self.bad.lock().unwrap_or_else(PoisonError::into_inner).push((tree, problem));
                }
            }
            Ok(())
        })?
    }

    /// Notes what is in a directory, and the directories below it in `below`.
    fn enter(&self, store: &Store, tree: Id<DirTree>, on_bad: OnBad, below: &Ids) -> Result<()> {
        let loaded = match store.load(tree) {
            Ok(loaded) => loaded,
            Err(sapwood_objstore::Error::Missing { .. }) if on_bad == OnBad::SkipMissing => {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(tree);
                return Ok(());
            }
            Err(error) if on_bad == OnBad::Collect => {
                let problem = problem_of(store, tree.name(), error)?;
                self.bad.lock().unwrap_or_else(PoisonError::into_inner).push((tree, problem));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for file in loaded.files() {
            self.files.push(file.id.raw());
        }
        if on_bad == OnBad::Collect
            && let Some(problem) = wrong_size(store, &loaded)?
        {
            self.bad.lock().unwrap_or_else(PoisonError::into_inner).push((tree, problem));
        }
        for dir in loaded.dirs() {
            self.metas.push(dir.meta.raw());
            below.push(dir.tree.raw());
        }
        Ok(())
    }
}

/// The first file of a directory that is not as large as the directory says. Files that are damaged are found elsewhere; those
/// of a parent repository are not read, and nothing is said of them.
fn wrong_size(store: &Store, tree: &DirTree) -> Result<Option<Problem>> {
    for entry in tree.files() {
        let Some(announced) = entry.size else { continue };
        if let Some(actual) = actual_size(store.content_size(entry.id))?.filter(|actual| *actual != announced)
            // What a damaged file has says nothing of the directory.
            && store.verify(entry.id.name())? == Verdict::Good
        {
            return Ok(Some(Problem::WrongSize { file: entry.id.raw(), announced, actual }));
        }
    }
    Ok(None)
}

/// What is wrong with an object that could not be read; an error where the disk or the program is to blame.
pub(crate) fn problem_of(store: &Store, name: ObjectName, error: sapwood_objstore::Error) -> Result<Problem> {
    use sapwood_objstore::Error as E;
    match error {
        E::Missing { .. } => Ok(Problem::Missing),
        E::Corrupt { actual, .. } => Ok(Problem::Corrupt { actual }),
        E::Malformed { source, .. } => Ok(Problem::Malformed { why: source }),
        // Something else may be where a file should be.
        other => match store.verify(name)? {
            Verdict::Good => Err(other.into()),
            Verdict::Missing => Ok(Problem::Missing),
            Verdict::Corrupt(actual) => Ok(Problem::Corrupt { actual }),
            Verdict::Malformed(why) => Ok(Problem::Malformed { why }),
            Verdict::Unreadable => Ok(Problem::Unreadable),
        },
    }
}
