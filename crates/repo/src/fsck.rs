//! Checking a repository: every object is read and hashed, in parallel. A finding is not an error.

mod blame;

use crate::partial::Incomplete;
use crate::reach::{OnBad, Reachable, problem_of};
use crate::{Refspec, Repo, Result, Root, pool};
use rayon::prelude::*;
use sapwood_fsio::lock::{LockError, LockKind};
use sapwood_objstore::{Commit, Error as StoreError, Id, ObjectKind, ObjectName, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is checked, and with how much effort.
#[derive(Debug, Clone, Default)]
pub struct FsckOptions {
    /// Corrupt objects are removed, and commits that lose something are marked as incomplete.
    pub delete_corrupt: bool,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /** Something refers to it, but it is not here. */
    Missing,
    /** It hashes to something else. */
    Corrupt {
        /** To this. */
        actual: sapwood_objstore::ObjectId,
    },
    /** Its bytes are not a valid object. */
    Malformed,
    /** It announces another size for a file than the file has (native format). */
    WrongSize {
        /** The file. */
        file: sapwood_objstore::ObjectId,
        /** The size announced, in bytes. */
        announced: u64,
        /** The size of the content, in bytes. */
        actual: u64,
    },
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /** The object. */
    pub object: ObjectName,
    /** What is wrong. */
    pub problem: Problem,
    /** Commits that need it, sorted. */
    pub commits: Vec<Id<Commit>>,
    /** Refs whose commit is among those. */
    pub refs: Vec<Refspec>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /** Everything wrong, sorted by object. */
    pub findings: Vec<Finding>,
    /** Objects read. */
    pub objects: u64,
    /** Complete commits checked. */
    pub commits: u64,
    /** Commits known to be incomplete. */
    pub partial: Vec<Id<Commit>>,
    /** Those of them that an earlier check found damaged. */
    pub damaged: Vec<Id<Commit>>,
    /** Refs to commits that are not here. */
    pub dangling_refs: Vec<Refspec>,
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FsckEvent {
    /** Objects to be read, once known. */
    Total {
        /** How many. */
        objects: u64,
    },
    /** Objects read so far. */
    Checked {
        /** How many. */
        objects: u64,
    },
}

/// How many objects lie between two reports of progress.
const REPORT_EVERY: u64 = 256;

/// The commits of a repository.
struct Commits {
    /// Those that should be all here, with their trees.
    complete: Vec<(Id<Commit>, Root)>,
    partial: Vec<Id<Commit>>,
}

type Problems = BTreeMap<ObjectName, Problem>;

impl Repo {
    /// Checks everything that refs and commits reach, and every object that is stored.
    ///
    /// Commits that are marked as incomplete are counted, and what they lack is not looked for. Objects of parent
    /// repositories are not read, only known to be there. Holds the repository's lock: shared (but where it was never
    /// locked and this user may not write), or with [`FsckOptions::delete_corrupt`] exclusively. Deleting marks the commits first, durably, so a crash in between
    /// leaves damage that the next check finds again.
    ///
    /// # Errors
    /// [`crate::Error::Lock`], [`crate::Error::Io`], [`crate::Error::Store`] when the disk fails,
    /// [`crate::Error::MalformedRef`], [`crate::Error::TooDeep`].
    pub fn fsck(&self, options: &FsckOptions, on_event: &(dyn Fn(FsckEvent) + Sync)) -> Result<FsckReport> {
        let kind = if options.delete_corrupt {
            self.config().check_writable()?;
            LockKind::Exclusive
        } else {
            LockKind::Shared
        };
        let _lock = match self.store().lock(kind) {
            // Nobody ever locked it, and this user cannot: it is somebody else's, or on a read-only disk.
            Err(StoreError::Lock(LockError::Io(error)))
                if kind == LockKind::Shared
                    && matches!(
                        error.source.kind(),
                        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                None
            }
            other => other?,
        };
        let mut problems = Problems::new();
        let marks: BTreeMap<Id<Commit>, Incomplete> = self.incomplete()?.into_iter().collect();
        let (commits, total) = self.fsck_commits(&marks, &mut problems)?;
        on_event(FsckEvent::Total { objects: total });

        let reachable = Reachable::new();
        let roots: Vec<Root> = commits.complete.iter().map(|(_, root)| *root).collect();
        reachable.add(self.store(), &roots, pool::default_threads(), OnBad::Collect)?;
        problems.extend(reachable.take_bad().into_iter().map(|(tree, problem)| (tree.name(), problem)));
        let objects = self.fsck_stored(&reachable, &mut problems, on_event)?;
        self.fsck_missing(&reachable, &mut problems)?;

        let targets = self.fsck_refs()?;
        let blamed = blame::commits_that_need(self.store(), &commits.complete, &problems)?;
        let findings: Vec<Finding> = problems
            .into_iter()
            .map(|(object, problem)| {
                let commits = blamed.get(&object).cloned().unwrap_or_default();
                let refs = targets.iter().filter(|(_, id)| commits.binary_search(id).is_ok());
                Finding { object, problem, refs: refs.map(|(name, _)| name.clone()).collect(), commits }
            })
            .collect();
        if options.delete_corrupt {
            self.fsck_delete(&findings)?;
        }
        let mut dangling_refs = Vec::new();
        for (name, id) in targets {
            if !self.store().contains(id.name())? {
                dangling_refs.push(name);
            }
        }
        let is_damaged = |id: &Id<Commit>| marks.get(id) == Some(&Incomplete::Damaged);
        let damaged = commits.partial.iter().copied().filter(is_damaged).collect();
        let complete = commits.complete.len() as u64;
        Ok(FsckReport {
            findings,
            objects,
            commits: complete,
            partial: commits.partial,
            damaged,
            dangling_refs,
        })
    }

    /// Reads all commits, and counts the objects.
    fn fsck_commits(
        &self,
        marks: &BTreeMap<Id<Commit>, Incomplete>,
        problems: &mut Problems,
    ) -> Result<(Commits, u64)> {
        let mut commits = Commits { complete: Vec::new(), partial: Vec::new() };
        let mut total = 0;
        for shard in 0..=u8::MAX {
            for name in self.store().shard_objects(shard)? {
                total += 1;
                if name.kind != ObjectKind::Commit {
                    continue;
                }
                let id: Id<Commit> = Id::new(name.id);
                match self.store().load(id) {
                    _ if marks.contains_key(&id) => commits.partial.push(id),
                    Ok(commit) => {
                        commits.complete.push((id, Root { tree: commit.tree, meta: commit.meta }));
                    }
                    Err(error) => {
                        problems.insert(name, problem_of(self.store(), name, error)?);
                    }
                }
            }
        }
        Ok((commits, total))
    }

    /// Verifies what is stored. Directories that were read on the way are verified already.
    fn fsck_stored(
        &self,
        reachable: &Reachable,
        problems: &mut Problems,
        on_event: &(dyn Fn(FsckEvent) + Sync),
    ) -> Result<u64> {
        let checked = AtomicU64::new(0);
        let found = Mutex::new(Vec::new());
        let check = |name: ObjectName| -> Result<()> {
            let is_read = name.kind == ObjectKind::DirTree && reachable.trees.contains(&name.id);
            let problem = match if is_read { Verdict::Good } else { self.store().verify(name)? } {
                // Missing: removed by a program that takes no lock.
                Verdict::Good | Verdict::Missing => None,
                Verdict::Corrupt(actual) => Some(Problem::Corrupt { actual }),
                Verdict::Malformed => Some(Problem::Malformed),
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
            (0..=u8::MAX)
                .into_par_iter()
                .with_max_len(1)
                .try_for_each(|shard| self.store().shard_objects(shard)?.into_par_iter().try_for_each(check))
        })??;
        let checked = checked.into_inner();
        on_event(FsckEvent::Checked { objects: checked });
        for (name, problem) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            problems.entry(name).or_insert(problem);
        }
        Ok(checked)
    }

    /// Finds what is reached and not here. Directories are not looked for: those were read.
    fn fsck_missing(&self, reachable: &Reachable, problems: &mut Problems) -> Result<()> {
        for (kind, set) in [(ObjectKind::DirMeta, &reachable.metas), (ObjectKind::File, &reachable.files)] {
            for shard in 0..=u8::MAX {
                let stored: BTreeSet<_> = {
                    let names = self.store().shard_objects(shard)?.into_iter();
                    names.filter(|name| name.kind == kind).map(|name| name.id).collect()
                };
                for id in set.of_shard(shard) {
                    let name = ObjectName { kind, id };
                    if !stored.contains(&id) && !self.store().contains(name)? {
                        problems.insert(name, Problem::Missing);
                    }
                }
            }
        }
        Ok(())
    }

    fn fsck_refs(&self) -> Result<Vec<(Refspec, Id<Commit>)>> {
        let mut targets: Vec<_> = self.refs()?.into_iter().map(|entry| (entry.name, entry.target)).collect();
        let mirrors = self.mirrored_refs()?;
        targets.extend(mirrors.into_iter().map(|entry| (entry.name, entry.target)));
        Ok(targets)
    }

    fn fsck_delete(&self, findings: &[Finding]) -> Result<()> {
        let affected: BTreeSet<Id<Commit>> =
            findings.iter().flat_map(|finding| finding.commits.iter().copied()).collect();
        for commit in affected {
            self.mark_incomplete(commit, Incomplete::Damaged)?;
        }
        for finding in findings.iter().filter(|finding| finding.problem != Problem::Missing) {
            self.store().remove(finding.object)?;
        }
        Ok(self.store().sync()?)
    }
}
