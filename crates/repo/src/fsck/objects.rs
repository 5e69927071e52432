//! The objects themselves: each is read and hashed, and what is reached is looked for.

use super::{FsckEvent, Problem, Problems};
use crate::reach::Reachable;
use crate::{Repo, Result, pool};
use rayon::prelude::*;
use sapwood_objstore::{ObjectId, ObjectKind, ObjectName, Verdict};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many objects lie between two reports of progress.
const REPORT_EVERY: u64 = 256;

impl Repo {
    /// Verifies what is stored. Directories that were read on the way are verified already.
    pub(super) fn fsck_stored(
        &self,
        reachable: &Reachable,
        problems: &mut Problems,
        on_event: &(dyn Fn(FsckEvent) + Sync),
    ) -> Result<u64> {
        let checked = AtomicU64::new(0);
        let found = Mutex::new(Vec::new());
        let check = |name: ObjectName, trees: &[ObjectId]| -> Result<()> {
            let is_read = name.kind == ObjectKind::DirTree && trees.binary_search(&name.id).is_ok();
            let problem = match if is_read { Verdict::Good } else { self.store().verify(name)? } {
                // Missing: removed by a program that takes no lock.
                Verdict::Good | Verdict::Missing => None,
                Verdict::Corrupt(actual) => Some(Problem::Corrupt { actual }),
                Verdict::Malformed(why) => Some(Problem::Malformed { why }),
                Verdict::Unreadable => Some(Problem::Unreadable),
            };
            if let Some(problem) = problem {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((name, problem));
            }
            let checked = checked.fetch_add(1, Ordering::Relaxed) + 1;
            if checked.is_multiple_of(REPORT_EVERY) {
                on_event(FsckEvent::Checked { objects: checked });
            }
            Ok(())
        };
        pool::run(pool::default_threads(), |_| {
            (0..=u8::MAX).into_par_iter().with_max_len(1).try_for_each(|shard| {
                let trees = reachable.trees.sorted(shard)?;
                let names = self.store().shard_objects(shard)?;
                names.into_par_iter().try_for_each(|name| check(name, &trees))
            })
        })??;
        let checked = checked.into_inner();
        on_event(FsckEvent::Checked { objects: checked });
        for (name, problem) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            problems.entry(name).or_insert(problem);
        }
        Ok(checked)
    }

    /// Finds what is reached and not here. Directories are not looked for: those were read.
    pub(super) fn fsck_missing(&self, reachable: &Reachable, problems: &mut Problems) -> Result<()> {
        for (kind, set) in [(ObjectKind::DirMeta, &reachable.metas), (ObjectKind::File, &reachable.files)] {
            for shard in 0..=u8::MAX {
                let names = self.store().shard_objects(shard)?.into_iter();
                let mut stored: Vec<_> = names.filter(|name| name.kind == kind).map(|name| name.id).collect();
                stored.sort_unstable();
                for id in set.take(shard)? {
                    let name = ObjectName { kind, id };
                    if stored.binary_search(&id).is_err() && !self.store().contains(name)? {
                        problems.insert(name, Problem::Missing);
                    }
                }
            }
        }
        Ok(())
    }
}
