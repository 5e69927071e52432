//! Which commits a prune keeps.

use super::PruneOptions;
use crate::{Repo, Result, Root};
use sapwood_objstore::{Commit, Error, Id, ObjectKind};
use std::collections::{HashMap, HashSet};

/// The commits that stay, and their trees.
pub(super) struct Kept {
    pub(super) ids: HashSet<Id<Commit>>,
    /// Trees that must be all here.
    pub(super) complete: Vec<Root>,
    /// Trees of commits that are known to be incomplete.
    pub(super) partial: Vec<Root>,
}

pub(super) fn kept_commits(repo: &Repo, options: &PruneOptions) -> Result<Kept> {
    let mut tips = repo.refs()?;
    tips.extend(repo.mirrored_refs()?);
    let mut history = History { repo, commits: HashMap::new() };
    for tip in tips {
        match (options.branch_depths.get(&tip.name), options.keep_younger_than) {
            (Some(depth), _) => history.keep_to_depth(tip.target, *depth)?,
            _ if !options.only_branches.is_empty() && !options.only_branches.contains(&tip.name) => {
                history.keep_to_depth(tip.target, None)?;
            }
            (None, Some(limit)) => history.keep_younger(tip.target, limit)?,
            (None, None) => history.keep_to_depth(tip.target, options.depth)?,
        }
    }
    let refs_alone = options.refs_only
        || options.keep_younger_than.is_some()
        || !options.branch_depths.is_empty()
        || !options.only_branches.is_empty();
    if !refs_alone {
        for shard in 0..=u8::MAX {
            for name in repo.store().shard_objects(shard)? {
                if name.kind == ObjectKind::Commit {
                    history.keep_to_depth(Id::new(name.id), Some(0))?;
                }
            }
        }
    }
    let incomplete: HashSet<Id<Commit>> = repo.incomplete()?.into_iter().map(|(id, _)| id).collect();
    let mut kept = Kept { ids: HashSet::new(), complete: Vec::new(), partial: Vec::new() };
    for (id, Seen { root, .. }) in history.commits {
        kept.ids.insert(id);
        if incomplete.contains(&id) { kept.partial.push(root) } else { kept.complete.push(root) }
    }
    Ok(kept)
}

struct History<'repo> {
    repo: &'repo Repo,
    commits: HashMap<Id<Commit>, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    root: Root,
    /// How many parents of it are kept; `None` is all.
    depth: Option<u32>,
    /// Whether all its parents that are young enough are kept.
    with_younger: bool,
}

impl History<'_> {
    /// The commit, if it is here: history may end anywhere, and a ref may point to nothing.
    fn load(&self, id: Id<Commit>) -> Result<Option<Commit>> {
        match self.repo.store().load(id) {
            Ok(commit) => Ok(Some(commit)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn keep_to_depth(&mut self, tip: Id<Commit>, depth: Option<u32>) -> Result<()> {
        let (mut next, mut depth) = (Some(tip), depth);
        while let Some(id) = next {
            // Where another ref came by with as many parents left, all that follows is kept already.
            let rank = |depth: Option<u32>| depth.map_or(u64::MAX, u64::from);
            if self.commits.get(&id).is_some_and(|seen| rank(seen.depth) >= rank(depth)) {
                break;
            }
            let Some(commit) = self.load(id)? else { break };
            let root = Root { tree: commit.tree, meta: commit.meta };
            let with_younger = self.commits.get(&id).is_some_and(|seen| seen.with_younger);
            self.commits.insert(id, Seen { root, depth, with_younger });
            next = commit.parent;
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
            let Some(commit) = self.load(id)? else { break };
            // What a ref points to stays whatever its age, but lends no more to its parents than others do.
            let is_young = commit.timestamp.cast_signed() >= limit;
            if id != tip && !is_young {
                break;
            }
            let root = Root { tree: commit.tree, meta: commit.meta };
            let seen = self.commits.entry(id).or_insert(Seen { root, depth: Some(0), with_younger: false });
            if std::mem::replace(&mut seen.with_younger, true) || !is_young {
                break;
            }
            next = commit.parent;
        }
        Ok(())
    }
}
