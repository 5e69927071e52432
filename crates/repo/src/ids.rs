//! Many ids, in bounded memory: what is more lies in a file without a name in the repository's `tmp`.
//!
//! Ids are kept by their first byte, which divides digests evenly. Each of these 256 shards is a list that is sorted,
//! and rid of what is twice, when it is read or has grown to its bound; then it goes to the file as one sorted run. Who reads
//! a shard has it whole in memory: of ten million ids that is 1.3 MB.
//!
//! Where the file cannot be written, for the disk is full or read-only, everything stays in memory: a prune is what
//! makes room.

use crate::Result;
use crate::write::TMP;
use sapwood_fsio::{Dir, Scratch};
use sapwood_objstore::ObjectId;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// How much memory sets take that are filled at the same time, if the caller does not say otherwise.
pub(crate) const MEMORY_BYTES: u64 = 128 << 20;

/// Bytes of an id.
const ID_BYTES: usize = 32;
/// How many sets there are at the same time, about: three of what is reached, two levels of directories, three of what is
/// to be deleted.
const SETS: u64 = 8;

/// Where ids go that are too many. Several sets share it.
#[derive(Debug)]
pub(crate) struct Spill {
    /// Where the file is made; without it nothing is spilled.
    tmp: Option<Dir>,
    most_in_shard: usize,
    file: OnceLock<Option<Scratch>>,
}

impl Spill {
    /// The sets together hold about so much in memory before some go to a file in the repository's `tmp`.
    pub(crate) fn new(repo: &Dir, memory_bytes: u64) -> Arc<Self> {
        let most = memory_bytes / (SETS * 256 * ID_BYTES as u64);
        let most_in_shard = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        let tmp = sapwood_fsio::open_dir(repo, TMP);
        let tmp = tmp.inspect_err(|error| tracing::debug!(%error, "ids stay in memory")).ok();
        Arc::new(Self { tmp, most_in_shard, file: OnceLock::new() })
    }

    /// Keeps everything in memory.
    pub(crate) fn never() -> Arc<Self> {
        Arc::new(Self { tmp: None, most_in_shard: usize::MAX, file: OnceLock::new() })
    }

    fn file(&self) -> Option<&Scratch> {
        let open = || {
            let created = Scratch::create(self.tmp.as_ref()?);
            created.inspect_err(|error| tracing::debug!(%error, "ids stay in memory")).ok()
        };
        self.file.get_or_init(open).as_ref()
    }

    /// Writes a run; `None` where that cannot be done.
    fn write(&self, ids: &[ObjectId]) -> Option<Run> {
        let bytes: Vec<u8> = ids.iter().flat_map(ObjectId::as_bytes).copied().collect();
        let written = self.file()?.append(&bytes);
        let at = written.inspect_err(|error| tracing::debug!(%error, "ids stay in memory")).ok()?;
        Some(Run { at, count: ids.len() })
    }

    fn read(&self, run: &Run, into: &mut Vec<ObjectId>) -> Result<()> {
        let Some(file) = self.file.get().and_then(Option::as_ref) else { return Ok(()) };
        let mut bytes = vec![0; run.count * ID_BYTES];
        file.read_at(run.at, &mut bytes)?;
        into.extend(bytes.chunks_exact(ID_BYTES).filter_map(ObjectId::from_slice));
        Ok(())
    }
}

/// A set of ids that threads fill together.
#[derive(Debug)]
pub(crate) struct Ids {
    shards: Vec<Mutex<Shard>>,
    spill: Arc<Spill>,
}

#[derive(Debug)]
struct Shard {
    recent: Vec<ObjectId>,
    /// Whether `recent` is sorted and has nothing twice.
    is_sorted: bool,
    /// When `recent` has so many, it is looked at.
    bound: usize,
    runs: Vec<Run>,
}

/// Ids in the file, sorted.
#[derive(Debug)]
struct Run {
    at: u64,
    count: usize,
}

impl Shard {
    fn new(spill: &Spill) -> Self {
        Self { recent: Vec::new(), is_sorted: true, bound: spill.most_in_shard, runs: Vec::new() }
    }

    fn sort(&mut self) {
        if !self.is_sorted {
            self.recent.sort_unstable();
            self.recent.dedup();
            self.is_sorted = true;
        }
    }

    /// Makes room where there are too many: by leaving out what is twice, or by writing a run.
    fn shrink(&mut self, spill: &Spill) {
        if self.recent.len() < self.bound {
            return;
        }
        self.sort();
        if self.recent.len() > spill.most_in_shard / 2
            && let Some(run) = spill.write(&self.recent)
        {
            self.runs.push(run);
            self.recent.clear();
        }
        self.bound = spill.most_in_shard.max(self.recent.len().saturating_mul(2));
    }

    /// All of them, sorted.
    fn read(&self, spill: &Spill) -> Result<Vec<ObjectId>> {
        let spilled: usize = self.runs.iter().map(|run| run.count).sum();
        let mut all = Vec::with_capacity(self.recent.len() + spilled);
        all.extend_from_slice(&self.recent);
        for run in &self.runs {
            spill.read(run, &mut all)?;
        }
        if !self.is_sorted || !self.runs.is_empty() {
            // Sorted runs one after the other are what this algorithm is quick with.
            all.sort();
            all.dedup();
        }
        Ok(all)
    }
}

