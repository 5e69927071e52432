//! Deleting what no ref reaches: a plan first, then applied under the exclusive lock.
//!
//! Commits are deleted, and that is made durable, before anything they reach is: a crash leaves objects that the next
//! prune deletes, never a commit without its content.

mod deltas;
mod roots;

use crate::reach::{OnBad, Reachable};
use crate::{Error, Refspec, Repo, Result, pool};
use rayon::prelude::*;
use roots::Kept;
use sapwood_fsio::Kind;
use sapwood_fsio::lock::{Lock, LockKind};
use sapwood_objstore::{Commit, Id, ObjectKind, ObjectName};
use std::collections::{BTreeMap, BTreeSet};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// How many parents of each ref's commit are kept; `None` is all. Default: all.
    pub depth: Option<u32>,
    /// Only refs keep commits alive; otherwise every commit that is stored does too. Default: no.
    pub refs_only: bool,
    /// Of each ref's history, the newest commit and those after it up to the first one older than this are kept, and
    /// nothing else: as OSTree has it, `depth` and `refs_only` are then not looked at. Seconds since the epoch.
    /// Default: not set.
    pub keep_younger_than: Option<i64>,
    /// Refs of whose commit so many parents are kept (`None` is all), whatever the other options say. With any, only refs
    /// keep commits alive. Default: none.
    pub branch_depths: BTreeMap<Refspec, Option<u32>>,
    /// The only refs whose history is shortened: of all others all parents are kept. With any, only refs keep commits
    /// alive. Default: none, which is every ref.
    pub only_branches: BTreeSet<Refspec>,
    /// Which kinds of objects are looked at and deleted. Default: all.
    pub scope: PruneScope,
}

/// Which kinds of objects a prune looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PruneScope {
    /// All.
    #[default]
    Everything,
    /// Commits alone, which is quick: what they leave behind is for another prune to delete.
    Commits,
}

/// What a prune will do. It holds the repository's exclusive lock.
#[derive(Debug)]
#[must_use = "nothing is deleted until it is applied"]
pub struct PrunePlan<'repo> {
    repo: &'repo Repo,
    /// Commits, then directories, their metadata, files.
    objects: Vec<ObjectName>,
    /// Paths of static deltas whose target goes.
    deltas: Vec<String>,
    pruned: Pruned,
    _lock: Option<Lock>,
}

/// What a prune did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /** Objects looked at. */
    pub total_objects: u64,
    /** Objects deleted. */
    pub deleted_objects: u64,
    /** Their size on disk. */
    pub freed_bytes: u64,
    /** Commits deleted. */
    pub deleted_commits: u64,
}

impl PrunePlan<'_> {
    /// What applying it will do.
    pub fn summary(&self) -> Pruned {
        self.pruned
    }

    /// The objects it will delete, commits first.
    pub fn objects(&self) -> &[ObjectName] {
        &self.objects
    }

    /// Deletes them, commits first, so that a crash leaves no commit without its content. With a commit go its detached
    /// metadata, its mark of incompleteness and the static deltas that lead to it; where `core.tombstone-commits` is set
    /// a tombstone stays. Old temporary files, and cached summaries of remotes
    /// that no longer exist, and marks of commits that are not here, are removed as well.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] where the repository can only be read; [`Error::Store`], [`Error::Io`]: some objects are
    /// deleted then, and another prune deletes the others.
    pub fn apply(self) -> Result<Pruned> {
        let (repo, store) = (self.repo, self.repo.store());
        repo.config().check_writable()?;
        let commits = self.objects.partition_point(|name| name.kind == ObjectKind::Commit);
        let (commits, content) = self.objects.split_at_checked(commits).unwrap_or_default();
        for name in commits {
            delete_one(repo, Id::new(name.id))?;
        }
        if !commits.is_empty() {
            store.sync()?;
        }
        for (commit, _) in repo.incomplete()? {
            if !store.contains(commit.name())? {
                repo.clear_partial(commit)?;
            }
        }
        for delta in &self.deltas {
            sapwood_fsio::remove_tree(repo.dir(), delta)?;
        }
        for name in content {
            store.remove(*name)?;
        }
        store.clean_payload_links()?;
        store.clean_tmp(repo.config().tmp_expiry)?;
        remove_summaries_of_strangers(repo)?;
        if !content.is_empty() || !self.deltas.is_empty() {
            store.sync()?;
        }
        Ok(self.pruned)
    }
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

