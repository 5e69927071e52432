//! What commits reach: every directory is read once, by several threads, and every object noted once.
//!
//! Memory is about 40 bytes for each reachable object, whatever the number of commits that share it.

use crate::pool;
use crate::tree::MAX_DEPTH;
use crate::{Error, Problem, Result, Root};
use rayon::prelude::*;
use sapwood_objstore::{DirTree, Id, ObjectId, ObjectKind, ObjectName, Store, Verdict};
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A set of ids that threads fill together.
pub(crate) struct IdSet {
    shards: Vec<Mutex<HashSet<ObjectId, Seeded>>>,
}

/// Ids are digests already: folding them with secret numbers is hashing enough, and nobody can aim at one bucket.
#[derive(Clone)]
struct Seeded([u64; 4]);

struct Folding {
    keys: [u64; 4],
    next: usize,
    state: u64,
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { keys: self.0, next: 0, state: 0 }
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            let key = self.keys.get(self.next % 4).copied().unwrap_or_default();
            self.state = (self.state.rotate_left(23) ^ word ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.next += 1;
        }
    }

    fn finish(&self) -> u64 {
        self.state ^ self.state >> 32
    }
}

impl IdSet {
    pub(crate) fn new() -> Self {
        let random = RandomState::new();
        let keys = [0_u8, 1, 2, 3].map(|n| random.hash_one(n));
        Self { shards: (0..=u8::MAX).map(|_| Mutex::new(HashSet::with_hasher(Seeded(keys)))).collect() }
    }

    fn shard(&self, id: &ObjectId) -> Option<MutexGuard<'_, HashSet<ObjectId, Seeded>>> {
        let [first, ..] = id.as_bytes();
        self.shards.get(usize::from(*first)).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says whether it is new.
    pub(crate) fn insert(&self, id: ObjectId) -> bool {
        self.shard(&id).is_some_and(|mut shard| shard.insert(id))
    }

    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.shard(id).is_some_and(|shard| shard.contains(id))
    }

    /// The ids that begin with this byte.
    pub(crate) fn of_shard(&self, first: u8) -> Vec<ObjectId> {
        let shard = self.shards.get(usize::from(first));
        shard.map_or_else(Vec::new, |shard| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
        })
    }
}

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
pub(crate) struct Reachable {
    pub(crate) trees: IdSet,
    pub(crate) metas: IdSet,
    pub(crate) files: IdSet,
    bad: Mutex<Vec<(Id<DirTree>, Problem)>>,
}

impl Reachable {
    pub(crate) fn new() -> Self {
        Self { trees: IdSet::new(), metas: IdSet::new(), files: IdSet::new(), bad: Mutex::new(Vec::new()) }
    }

    /// Whether a directory, its metadata or a file is reached.
    pub(crate) fn contains(&self, name: &ObjectName) -> bool {
        match name.kind {
            ObjectKind::Commit => false,
            ObjectKind::DirTree => self.trees.contains(&name.id),
            ObjectKind::DirMeta => self.metas.contains(&name.id),
            ObjectKind::File => self.files.contains(&name.id),
        }
    }

    /// The directories that could not be read, taken out. Only [`OnBad::Collect`] notes any.
    pub(crate) fn take_bad(&self) -> Vec<(Id<DirTree>, Problem)> {
        std::mem::take(&mut *self.bad.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds all that these trees reach. What is in the set already is not read again.
    ///
    /// # Errors
    /// [`Error::TooDeep`], and [`Error::Store`] by `on_bad`.
    pub(crate) fn add(&self, store: &Store, roots: &[Root], threads: usize, on_bad: OnBad) -> Result<()> {
        let mut level = Vec::new();
        for root in roots {
            self.metas.insert(root.meta.raw());
            if self.trees.insert(root.tree.raw()) {
                level.push(root.tree);
            }
        }
        pool::run(threads, |_| {
            for _ in 0..=MAX_DEPTH {
                if level.is_empty() {
                    return Ok(());
                }
                let below = level.par_iter().map(|tree| self.enter(store, *tree, on_bad));
                let below: Vec<Vec<Id<DirTree>>> = below.collect::<Result<_>>()?;
                level = below.concat();
            }
            Err(Error::TooDeep { limit: MAX_DEPTH })
        })?
    }

    /// Notes what is in a directory; returns the directories that are new.
    fn enter(&self, store: &Store, tree: Id<DirTree>, on_bad: OnBad) -> Result<Vec<Id<DirTree>>> {
        let loaded = match store.load(tree) {
            Ok(loaded) => loaded,
            Err(sapwood_objstore::Error::Missing { .. }) if on_bad == OnBad::SkipMissing => {
                return Ok(Vec::new());
            }
            Err(error) if on_bad == OnBad::Collect => {
                let problem = problem_of(store, tree.name(), error)?;
                self.bad.lock().unwrap_or_else(PoisonError::into_inner).push((tree, problem));
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        for file in loaded.files() {
            self.files.insert(file.id.raw());
        }
        if on_bad == OnBad::Collect
            && let Some(problem) = wrong_size(store, &loaded)?
        {
            self.bad.lock().unwrap_or_else(PoisonError::into_inner).push((tree, problem));
        }
        let mut below = Vec::new();
        for dir in loaded.dirs() {
            self.metas.insert(dir.meta.raw());
            if self.trees.insert(dir.tree.raw()) {
                below.push(dir.tree);
            }
        }
        Ok(below)
    }
}

/// The first file of a directory that is not as large as the directory says. Files that cannot be read are found elsewhere.
fn wrong_size(store: &Store, tree: &DirTree) -> Result<Option<Problem>> {
    use sapwood_objstore::Error as E;
    for entry in tree.files() {
        let Some(announced) = entry.size else { continue };
        match store.content_size(entry.id) {
            Ok(actual) if actual != announced => {
                return Ok(Some(Problem::WrongSize { file: entry.id.raw(), announced, actual }));
            }
            Ok(_) | Err(E::Missing { .. } | E::Malformed { .. }) => {}
            // Something else may be where the file should be.
            Err(E::Io(error)) if error.is_wrong_kind() => {}
            Err(error) => return Err(error.into()),
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
        E::Malformed { .. } | E::TooLarge { .. } => Ok(Problem::Malformed),
        // Something else may be where a file should be.
        other => match store.verify(name)? {
            Verdict::Good => Err(other.into()),
            Verdict::Missing => Ok(Problem::Missing),
            Verdict::Corrupt(actual) => Ok(Problem::Corrupt { actual }),
            Verdict::Malformed => Ok(Problem::Malformed),
        },
    }
}
