//! Deleting what a plan says, under the exclusive lock, after looking again what is needed.

use super::{Candidates, PruneEvent, PrunePlan, Pruned, deltas};
use crate::{Repo, Result, pool};
use rayon::prelude::*;
use sapwood_fsio::Kind;
use sapwood_fsio::lock::LockKind;
use sapwood_objstore::{Commit, Id, ObjectId, ObjectKind, ObjectName};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many deletions lie between two reports of progress.
const REPORT_EVERY: u64 = 256;
/// Threads for each core, and at least and at most how many, that delete. They mostly wait: a filesystem that tells its disk of
/// each block that is free now (`discard`) does so before it returns.
const DELETING_PER_CORE: usize = 4;
const DELETING_LEAST: usize = 8;
const DELETING_MOST: usize = 16;

/// What was planned and is not done, since it is needed now.
#[derive(Debug, Default)]
struct Spared {
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl PrunePlan<'_> {
    /// Deletes what is still not needed, commits first, so that a crash leaves no commit without its content. With a commit go
    /// its detached metadata, its mark of incompleteness, its closure and the static deltas that lead to it; where
    /// `core.tombstone-commits` is set a tombstone stays. Old temporary files, half-done downloads of killed pulls, files that
    /// never became objects, cached summaries of remotes that no longer exist, and marks of commits that are not here, are
    /// removed as well.
    ///
    /// The commits are gone durably when it returns. A power loss may bring back some of the rest, which nothing needs, and
    /// which another prune deletes.
    ///
    /// # Errors
    /// [`Error::NewerFormat`](crate::Error::NewerFormat) where the repository can only be read;
    /// [`Error::Lock`](crate::Error::Lock), [`Error::Store`](crate::Error::Store), [`Error::Io`](crate::Error::Io):
    /// some objects may be deleted then, and another prune deletes the others.
    pub fn apply(mut self, on_event: &(dyn Fn(PruneEvent) + Sync)) -> Result<Pruned> {
        let (repo, store) = (self.repo, self.repo.store());
        repo.config().check_writable()?;
        let mut shards: Vec<u8> = (0..=u8::MAX).filter(|shard| !self.candidates.are_none(*shard)).collect();
        let spared = Spared::default();
        let (mut begins, deleted) = (true, AtomicU64::new(0));
        loop {
            let lock = store.lock(LockKind::Exclusive)?;
            let started = Instant::now();
            self.commits.look(&self.options, Some(&self.doomed))?;
            self.mark()?;
            self.delete_commits(&spared, &deleted, begins && !shards.is_empty())?;
            begins = false;
            for delta in deltas::without_target(repo.dir(), &|commit| self.commits.is_kept(commit))? {
                sapwood_fsio::remove_tree(repo.dir(), delta)?;
            }
            let (begun, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
            let plan = &self;
            let threads = (pool::default_threads() * DELETING_PER_CORE).clamp(DELETING_LEAST, DELETING_MOST);
            pool::run(threads, |_| {
                shards.par_iter().with_max_len(1).try_for_each(|shard| {
                    // One at least, so that it gets on.
                    if begun.fetch_add(1, Ordering::Relaxed) > 0 && started.elapsed() > plan.options.hold {
                        return Ok(());
                    }
                    plan.delete_shard(*shard, &spared, &deleted, on_event)?;
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(*shard);
                    Ok::<_, crate::Error>(())
                })
            })??;
            let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
            shards.retain(|shard| !done.contains(shard));
            if shards.is_empty() {
                store.clean_payload_links()?;
                store.clean_unfinished()?;
                store.clean_scratch()?;
                store.clean_tmp(repo.config().tmp_expiry)?;
                remove_summaries_of_strangers(repo)?;
                break;
            }
            drop(lock);
            on_event(PruneEvent::Paused);
            std::thread::sleep(self.options.pause);
        }
        Ok(Pruned {
            deleted_objects: self.pruned.deleted_objects - spared.objects.into_inner(),
            freed_bytes: self.pruned.freed_bytes.saturating_sub(spared.bytes.into_inner()),
            ..self.pruned
        })
    }

    /// Deletes the commits, durably, and those that wait in staging. None is to be deleted after that. Before content goes, what an
    /// earlier prune deleted has to be durable as well: that may have been cut short before it came to that.
    fn delete_commits(&mut self, spared: &Spared, deleted: &AtomicU64, before_content: bool) -> Result<()> {
        let repo = self.repo;
        repo.store().discard_staged_commits()?;
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.doomed).into_iter().partition(|commit| self.commits.is_kept(*commit));
        for commit in &kept {
            spare(repo, commit.name(), spared)?;
        }
        delete_commits(repo, &gone)?;
        for commit in &gone {
            self.commits.forget(*commit);
        }
        self.pruned.deleted_commits -= kept.len() as u64;
        deleted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        if before_content {
            repo.store().sync()?;
        } else {
            repo.store().sync_commits(&gone)?;
        }
        for (commit, _) in repo.incomplete()? {
            if !repo.store().contains(commit.name())? {
                repo.clear_partial(commit)?;
            }
        }
        Ok(())
    }

