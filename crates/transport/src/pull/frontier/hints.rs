//! Hints: objects that a closure says will be needed, so that they are fetched before the walk comes to them.
//!
//! A hint is not believed. It is fetched ahead of the walk, and what the walk needs is decided by the walk alone: an object
//! that comes by a hint is looked up like any other when the walk comes to it, one that could not be had is fetched then,
//! and the pull is done when the walk is. What hints may cost is bounded by what the commit itself says it holds, and by
//! what all of them may hold together.
//!
//! The frontier says when which closure is to be asked for. The first few are, together with their commits, as that spares
//! a round trip; of all others it first hears what the commit says.

use super::{Frontier, Item, Progress};
use sapwood_objstore::{Commit, Id, ObjectId, ObjectKind, ObjectName, Totals};
use sapwood_repo::ClosureDirs;
use std::collections::{HashMap, HashSet, VecDeque};

/// Metadata beyond this for each thing in a tree is more than any tree has: a name has at most 255 bytes.
const BYTES_EACH: u64 = 1024;
/// What there may be beside it, for a few large attributes.
const BYTES_BESIDE: u64 = 1 << 20;

/// Closures that are asked for before their commits are here.
const EARLY: usize = 2;
/// Directories in what is kept of those until then, and hints that are under way: at most so many of either.
const MAX_DIRS: usize = 1 << 20;

/// The part of the frontier that is about hints.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Commits whose closures are of use, while neither they are here nor their closures asked for.
    ahead: HashSet<Id<Commit>>,
    /// Those of them that are here now.
    ready: VecDeque<Id<Commit>>,
    /// How many were asked for without waiting for their commits.
    early: usize,
    /// What came before the commit that it is about.
    waiting: HashMap<ObjectId, ClosureDirs>,
    /// What commits that are here, and are to be walked, say they hold.
    totals: HashMap<ObjectId, Totals>,
    /// All that was hinted at.
    hinted: HashSet<ObjectName>,
    /// Those of them that are queued or handed out, and not answered.
    open: HashSet<ObjectName>,
    look: VecDeque<Item>,
    fetch: VecDeque<Item>,
}

impl Hints {
    /// Directories in closures that wait for their commits.
    fn dirs_waiting(&self) -> usize {
        self.waiting.values().map(ClosureDirs::len).sum()
    }
}

impl Frontier {
    /// The closures of these commits, which are wanted, are of use.
    pub(crate) fn expect_closures(&mut self, commits: impl IntoIterator<Item = Id<Commit>>) {
        if self.part.is_none() {
            self.hints.ahead.extend(commits);
        }
    }

    /// The next commit whose closure is to be asked for.
    pub(crate) fn next_closure(&mut self) -> Option<Id<Commit>> {
        if let Some(commit) = self.hints.ready.pop_front() {
            return Some(commit);
        }
        if self.hints.early == EARLY {
            return None;
        }
        let commit = *self.hints.ahead.iter().next()?;
        self.hints.ahead.remove(&commit);
        self.hints.early += 1;
        Some(commit)
    }

    /// Whether there is a closure to be asked for.
    pub(crate) fn has_closure(&self) -> bool {
        !self.hints.ready.is_empty() || (self.hints.early < EARLY && !self.hints.ahead.is_empty())
    }

    /// Takes what a closure says of a commit that is wanted, before or after that has arrived; once for each.
    pub(crate) fn hint(&mut self, commit: Id<Commit>, dirs: ClosureDirs) {
        if self.part.is_some() {
            return;
        }
        match self.hints.totals.get(&commit.raw()) {
            Some(totals) => self.add_hints(commit, &dirs, *totals),
            None if self.hints.dirs_waiting().saturating_add(dirs.len()) > MAX_DIRS => {
                tracing::warn!(%commit, "its closure came before it, and is too large to be kept until then");
            }
            None => drop(self.hints.waiting.insert(commit.raw(), dirs)),
        }
    }

