//! Which objects a pull still needs: a state machine without I/O.
//!
//! The driver asks for objects to look up ([`Frontier::next_look`]) and to fetch ([`Frontier::next_fetch`]), and tells
//! what came of it; each answer can bring further objects. Every object is handed out once for looking (a
//! dirtree of which several parts are wanted once for each, one after the other) and at most once for fetching, whatever
//! the order of the answers; one that was [hinted](hints) at once more for looking, and for fetching if the hint came to
//! nothing; one for which there was [no room](room) once more for fetching. When [`Frontier::is_done`], all that the wanted
//! commits reach is here. An object costs about 40 bytes of memory, however large it is; names of files are not kept.

mod hints;
mod room;

use super::subpath::Part;
use super::{Progress, Scope};
use hints::Hints;
use room::Turns;
use sapwood_objstore::{Commit, DirMeta, DirTree, Id, ObjectId, ObjectKind, ObjectName, Totals, kind};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

/// An object on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    /// The object.
    pub(crate) name: ObjectName,
    /// For a dirtree: how many directories below the root it was found.
    depth: u32,
    /// For a dirtree of which only a part is wanted: which. Elsewhere all that is below it is.
    pub(crate) part: Option<Part>,
    /// For a file: the size of its content, where the dirtree says so.
    size: Option<u64>,
    /// If it is a hint: its size as fetched.
    hint_bytes: Option<u64>,
}

impl Item {
    /// All of an object, as the walk comes to it.
    fn of(name: ObjectName) -> Self {
        Self { name, depth: 0, part: None, size: None, hint_bytes: None }
    }

    /// For a file: the size of its content, where the dirtree says so.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }
}

/// What an object that is here now refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing: a file, or a directory's metadata.
    Leaf,
    /// A directory's names.
    Tree {
        /// Files, with the size of their content where it is known.
        files: Vec<(Id<kind::File>, Option<u64>)>,
        /// Directories, and which part of each is wanted, unless all is.
        dirs: Vec<(Id<DirTree>, Id<DirMeta>, Option<Part>)>,
    },
    /// A commit.
    Commit {
        /// Its parent.
        parent: Option<Id<Commit>>,
        /// Its root, unless all of it is known to be here.
        root: Option<(Id<DirTree>, Id<DirMeta>)>,
        /// What it says it holds.
        totals: Option<Totals>,
    },
}

/// What the remote asks too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// More objects than the limit.
    Objects,
    /// This directory is deeper than the limit.
    Depth(ObjectName),
}

/// How many parents are wanted still: `None` is all.
type ParentsLeft = Option<u32>;

#[derive(Debug)]
struct CommitState {
    left: ParentsLeft,
    /// Asked for by the caller, rather than found as a parent.
    required: bool,
    /// Once the commit is here: its parent, if it has one.
    parent: Option<Id<Commit>>,
    /// Its tree, or what is wanted of it, was or is being walked.
    entered: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Frontier {
    scope: Scope,
    max_objects: u64,
    max_depth: u32,
    /// Of the root of each commit; `None` is all.
    part: Option<Part>,
    seen: HashSet<ObjectName>,
    /// Dirtrees seen of which a part is wanted.
    seen_parts: HashSet<(ObjectName, Part)>,
    /// What is on its way for a part of it, or for a hint, and other wishes for the same, which wait for that.
    on_their_way: HashMap<ObjectName, Vec<Item>>,
    commits: HashMap<ObjectId, CommitState>,
    look: VecDeque<Item>,
    fetch_meta: VecDeque<Item>,
    fetch_files: VecDeque<Item>,
    hints: Hints,
    turns: Turns,
    /// Of what is no hint: handed out and not answered.
    outstanding: u64,
    /// Of what is no hint: all that is queued, waiting or handed out.
    open: u64,
    /// What of that is not a file.
    open_meta: u64,
    progress: Progress,
    /// Content of the files that are to be fetched and are not on their way, as far as it is known.
    queued_bytes: u64,
    /// Whether every file so far came with its size.
    sizes_known: bool,
}

impl Frontier {
    /// Nothing is wanted yet.
    pub(crate) fn new(scope: Scope, part: Option<Part>, max_objects: u64, max_depth: u32) -> Self {
        Self {
            scope,
            max_objects,
            max_depth,
            part,
            seen: HashSet::new(),
            seen_parts: HashSet::new(),
            on_their_way: HashMap::new(),
            commits: HashMap::new(),
            look: VecDeque::new(),
            fetch_meta: VecDeque::new(),
            fetch_files: VecDeque::new(),
            hints: Hints::default(),
            turns: Turns::default(),
            outstanding: 0,
            open: 0,
            open_meta: 0,
            progress: Progress::default(),
            queued_bytes: 0,
            sizes_known: true,
        }
    }

    /// Wants a commit, as many of its parents as `left` says and the remote has, and what they reach. To be called
    /// before anything is answered.
    pub(crate) fn want(&mut self, commit: Id<Commit>, left: Option<u32>) -> Result<(), Excess> {
        self.add_commit(commit, left, true)
    }

