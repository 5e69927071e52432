//! Deleting what nothing needs: a plan, made while others write, then applied under the exclusive lock.
//!
//! **The rules between a pruner and those who write.** They hold for real `ostree` on either side too, since its locking is
//! the same.
//!
//! 1. Who adds objects holds the shared lock from before the first look at what is there until the refs have moved. So under the
//!    exclusive lock nobody is in between: what a writer relied on is reached from a ref or a stored commit by now, or
//!    the writer is dead, and who takes its staged objects over looks at everything anew.
//! 2. *Planning* holds the shared lock, as a writer does. It notes which commits are kept, then all that they reach, then
//!    which of the stored objects are none of that: the *candidates*. Writers add objects and move refs meanwhile, so
//!    a candidate may be needed by now. Nothing else than a candidate will be deleted: what is younger than the plan is safe.
//! 3. *Applying* takes the exclusive lock and looks again which commits are kept. Of those that were not kept before
//!    it reads the trees, as far as those were not reached before; what they reach is a candidate no more. A
//!    commit that was not stored when the candidates were chosen is kept, even where no ref leads to it.
//! 4. Commits are deleted first, and that is made durable, before anything they reach is. So a commit that is stored, and
//!    not marked as incomplete, is all here, whatever moment the power fails. Of any other object nothing follows but
//!    itself: a writer may rely on a directory that it finds, never on what is below it being there. So nothing else
//!    need be durable: what a power loss brings back is deleted again by the next prune.
//! 5. By 4 a prune may let go of the lock in the middle ([`PruneOptions::hold`]) and look again when it has it back.
//!
//! Memory is bounded, whatever the number of objects: those reached and those to be deleted are sorted runs, in a file
//! without a name where they are too many ([`PruneOptions::memory_bytes`]). Of each commit looked at about 200 bytes stay.

mod apply;
mod deltas;
mod options;
mod roots;

pub use options::{PruneEvent, PruneOptions, PruneScope, Pruned};

use crate::ids::{Ids, Spill};
use crate::reach::{OnBad, Reachable};
use crate::{Error, Repo, Result, pool};
use rayon::prelude::*;
use roots::{Commits, Roots};
use sapwood_fsio::lock::LockKind;
use sapwood_objstore::{Commit, Id, ObjectId, ObjectKind, ObjectName};
use std::collections::HashSet;
use std::time::SystemTime;

/// What a prune will do, unless writers come to need some of it before. It holds no lock.
#[derive(Debug)]
#[must_use = "nothing is deleted until it is applied"]
pub struct PrunePlan<'repo> {
    repo: &'repo Repo,
    options: PruneOptions,
    commits: Commits<'repo>,
    reachable: Reachable,
    /// Commits that are to be deleted.
    doomed: HashSet<Id<Commit>>,
    /// The other objects that are to be deleted.
    candidates: Candidates,
    pruned: Pruned,
}

/// Objects by kind.
#[derive(Debug)]
struct Candidates {
    trees: Ids,
    metas: Ids,
    files: Ids,
}

impl Candidates {
    fn new(spill: &std::sync::Arc<Spill>) -> Self {
        Self { trees: Ids::new(spill), metas: Ids::new(spill), files: Ids::new(spill) }
    }

    /// Whether a shard has none.
    fn are_none(&self, shard: u8) -> bool {
        [&self.trees, &self.metas, &self.files].iter().all(|ids| ids.is_empty_shard(shard))
    }

    fn push(&self, name: ObjectName) {
        match name.kind {
            ObjectKind::DirTree => self.trees.push(name.id),
            ObjectKind::DirMeta => self.metas.push(name.id),
            ObjectKind::File => self.files.push(name.id),
            // These are kept apart.
            ObjectKind::Commit => {}
        }
    }
}

impl PrunePlan<'_> {
    /// What applying it will do.
    pub fn summary(&self) -> Pruned {
        self.pruned
    }

    /// Calls `each` with every object that it will delete: commits first, then shard by shard.
    ///
    /// # Errors
    /// [`Error::Io`] if what does not fit into memory cannot be read.
    pub fn for_each(&self, each: &mut dyn FnMut(ObjectName)) -> Result<()> {
        self.doomed.iter().for_each(|id| each(id.name()));
        for shard in 0..=u8::MAX {
            let Candidates { trees, metas, files } = &self.candidates;
            for (kind, ids) in
                [(ObjectKind::DirTree, trees), (ObjectKind::DirMeta, metas), (ObjectKind::File, files)]
            {
                ids.sorted(shard)?.into_iter().for_each(|id| each(ObjectName { kind, id }));
            }
        }
        Ok(())
    }

    /// Notes what the commits reach that are kept and were not before.
    fn mark(&mut self) -> Result<()> {
        if self.options.scope == PruneScope::Commits {
            return Ok(());
        }
        let Roots { complete, partial } = self.commits.new_roots()?;
        let threads = pool::default_threads();
        self.reachable.add(self.repo.store(), &complete, threads, OnBad::Fail)?;
        self.reachable.add(self.repo.store(), &partial, threads, OnBad::SkipMissing)
    }
}

/// What a shard holds.
#[derive(Default)]
struct Counted {
    total: u64,
    doomed: Vec<Id<Commit>>,
    deleted: u64,
    bytes: u64,
}