    /// A commit is here, and will be walked.
    pub(super) fn commit_came(&mut self, commit: Id<Commit>, totals: Option<Totals>) {
        let is_expected = self.hints.ahead.remove(&commit);
        let Some(totals) = totals.filter(|_| self.part.is_none()) else { return };
        self.hints.totals.insert(commit.raw(), totals);
        if is_expected {
            self.hints.ready.push_back(commit);
        }
        if let Some(dirs) = self.hints.waiting.remove(&commit.raw()) {
            self.add_hints(commit, &dirs, totals);
        }
    }

    fn add_hints(&mut self, commit: Id<Commit>, dirs: &ClosureDirs, totals: Totals) {
        if let Err(why) = self.check_hints(dirs, totals) {
            tracing::warn!(%commit, why, "its closure is of no use");
            return;
        }
        let trees = dirs.trees.iter().map(|(id, bytes)| (id.name(), *bytes));
        let metas = dirs.metas.iter().map(|(id, bytes)| (id.name(), *bytes));
        for (name, bytes) in metas.chain(trees) {
            if !self.seen.contains(&name) && self.hints.hinted.insert(name) {
                self.hints.open.insert(name);
                self.hints.look.push_back(Item { hint_bytes: Some(bytes), ..Item::of(name) });
            }
        }
    }

    fn check_hints(&self, dirs: &ClosureDirs, totals: Totals) -> Result<(), &'static str> {
        if dirs.trees.len() as u64 > totals.dirs || dirs.metas.len() as u64 > totals.dirs {
            return Err("it has more directories than the commit");
        }
        if (dirs.len() + self.seen.len() + self.hints.hinted.len()) as u64 > self.max_objects {
            return Err("it has more objects than the limit");
        }
        if dirs.len() + self.hints.open.len() > MAX_DIRS {
            return Err("with what is under way it has too many directories");
        }
        let sizes =
            dirs.trees.iter().map(|(_, bytes)| bytes).chain(dirs.metas.iter().map(|(_, bytes)| bytes));
        let bytes = sizes.fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let things = totals.files.saturating_add(totals.dirs);
        if bytes > things.saturating_mul(BYTES_EACH).saturating_add(BYTES_BESIDE) {
            return Err("it has more bytes than such a tree can have");
        }
        Ok(())
    }

    pub(super) fn next_hint_look(&mut self) -> Option<Item> {
        self.hints.look.pop_front()
    }

    pub(super) fn next_hint_fetch(&mut self) -> Option<Item> {
        self.hints.fetch.pop_front()
    }

    /// Whether an object is on its way already, so that the walk waits for that.
    pub(super) fn is_hint_open(&self, name: &ObjectName) -> bool {
        self.hints.open.contains(name)
    }

    /// A hint that was looked up is not here.
    pub(super) fn hint_absent(&mut self, item: Item) {
        self.progress.meta_known += 1;
        self.hints.fetch.push_back(item);
    }

    /// A hint is answered, whatever the answer: if the walk waits for it, it looks now.
    pub(super) fn hint_answered(&mut self, item: Item) {
        self.hints.open.remove(&item.name);
        self.release(item.name);
    }

    /// Hints that nobody waits for any more are not counted as missing.
    pub(super) fn without_idle_hints(&self, progress: &mut Progress) {
        if self.open == 0 {
            progress.meta_known = progress.meta_done;
        }
    }
}

impl Item {
    /// Whether it is fetched because of a hint: then nothing fails with it.
    pub(crate) fn is_hint(&self) -> bool {
        self.hint_bytes.is_some()
    }

    /// How large it may be, as far as is said.
    pub(crate) fn max_bytes(&self) -> u64 {
        debug_assert!(self.hint_bytes.is_none() || self.name.kind != ObjectKind::Commit);
        self.hint_bytes.unwrap_or(u64::MAX)
    }
}