    /// The next object to look up.
    pub(crate) fn next_look(&mut self) -> Option<Item> {
        // What is found elsewhere on this machine takes room at once.
        if self.has_turn() {
            return None;
        }
        let Some(item) = self.look.pop_front() else { return self.next_hint_look() };
        self.outstanding += 1;
        Some(item)
    }

    /// The next object to fetch, metadata first, so that totals are known early.
    pub(crate) fn next_fetch(&mut self) -> Option<Item> {
        // The newest metadata first: that is depth first, and keeps the queue short.
        if let Some(item) = self.next_meta() {
            return Some(item);
        }
        if self.is_held_up() {
            return None;
        }
        let item = self.fetch_files.pop_front()?;
        Some(self.begin(item))
    }

    /// As [`next_fetch`](Self::next_fetch), but no file, unless that was refused.
    pub(crate) fn next_meta(&mut self) -> Option<Item> {
        if let Some(item) = self.next_refused() {
            return Some(self.begin(item));
        }
        if self.is_held_up() {
            return None;
        }
        let Some(item) = self.fetch_meta.pop_back() else { return self.next_hint_fetch() };
        Some(self.begin(item))
    }

    /// Whether nothing but files is to be fetched any more.
    pub(crate) fn is_surveyed(&self) -> bool {
        self.outstanding == 0 && self.open_meta == 0 && self.look.is_empty()
    }

    /// The files that are to be fetched, with the size of their content where it is known.
    pub(crate) fn files_left(&self) -> impl Iterator<Item = (ObjectName, Option<u64>)> {
        self.fetch_files.iter().map(|item| (item.name, item.size))
    }

    /// How many bytes of content are to be fetched and are not on their way, as far as is known.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// An object that was looked up is here.
    pub(crate) fn here(&mut self, item: Item, contents: Contents) -> Result<(), Excess> {
        if item.is_hint() {
            self.hint_answered(item);
            return Ok(());
        }
        self.answered(item);
        self.add_contents(item, contents)
    }

    /// An object that was looked up is not here: it is to be fetched.
    pub(crate) fn absent(&mut self, item: Item) {
        if item.is_hint() {
            return self.hint_absent(item);
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        self.known(item);
        if item.name.kind == ObjectKind::File {
            self.queued_bytes = self.queued_bytes.saturating_add(item.size.unwrap_or(0));
            self.fetch_files.push_back(item);
        } else {
            self.fetch_meta.push_back(item);
        }
    }

    /// An object that was to be fetched is stored.
    pub(crate) fn arrived(&mut self, item: Item, contents: Contents) -> Result<(), Excess> {
        self.done(item);
        if item.is_hint() {
            self.hint_answered(item);
            return Ok(());
        }
        self.answered(item);
        self.add_contents(item, contents)
    }

    /// An object that was looked up was not here, and has been stored at once.
    pub(crate) fn taken(&mut self, item: Item, contents: Contents) -> Result<(), Excess> {
        self.known(item);
        if item.name.kind == ObjectKind::File {
            self.progress.files_local += 1;
        } else {
            self.progress.meta_local += 1;
        }
        self.arrived(item, contents)
    }

    /// The remote does not have an object that was to be fetched. `false` if it must have it.
    pub(crate) fn missing(&mut self, item: Item) -> bool {
        if item.is_hint() {
            self.progress.meta_known = self.progress.meta_known.saturating_sub(1);
            self.hint_answered(item);
            return true;
        }
        self.answered(item);
        let tolerated = item.name.kind == ObjectKind::Commit
            && self.commits.get(&item.name.id).is_some_and(|state| !state.required);
        if tolerated {
            self.progress.meta_known = self.progress.meta_known.saturating_sub(1);
            self.commits.remove(&item.name.id);
        }
        tolerated
    }

    /// As [`missing`](Self::missing), for an object that was looked up in both places at once.
    pub(crate) fn nowhere(&mut self, item: Item) -> bool {
        self.known(item);
        self.missing(item)
    }

    /// Whether everything wanted is here.
    pub(crate) fn is_done(&self) -> bool {
        self.open == 0
    }

    /// The commits whose trees were walked, or what is wanted of them.
    pub(crate) fn entered(&self) -> impl Iterator<Item = Id<Commit>> {
        self.commits.iter().filter(|(_, state)| state.entered).map(|(id, _)| Id::new(*id))
    }

    /// Those of them that are complete once [`is_done`](Self::is_done).
    pub(crate) fn walked(&self) -> impl Iterator<Item = Id<Commit>> {
        self.entered().filter(|_| self.part.is_none())
    }

    /// How far it is; the driver adds what only it knows.
    pub(crate) fn progress(&self) -> Progress {
        let mut progress = self.progress;
        progress.totals_final = self.open_meta == 0;
        if !self.sizes_known {
            progress.content_bytes_known = None;
            progress.content_bytes_done = None;
        }
        self.without_idle_hints(&mut progress);
        progress
    }

    fn answered(&mut self, item: Item) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        if item.name.kind != ObjectKind::File {
            self.open_meta = self.open_meta.saturating_sub(1);
        }
        self.release(item.name);
    }

