//! Which commits a prune keeps.

use super::PruneOptions;
use crate::{Repo, Result, Root};
use sapwood_objstore::{Commit, Error, Id, ObjectKind};
use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// The commits that stay, and their trees.
pub(super) struct Kept {
    pub(super) ids: HashSet<Id<Commit>>,
    /// Trees that must be all here.
    pub(super) complete: Vec<Root>,
    /// Trees of commits that are known to be incomplete.
    pub(super) partial: Vec<Root>,
}

pub(super) fn kept_commits(repo: &Repo, options: &PruneOptions) -> Result<Kept> {
    let mut tips: Vec<Id<Commit>> = repo.refs()?.into_iter().map(|entry| entry.target).collect();
    tips.extend(repo.mirrored_refs()?.into_iter().map(|entry| entry.target));
    let mut history = History { repo, commits: HashMap::new() };
    match options.keep_younger_than {
        Some(limit) => tips.iter().try_for_each(|tip| history.keep_younger(*tip, seconds(limit)))?,
        None => tips.iter().try_for_each(|tip| history.keep_to_depth(*tip, options.depth))?,
    }
    if !options.refs_only && options.keep_younger_than.is_none() {
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

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
            self.commits.insert(id, Seen { root, depth });
            next = commit.parent;
            match &mut depth {
                Some(0) => break,
                Some(left) => *left -= 1,
                None => {}
            }
        }
        Ok(())
    }

    fn keep_younger(&mut self, tip: Id<Commit>, limit: u64) -> Result<()> {
        let mut next = Some(tip);
        while let Some(id) = next {
            let Some(commit) = self.load(id)? else { break };
            if id != tip && commit.timestamp < limit {
                break;
            }
            let root = Root { tree: commit.tree, meta: commit.meta };
            let is_known = self.commits.insert(id, Seen { root, depth: Some(0) }).is_some();
            if is_known && id != tip {
                break;
            }
            next = commit.parent;
        }
        Ok(())
    }
}