fn delete_one(repo: &Repo, commit: Id<Commit>) -> Result<()> {
    if repo.config().tombstones {
        repo.store().put_tombstone(commit)?;
    }
    Ok(repo.store().remove(commit.name())?)
}

impl Repo {
    /// Finds what can be deleted. Takes the exclusive lock, which the plan holds: what waits for it meanwhile includes
    /// every transaction and [`edit_refs`](Self::edit_refs) of this process too.
    ///
    /// # Errors
    /// [`Error::Lock`]; [`Error::MalformedRef`]; [`Error::Store`] if a directory of a commit that is kept is corrupt,
    /// or missing and the commit not known to be incomplete (what is below it cannot be told then; [`fsck`](Self::fsck)
    /// finds such commits); [`Error::Io`].
    pub fn plan_prune(&self, options: &PruneOptions) -> Result<PrunePlan<'_>> {
        let lock = self.store().lock(LockKind::Exclusive)?;
        let kept = roots::kept_commits(self, options)?;
        let threads = pool::default_threads();
        let reachable = Reachable::new();
        if options.scope == PruneScope::Everything {
            reachable.add(self.store(), &kept.complete, threads, OnBad::Fail)?;
            reachable.add(self.store(), &kept.partial, threads, OnBad::SkipMissing)?;
        }
        let shards = pool::run(threads, |_| {
            (0..=u8::MAX)
                .into_par_iter()
                .map(|shard| self.plan_shard(shard, options.scope, &kept, &reachable))
                .collect()
        })?;
        let shards: Vec<(u64, u64, Vec<ObjectName>)> = Result::from_iter::<Vec<_>>(shards)?;
        let mut objects: Vec<ObjectName> = shards.iter().flat_map(|(_, _, names)| names).copied().collect();
        objects.sort_unstable();
        let pruned = Pruned {
            total_objects: shards.iter().map(|(total, ..)| total).sum(),
            deleted_objects: objects.len() as u64,
            freed_bytes: shards.iter().map(|(_, bytes, _)| bytes).sum(),
            deleted_commits: objects.iter().filter(|name| name.kind == ObjectKind::Commit).count() as u64,
        };
        let deltas = deltas::without_target(self.dir(), &|commit| kept.ids.contains(&commit))?;
        Ok(PrunePlan { repo: self, objects, deltas, pruned, _lock: lock })
    }

    /// Of one shard: how many objects there are, the size of those to delete, and which they are.
    fn plan_shard(
        &self,
        shard: u8,
        scope: PruneScope,
        kept: &Kept,
        reachable: &Reachable,
    ) -> Result<(u64, u64, Vec<ObjectName>)> {
        let mut names = self.store().shard_objects(shard)?;
        if scope == PruneScope::Commits {
            names.retain(|name| name.kind == ObjectKind::Commit);
        }
        let total = names.len() as u64;
        names.retain(|name| match name.kind {
            ObjectKind::Commit => !kept.ids.contains(&Id::new(name.id)),
            _ => !reachable.contains(name),
        });
        let mut bytes = 0;
        for name in &names {
            bytes += self.store().stored_size(*name)?;
        }
        Ok((total, bytes, names))
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
    /// # Errors
    /// [`Error::InUse`]; [`Error::Store`] with a missing object if it is not here; [`Error::NewerFormat`],
    /// [`Error::Lock`], [`Error::Io`].
    pub fn delete_commit(&self, commit: Id<Commit>) -> Result<()> {
        self.config().check_writable()?;
        let _lock = self.store().lock(LockKind::Exclusive)?;
        let mut refs = self.refs()?.into_iter().chain(self.mirrored_refs()?);
        if let Some(entry) = refs.find(|entry| entry.target == commit) {
            return Err(Error::InUse { id: commit, name: entry.name.to_string() });
        }
        if !self.store().contains(commit.name())? {
            return Err(Error::Store(sapwood_objstore::Error::Missing { name: commit.name() }));
        }
        delete_one(self, commit)?;
        self.store().sync()?;
        self.clear_partial(commit)
    }
}