    /// What waited for an object goes on.
    fn release(&mut self, name: ObjectName) {
        for waiting in self.on_their_way.remove(&name).unwrap_or_default() {
            self.queue(waiting);
        }
    }

    fn known(&mut self, item: Item) {
        let progress = &mut self.progress;
        if item.name.kind == ObjectKind::File {
            progress.files_known += 1;
            match item.size {
                Some(size) => add(&mut progress.content_bytes_known, size),
                None => self.sizes_known = false,
            }
        } else {
            progress.meta_known += 1;
        }
    }

    fn done(&mut self, item: Item) {
        let progress = &mut self.progress;
        if item.name.kind == ObjectKind::File {
            progress.files_done += 1;
            add(&mut progress.content_bytes_done, item.size.unwrap_or(0));
        } else {
            progress.meta_done += 1;
        }
    }

    fn add_contents(&mut self, item: Item, contents: Contents) -> Result<(), Excess> {
        match contents {
            Contents::Leaf => Ok(()),
            Contents::Tree { files, dirs } => {
                for (id, size) in files {
                    self.add(Item { size, ..Item::of(id.name()) })?;
                }
                for (tree, meta, part) in dirs {
                    self.add_root(tree, meta, part, item.depth + 1)?;
                }
                Ok(())
            }
            Contents::Commit { parent, root, totals } => {
                let root = root.filter(|_| self.scope == Scope::Everything);
                let mut next = None;
                if let Some(state) = self.commits.get_mut(&item.name.id) {
                    state.parent = parent;
                    state.entered = root.is_some();
                    next = one_less(state.left).and_then(|left| parent.map(|parent| (parent, left)));
                }
                if let Some((tree, meta)) = root {
                    self.commit_came(Id::new(item.name.id), totals);
                    self.add_root(tree, meta, self.part, 0)?;
                }
                next.map_or(Ok(()), |(parent, left)| self.add_commit(parent, left, false))
            }
        }
    }

    fn add_root(
        &mut self,
        tree: Id<DirTree>,
        meta: Id<DirMeta>,
        part: Option<Part>,
        depth: u32,
    ) -> Result<(), Excess> {
        if depth > self.max_depth {
            return Err(Excess::Depth(tree.name()));
        }
        self.add(Item::of(meta.name()))?;
        self.add(Item { depth, part, ..Item::of(tree.name()) })
    }

    fn add_commit(&mut self, commit: Id<Commit>, left: ParentsLeft, required: bool) -> Result<(), Excess> {
        let mut commit = commit;
        let mut left = left;
        // Down a history that is known already, but not to this depth.
        loop {
            let Some(state) = self.commits.get_mut(&commit.raw()) else {
                let state = CommitState { left, required, parent: None, entered: false };
                self.commits.insert(commit.raw(), state);
                return self.add(Item::of(commit.name()));
            };
            state.required |= required;
            if !is_more(left, state.left) {
                return Ok(());
            }
            state.left = left;
            match (state.parent, one_less(left)) {
                (Some(parent), Some(less)) => (commit, left) = (parent, less),
                _ => return Ok(()),
            }
        }
    }

    fn add(&mut self, item: Item) -> Result<(), Excess> {
        let new = match item.part {
            Some(part) => !self.seen.contains(&item.name) && self.seen_parts.insert((item.name, part)),
            None => self.seen.insert(item.name),
        };
        if !new {
            return Ok(());
        }
        if (self.seen.len() + self.seen_parts.len()) as u64 > self.max_objects {
            return Err(Excess::Objects);
        }
        self.open += 1;
        if item.name.kind != ObjectKind::File {
            self.open_meta += 1;
        }
        self.queue(item);
        Ok(())
    }

    /// Queues an object to be looked up; one that is on its way for a hint, or for another share of it, waits for that.
    fn queue(&mut self, item: Item) {
        if self.is_hint_open(&item.name) {
            return self.on_their_way.entry(item.name).or_default().push(item);
        }
        if self.part.is_some() && item.name.kind == ObjectKind::DirTree {
            match self.on_their_way.entry(item.name) {
                Entry::Occupied(mut waiting) => return waiting.get_mut().push(item),
                Entry::Vacant(free) => drop(free.insert(Vec::new())),
            }
        }
        if item.name.kind == ObjectKind::File {
            self.look.push_back(item);
        } else {
            self.look.push_front(item);
        }
    }
}

fn add(total: &mut Option<u64>, more: u64) {
    *total = Some(total.unwrap_or(0).saturating_add(more));
}

/// What is left for the parent; `None` if it is not wanted.
fn one_less(left: ParentsLeft) -> Option<ParentsLeft> {
    match left {
        None => Some(None),
        Some(0) => None,
        Some(left) => Some(Some(left - 1)),
    }
}

fn is_more(a: ParentsLeft, b: ParentsLeft) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}

#[cfg(test)]
mod tests;
