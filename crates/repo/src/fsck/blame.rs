//! Which commits need a damaged object. Directories without damage below them are read once, whatever the number of
//! commits that share them.

use super::{Problem, Problems};
use crate::tree::MAX_DEPTH;
use crate::{Result, Root};
use sapwood_objstore::{Commit, DirTree, Id, ObjectKind, ObjectName, Store};
use std::collections::{BTreeMap, HashSet};

/// For each damaged object the commits that need it, sorted. A damaged commit needs itself.
pub(super) fn commits_that_need(
    store: &Store,
    commits: &[(Id<Commit>, Root)],
    problems: &Problems,
) -> Result<BTreeMap<ObjectName, Vec<Id<Commit>>>> {
    let mut needed: BTreeMap<ObjectName, Vec<Id<Commit>>> = BTreeMap::new();
    for name in problems.keys().filter(|name| name.kind == ObjectKind::Commit) {
        needed.entry(*name).or_default().push(Id::new(name.id));
    }
    if problems.keys().all(|name| name.kind == ObjectKind::Commit) {
        return Ok(needed);
    }
    let mut search = Search { store, problems, sound: HashSet::new(), hits: HashSet::new() };
    for (commit, root) in commits {
        search.hits.clear();
        search.look_at(root.meta.name());
        search.tree(root.tree)?;
        for hit in search.hits.drain() {
            needed.entry(hit).or_default().push(*commit);
        }
    }
    for commits in needed.values_mut() {
        commits.sort_unstable();
    }
    Ok(needed)
}

struct Search<'a> {
    store: &'a Store,
    problems: &'a Problems,
    /// Directories below which nothing is damaged.
    sound: HashSet<Id<DirTree>>,
    /// What the current commit needs.
    hits: HashSet<ObjectName>,
}

/// A directory being searched: what is below it still, and whether damage was found.
struct Level {
    tree: Id<DirTree>,
    below: Vec<Id<DirTree>>,
    is_sound: bool,
}

impl Search<'_> {
    fn look_at(&mut self, name: ObjectName) -> bool {
        let is_damaged = self.problems.contains_key(&name);
        if is_damaged {
            self.hits.insert(name);
        }
        is_damaged
    }

    fn open(&mut self, tree: Id<DirTree>) -> Result<Level> {
        let mut level = Level { tree, below: Vec::new(), is_sound: true };
        if self.look_at(tree.name()) {
            level.is_sound = false;
            // One that was made wrong can be read, and there may be damage below it as well.
            let is_readable = matches!(
                self.problems.get(&tree.name()),
                Some(Problem::WrongSize { .. } | Problem::TooDeep { .. })
            );
            if !is_readable {
                return Ok(level);
            }
        }
        let loaded = self.store.load(tree)?;
        for file in loaded.files() {
            level.is_sound &= !self.look_at(file.id.name());
        }
        for dir in loaded.dirs() {
            level.is_sound &= !self.look_at(dir.meta.name());
            level.below.push(dir.tree);
        }
        Ok(level)
    }

    fn tree(&mut self, root: Id<DirTree>) -> Result<()> {
        if self.sound.contains(&root) {
            return Ok(());
        }
        // Directories that this commit was searched below, so that one it has twice is not searched twice.
        let mut searched = HashSet::from([root]);
        let mut levels = vec![self.open(root)?];
        loop {
            let depth = levels.len();
            let Some(level) = levels.last_mut() else { return Ok(()) };
            match level.below.pop() {
                Some(tree) if self.sound.contains(&tree) => {}
                // Searched before and not sound: what is wrong below it has been noted.
                Some(tree) if !searched.insert(tree) => level.is_sound = false,
                Some(tree) if depth > MAX_DEPTH => {
                    level.is_sound = false;
                    self.look_at(tree.name());
                }
                Some(tree) => {
                    let next = self.open(tree)?;
                    levels.push(next);
                }
                None => {
                    let Some(done) = levels.pop() else { return Ok(()) };
                    if done.is_sound {
                        self.sound.insert(done.tree);
                    } else if let Some(above) = levels.last_mut() {
                        above.is_sound = false;
                    }
                }
            }
        }
    }
}