    /// Deletes the candidates of a shard, but those that are reached now.
    fn delete_shard(
        &self,
        shard: u8,
        spared: &Spared,
        deleted: &AtomicU64,
        on_event: &(dyn Fn(PruneEvent) + Sync),
    ) -> Result<()> {
        let Candidates { trees, metas, files } = &self.candidates;
        for (kind, candidates, reached) in [
            (ObjectKind::DirTree, trees.take(shard)?, &self.reachable.trees),
            (ObjectKind::DirMeta, metas.take(shard)?, &self.reachable.metas),
            (ObjectKind::File, files.take(shard)?, &self.reachable.files),
        ] {
            if candidates.is_empty() {
                continue;
            }
            let reached: Vec<ObjectId> = reached.sorted(shard)?;
            for id in candidates {
                let name = ObjectName { kind, id };
                if reached.binary_search(&id).is_ok() {
                    spare(self.repo, name, spared)?;
                    continue;
                }
                self.repo.store().remove(name)?;
                let objects = deleted.fetch_add(1, Ordering::Relaxed) + 1;
                if objects.is_multiple_of(REPORT_EVERY) {
                    on_event(PruneEvent::Deleted { objects });
                }
            }
        }
        Ok(())
    }
}

/// Counts an object that is not deleted after all.
fn spare(repo: &Repo, name: ObjectName, spared: &Spared) -> Result<()> {
    let bytes = repo.store().size_and_time(name)?.map_or(0, |(bytes, _)| bytes);
    spared.objects.fetch_add(1, Ordering::Relaxed);
    spared.bytes.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

/// Deletes commit objects and what is kept beside them; not durable, save that tombstones are before any is deleted.
pub(super) fn delete_commits(repo: &Repo, commits: &[Id<Commit>]) -> Result<()> {
    if repo.config().tombstones {
        repo.store().put_tombstones(commits)?;
    }
    for commit in commits {
        repo.remove_closure(*commit)?;
        repo.store().remove(commit.name())?;
    }
    Ok(())
}

/// Removes the cached summaries of remotes that no longer exist.
fn remove_summaries_of_strangers(repo: &Repo) -> Result<()> {
    let Some(cache) = sapwood_fsio::open_dir_optional(repo.dir(), "tmp/cache/summaries")? else {
        return Ok(());
    };
    let remotes = repo.remotes()?;
    for entry in sapwood_fsio::entries(&cache)? {
        let name = entry.name.to_string_lossy();
        let remote = name.strip_suffix(".sig").unwrap_or(&name);
        if entry.kind == Kind::File && !remotes.iter().any(|known| known.name.as_str() == remote) {
            sapwood_fsio::remove_file_optional(&cache, &entry.name)?;
        }
    }
    Ok(())
}
