//! Which commits a prune keeps. It is asked twice: while others may write, and again under the exclusive lock.
//!
//! What was read of a commit is remembered, so that asking again reads the refs and the names of commits, and of objects
//! those commits alone that are new. Memory: about 200 bytes for each commit that is or was kept.

use super::PruneOptions;
use crate::{Repo, Result, Root};
use sapwood_objstore::{Commit, Error, Id};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

/// The commits that were looked at.
#[derive(Debug)]
pub(super) struct Commits<'repo> {
    repo: &'repo Repo,
    known: HashMap<Id<Commit>, Known>,
}

#[derive(Debug)]
struct Known {
    root: Root,
    parent: Option<Id<Commit>>,
    timestamp: i64,
    /// Whether, as of the last look, it is kept, and what else for its sake.
    kept: Option<Kept>,
    /// Whether its tree was handed out.
    is_handed_out: bool,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    /// How many parents of it are kept; `None` is all.
    depth: Option<u32>,
    /// Whether all its parents that are young enough are kept.
    with_younger: bool,
}

/// Trees of commits that are kept.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Those that must be all here.
    pub(super) complete: Vec<Root>,
    /// Those of commits that are known to be incomplete.
    pub(super) partial: Vec<Root>,
}

impl<'repo> Commits<'repo> {
    pub(super) fn new(repo: &'repo Repo) -> Self {
        Self { repo, known: HashMap::new() }
    }

    /// Finds out which commits are kept now. Where only refs keep any, that are in addition: before there are
    /// `candidates`, commits that are younger than the grace period; then, each that is stored and no candidate, since it
    /// came to be after those were chosen.
    pub(super) fn look(
        &mut self,
        options: &PruneOptions,
        candidates: Option<&HashSet<Id<Commit>>>,
    ) -> Result<()> {
        for known in self.known.values_mut() {
            known.kept = None;
        }
        let mut tips = self.repo.refs()?;
        tips.extend(self.repo.mirrored_refs()?);
        for tip in tips {
            match (options.branch_depths.get(&tip.name), options.keep_younger_than) {
                (Some(depth), _) => self.keep_to_depth(tip.target, *depth)?,
                _ if !options.only_branches.is_empty() && !options.only_branches.contains(&tip.name) => {
                    self.keep_to_depth(tip.target, None)?;
                }
                (None, Some(limit)) => self.keep_younger(tip.target, limit)?,
                (None, None) => self.keep_to_depth(tip.target, options.depth)?,
            }
        }
        let refs_alone = options.refs_only
            || options.keep_younger_than.is_some()
            || !options.branch_depths.is_empty()
            || !options.only_branches.is_empty();
        if refs_alone && candidates.is_none() && options.grace.is_zero() {
            return Ok(());
        }
        let young = young_since(options.grace);
        for shard in 0..=u8::MAX {
            for id in self.repo.store().shard_commits(shard)? {
                let stays = match candidates {
                    _ if !refs_alone => true,
                    Some(candidates) => !candidates.contains(&id),
                    None => self.repo.store().stored_at(id.name())?.is_some_and(|at| at > young),
                };
                if stays {
                    self.keep_to_depth(id, Some(0))?;
                }
            }
        }
        Ok(())
    }

    /// Whether a commit is kept, as of the last [`look`](Self::look).
    pub(super) fn is_kept(&self, id: Id<Commit>) -> bool {
        self.known.get(&id).is_some_and(|known| known.kept.is_some())
    }

    /// A commit was deleted: who comes to it from now on finds that history ends there.
    pub(super) fn forget(&mut self, id: Id<Commit>) {
        self.known.remove(&id);
    }

    /// The trees of kept commits that were not handed out before. Marks of incompleteness are read after commits were:
    /// where one is gone meanwhile, all that its commit needs is here.
    pub(super) fn new_roots(&mut self) -> Result<Roots> {
        let incomplete = self.repo.incomplete_anywhere()?;
        let mut roots = Roots::default();
        for (id, known) in &mut self.known {
            if known.kept.is_some() && !std::mem::replace(&mut known.is_handed_out, true) {
                let of_its_kind =
                    if incomplete.contains(id) { &mut roots.partial } else { &mut roots.complete };
                of_its_kind.push(known.root);
            }
        }
        Ok(roots)
    }

    /// The commit, if it is here: history may end anywhere, and a ref may point to nothing.
    fn load(&mut self, id: Id<Commit>) -> Result<Option<&mut Known>> {
        if !self.known.contains_key(&id) {
            let commit: Commit = match self.repo.store().load(id) {
                Ok(commit) => commit,
                Err(Error::Missing { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let root = Root { tree: commit.tree, meta: commit.meta };
            let (parent, timestamp) = (commit.parent, commit.timestamp.cast_signed());
            self.known.insert(id, Known { root, parent, timestamp, kept: None, is_handed_out: false });
        }
        Ok(self.known.get_mut(&id))
    }

    fn keep_to_depth(&mut self, tip: Id<Commit>, depth: Option<u32>) -> Result<()> {
        let (mut next, mut depth) = (Some(tip), depth);
        while let Some(id) = next {
            let Some(known) = self.load(id)? else { break };
            // Where another ref came by with as many parents left, all that follows is kept already.
            let rank = |depth: Option<u32>| depth.map_or(u64::MAX, u64::from);
            if known.kept.is_some_and(|kept| rank(kept.depth) >= rank(depth)) {
                break;
            }
            let with_younger = known.kept.is_some_and(|kept| kept.with_younger);
            known.kept = Some(Kept { depth, with_younger });
            next = known.parent;
            match &mut depth {
                Some(0) => break,
                Some(left) => *left -= 1,
                None => {}
            }
        }
        Ok(())
    }

    fn keep_younger(&mut self, tip: Id<Commit>, limit: i64) -> Result<()> {
        let mut next = Some(tip);
        while let Some(id) = next {
            let Some(known) = self.load(id)? else { break };
            // What a ref points to stays whatever its age, but lends no more to its parents than others do.
            let is_young = known.timestamp >= limit;
            if id != tip && !is_young {
                break;
            }
            let kept = known.kept.get_or_insert(Kept { depth: Some(0), with_younger: false });
            if std::mem::replace(&mut kept.with_younger, true) || !is_young {
                break;
            }
            next = known.parent;
        }
        Ok(())
    }
}

/// What came to be after this is young.
pub(super) fn young_since(grace: Duration) -> SystemTime {
    SystemTime::now().checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH)
}