impl Repo {
    /// Finds what can be deleted, under the shared lock: writers go on meanwhile, another prune waits. In a repository that
    /// was never locked and that this user may not write it takes none.
    ///
    /// # Errors
    /// [`Error::Lock`]; [`Error::MalformedRef`]; [`Error::Store`] if a directory of a commit that is kept is corrupt,
    /// or missing and the commit not known to be incomplete (what is below it cannot be told then; [`fsck`](Self::fsck)
    /// finds such commits); [`Error::Io`].
    pub fn plan_prune(
        &self,
        options: &PruneOptions,
        on_event: &(dyn Fn(PruneEvent) + Sync),
    ) -> Result<PrunePlan<'_>> {
        let lock = self.lock_to_read()?;
        let spill = Spill::new(self.dir(), options.memory_bytes);
        let mut commits = Commits::new(self);
        commits.look(options, None)?;
        let mut plan = PrunePlan {
            repo: self,
            options: options.clone(),
            commits,
            reachable: Reachable::new(&spill),
            doomed: HashSet::new(),
            candidates: Candidates::new(&spill),
            pruned: Pruned::default(),
        };
        plan.mark()?;
        on_event(PruneEvent::Marked);
        let young = (!options.grace.is_zero()).then(|| roots::young_since(options.grace));
        let counted = pool::run(pool::default_threads(), |_| {
            (0..=u8::MAX)
                .into_par_iter()
                .with_max_len(1)
                .map(|shard| plan.choose(shard, young))
                .collect::<Result<Vec<Counted>>>()
        })??;
        for Counted { total, doomed, deleted, bytes } in counted {
            plan.pruned.total_objects += total;
            plan.pruned.deleted_commits += doomed.len() as u64;
            plan.pruned.deleted_objects += deleted;
            plan.pruned.freed_bytes += bytes;
            plan.doomed.extend(doomed);
        }
        drop(lock);
        Ok(plan)
    }

    /// Deletes the static deltas that lead to a commit; the commit stays. None there is success.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] where the repository can only be read; [`Error::Lock`], [`Error::Io`].
    pub fn delete_deltas_to(&self, commit: Id<Commit>) -> Result<()> {
        self.config().check_writable()?;
        let _lock = self.store().lock(LockKind::Exclusive)?;
        for delta in deltas::without_target(self.dir(), &|target| target != commit)? {
            sapwood_fsio::remove_tree(self.dir(), delta)?;
        }
        Ok(())
    }

    /// Deletes one commit object, and what is kept beside it; refuses while a ref points to it. What it reaches stays
    /// until a prune.
    ///
    /// As OSTree does, it notes that this was done on purpose, and sets `core.tombstone-commits`, so that this is noted of
    /// every commit from now on: those who pull can tell what was deleted from what is missing.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Store`] with a missing object if it is not here: then nothing is changed.
    /// [`Error::NewerFormat`], [`Error::Lock`], [`Error::Io`].
    pub fn delete_commit(&mut self, commit: Id<Commit>) -> Result<()> {
        self.config().check_writable()?;
        let _lock = self.store().lock(LockKind::Exclusive)?;
        let mut refs = self.refs()?.into_iter().chain(self.mirrored_refs()?);
        if let Some(entry) = refs.find(|entry| entry.target == commit) {
            return Err(Error::InUse { id: commit, name: entry.name.to_string() });
        }
        if !self.store().contains(commit.name())? {
            return Err(Error::Store(sapwood_objstore::Error::Missing { name: commit.name() }));
        }
        if !self.config().tombstones {
            self.edit_config(|file| _ = file.set("core", "tombstone-commits", "true"))?;
        }
        apply::delete_commits(self, &[commit])?;
        self.store().sync_commits(&[commit])?;
        self.clear_partial(commit)
    }
}

impl PrunePlan<'_> {
    /// Chooses what of a shard will be deleted.
    fn choose(&self, shard: u8, young: Option<SystemTime>) -> Result<Counted> {
        let store = self.repo.store();
        let reached = match self.options.scope {
            PruneScope::Everything => Reached {
                trees: self.reachable.trees.sorted(shard)?,
                // Taken out: what is there when the plan is applied was added meanwhile.
                metas: self.reachable.metas.take(shard)?,
                files: self.reachable.files.take(shard)?,
            },
            PruneScope::Commits => Reached::default(),
        };
        let mut counted = Counted::default();
        let mut choose = |name: ObjectName| -> Result<()> {
            // One that is gone meanwhile was removed by a program that takes no lock.
            let Some((bytes, at)) = store.size_and_time(name)? else { return Ok(()) };
            if young.is_some_and(|young| at > young) {
                return Ok(());
            }
            match name.kind {
                ObjectKind::Commit => counted.doomed.push(Id::new(name.id)),
                _ => self.candidates.push(name),
            }
            counted.deleted += 1;
            counted.bytes += bytes;
            Ok(())
        };
        let mut total = 0;
        if self.options.scope == PruneScope::Commits {
            for id in store.shard_commits(shard)? {
                total += 1;
                if !self.commits.is_kept(id) {
                    choose(id.name())?;
                }
            }
        } else {
            for name in store.shard_objects(shard)? {
                total += 1;
                let stays = match name.kind {
                    ObjectKind::Commit => self.commits.is_kept(Id::new(name.id)),
                    _ => reached.contains(&name),
                };
                if !stays {
                    choose(name)?;
                }
            }
        }
        Ok(Counted { total, ..counted })
    }
}

/// What of a shard is reached, sorted.
#[derive(Default)]
struct Reached {
    trees: Vec<ObjectId>,
    metas: Vec<ObjectId>,
    files: Vec<ObjectId>,
}

impl Reached {
    fn contains(&self, name: &ObjectName) -> bool {
        let sorted = match name.kind {
            ObjectKind::Commit => return false,
            ObjectKind::DirTree => &self.trees,
            ObjectKind::DirMeta => &self.metas,
            ObjectKind::File => &self.files,
        };
        sorted.binary_search(&name.id).is_ok()
    }
}