impl Ids {
    pub(crate) fn new(spill: &Arc<Spill>) -> Self {
        let shards = (0..=u8::MAX).map(|_| Mutex::new(Shard::new(spill))).collect();
        Self { shards, spill: Arc::clone(spill) }
    }

    fn shard(&self, first: u8) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(usize::from(first)).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an id, which may be there already.
    pub(crate) fn push(&self, id: ObjectId) {
        let [first, ..] = *id.as_bytes();
        if let Some(mut shard) = self.shard(first) {
            shard.recent.push(id);
            shard.is_sorted = false;
            shard.shrink(&self.spill);
        }
    }

    /// Adds ids of one shard, sorted and each once; returns those that were not there.
    pub(crate) fn insert(&self, first: u8, mut ids: Vec<ObjectId>) -> Result<Vec<ObjectId>> {
        let Some(mut shard) = self.shard(first).filter(|_| !ids.is_empty()) else { return Ok(ids) };
        shard.sort();
        ids.retain(|id| shard.recent.binary_search(id).is_err());
        let mut run_ids = Vec::new();
        for run in &shard.runs {
            if ids.is_empty() {
                break;
            }
            run_ids.clear();
            self.spill.read(run, &mut run_ids)?;
            ids.retain(|id| run_ids.binary_search(id).is_err());
        }
        shard.recent.extend_from_slice(&ids);
        // Two sorted runs are merged.
        shard.recent.sort();
        shard.shrink(&self.spill);
        Ok(ids)
    }

    /// Whether an id is there. Quick only for sets that were never spilled, and are not being filled.
    pub(crate) fn contains(&self, id: ObjectId) -> Result<bool> {
        let [first, ..] = *id.as_bytes();
        let Some(mut shard) = self.shard(first) else { return Ok(false) };
        shard.sort();
        if shard.runs.is_empty() {
            return Ok(shard.recent.binary_search(&id).is_ok());
        }
        Ok(shard.read(&self.spill)?.binary_search(&id).is_ok())
    }

    /// The ids that begin with this byte, sorted, each once.
    pub(crate) fn sorted(&self, first: u8) -> Result<Vec<ObjectId>> {
        self.shard(first).map_or(Ok(Vec::new()), |mut shard| {
            shard.sort();
            shard.read(&self.spill)
        })
    }

    /// Takes out the ids that begin with this byte, sorted, each once.
    pub(crate) fn take(&self, first: u8) -> Result<Vec<ObjectId>> {
        let Some(mut shard) = self.shard(first) else { return Ok(Vec::new()) };
        shard.sort();
        let all = if shard.runs.is_empty() {
            std::mem::take(&mut shard.recent)
        } else {
            shard.read(&self.spill)?
        };
        *shard = Shard::new(&self.spill);
        Ok(all)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        (0..=u8::MAX).all(|first| self.is_empty_shard(first))
    }

    /// Whether there is none that begins with this byte.
    pub(crate) fn is_empty_shard(&self, first: u8) -> bool {
        self.shard(first).is_none_or(|shard| shard.recent.is_empty() && shard.runs.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn id(n: u16) -> ObjectId {
        let mut bytes = [7; 32];
        let [high, low] = n.to_be_bytes();
        (bytes[0], bytes[31]) = (high % 3, low);
        ObjectId::from_bytes(bytes)
    }

    proptest! {
        #[test]
        fn a_set_that_spills_holds_what_a_set_holds(
            pushed in prop::collection::vec(0..1000_u16, 0..300),
            inserted in prop::collection::vec(0..1000_u16, 0..300),
            most in 1..50_u64,
            can_spill: bool,
        ) {
            let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority()).unwrap();
            if can_spill {
                dir.create_dir(TMP).unwrap();
            }
            let spill = Spill::new(&dir, most * SETS * 256 * ID_BYTES as u64);
            let ids = Ids::new(&spill);
            let mut model = BTreeSet::new();
            for n in pushed {
                ids.push(id(n));
                model.insert(id(n));
            }
            for some in inserted.chunks(20) {
                for first in 0..3 {
                    let of_shard: BTreeSet<_> =
                        some.iter().map(|n| id(*n)).filter(|id| id.as_bytes()[0] == first).collect();
                    let new: Vec<_> = of_shard.difference(&model).copied().collect();
                    prop_assert_eq!(ids.insert(first, of_shard.iter().copied().collect()).unwrap(), new);
                    model.extend(of_shard);
                }
            }
            for n in 0..50 {
                prop_assert_eq!(ids.contains(id(n)).unwrap(), model.contains(&id(n)));
            }
            prop_assert_eq!(ids.is_empty(), model.is_empty());
            for first in 0..=u8::MAX {
                let expected: Vec<_> = model.iter().filter(|id| id.as_bytes()[0] == first).copied().collect();
                prop_assert_eq!(ids.sorted(first).unwrap(), expected.clone());
                prop_assert_eq!(ids.take(first).unwrap(), expected);
            }
            prop_assert!(ids.is_empty());
            prop_assert!(!can_spill || dir.open_dir(TMP).unwrap().entries().unwrap().next().is_none());
        }
    }
}
