//! The 256 directories that hold objects. They are kept open once used, as long as the process has descriptors to spare.

use crate::{Error, layout};
use rustix::process::{Resource, getrlimit};
use sapwood_fsio::{self as fsio, Dir};
use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shards below one directory.
#[derive(Debug)]
pub(crate) struct Shards {
    slots: Box<[OnceLock<Dir>]>,
}

/// An open shard.
#[derive(Debug)]
pub(crate) enum Shard<'a> {
    /// It stays open.
    Kept(&'a Dir),
    /// There are too many open already.
    Opened(Dir),
}

impl Deref for Shard<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            Self::Kept(dir) => dir,
            Self::Opened(dir) => dir,
        }
    }
}

/// How many shards this process keeps open, of all stores together.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// Half of the files that the process may have open: the others are for what it does with them.
fn most_kept() -> u64 {
    static MOST: OnceLock<u64> = OnceLock::new();
    *MOST.get_or_init(|| getrlimit(Resource::Nofile).current.map_or(1 << 40, |limit| limit / 2))
}

impl Shards {
    pub(crate) fn new() -> Self {
        Self { slots: (0..layout::SHARDS).map(|_| OnceLock::new()).collect() }
    }

    /// The shard below `base`, if it exists.
    pub(crate) fn get(&self, base: &Dir, shard: u8) -> Result<Option<Shard<'_>>, Error> {
        if let Some(dir) = self.slot(shard).get() {
            return Ok(Some(Shard::Kept(dir)));
        }
        Ok(fsio::open_dir_optional(base, layout::shard_name(shard))?.map(|dir| self.keep(shard, dir)))
    }

    /// The shard below `base`, created with this mode where it is missing.
    pub(crate) fn get_or_create(&self, base: &Dir, shard: u8, mode: u32) -> Result<Shard<'_>, Error> {
        match self.slot(shard).get() {
            Some(dir) => Ok(Shard::Kept(dir)),
            None => Ok(self.keep(shard, fsio::ensure_dir(base, layout::shard_name(shard), mode)?)),
        }
    }

    fn slot(&self, shard: u8) -> &OnceLock<Dir> {
        &self.slots[usize::from(shard)]
    }

    fn keep(&self, shard: u8, dir: Dir) -> Shard<'_> {
        let counted = KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
            (kept < most_kept()).then_some(kept + 1)
        });
        if counted.is_err() {
            return Shard::Opened(dir);
        }
        match self.slot(shard).set(dir) {
            Ok(()) => {}
            // Another thread was faster.
            Err(dir) => {
                KEPT.fetch_sub(1, Ordering::Relaxed);
                return Shard::Opened(dir);
            }
        }
        self.slot(shard).get().map_or_else(|| unreachable!("the slot was filled above"), Shard::Kept)
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        let kept = self.slots.iter().filter(|slot| slot.get().is_some()).count();
        KEPT.fetch_sub(kept as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_may_not_be_kept_are_opened_each_time() {
        let base = cap_tempfile::tempdir(cap_tempfile::ambient_authority()).unwrap();
        let (kept, full) = (Shards::new(), Shards::new());
        assert!(kept.get(&base, 7).unwrap().is_none());
        assert!(matches!(kept.get_or_create(&base, 7, 0o755).unwrap(), Shard::Kept(_)));
        KEPT.fetch_add(most_kept(), Ordering::Relaxed);
        for _ in 0..2 {
            assert!(matches!(full.get(&base, 7).unwrap(), Some(Shard::Opened(_))));
            assert!(matches!(kept.get(&base, 7).unwrap(), Some(Shard::Kept(_))));
        }
        KEPT.fetch_sub(most_kept(), Ordering::Relaxed);
    }
}
