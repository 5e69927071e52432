//! Converting one tree, by its difference to one that is converted already.
//!
//! What a directory has in common with the same directory of the reference is taken from there unread, so a commit costs
//! what it changed. First the files that are new are converted, by several threads, a batch at a time; then directories
//! are put together from below.

use super::memo::Memo;
use super::{ConvertEvent, Counts};
use crate::tree::MAX_DEPTH;
use crate::{Error, Result, Root, pool};
use rayon::prelude::*;
use sapwood_objstore::{
    self as objstore, DirEntry, DirMeta, DirTree, FileEntry, Id, Store, Totals, Xattrs, kind,
};
use std::collections::HashMap;

/// Files that are converted before the next are looked for.
const BATCH: usize = 1024;
/// Files remembered, of 72 bytes each, doubled at most: a tree with more than that many new files reads some twice.
const FILES: usize = 1 << 20;
/// Directories remembered.
const TREES: usize = 1 << 16;
/// Directory attributes remembered; a tree has few different ones.
const MAX_METAS: usize = 4096;

/// A tree and what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) old: Root,
    pub(super) new: Root,
}

/// What was converted until now, whatever the commit.
#[derive(Debug)]
pub(super) struct Known {
    files: Memo<Id<kind::File>, (Id<kind::File>, u64)>,
    trees: Memo<Id<DirTree>, (Id<DirTree>, Delta)>,
    metas: HashMap<Id<DirMeta>, Id<DirMeta>>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { files: Memo::new(FILES), trees: Memo::new(TREES), metas: HashMap::new() }
    }
}

/// What a tree holds more, or less, than the reference, or than nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delta {
    files: i64,
    dirs: i64,
    bytes: i64,
}

impl Delta {
    fn add(&mut self, other: Self, sign: i64) {
        self.files += sign * other.files;
        self.dirs += sign * other.dirs;
        self.bytes += sign * other.bytes;
    }

    fn file(entry: &FileEntry) -> Self {
        Self { files: 1, dirs: 0, bytes: entry.size.map_or(0, u64::cast_signed) }
    }

    /// The totals of a tree that differs so from one with `reference`.
    pub(super) fn onto(self, reference: Totals) -> Totals {
        Totals {
            files: reference.files.saturating_add_signed(self.files),
            dirs: reference.dirs.saturating_add_signed(self.dirs),
            bytes: reference.bytes.saturating_add_signed(self.bytes),
        }
    }
}

/// The conversion of one tree.
pub(super) struct Trees<'a> {
    pub(super) from: &'a Store,
    pub(super) to: &'a objstore::Transaction<'a>,
    pub(super) known: &'a mut Known,
    pub(super) threads: usize,
    pub(super) counts: &'a Counts,
    pub(super) on_event: &'a (dyn Fn(ConvertEvent) + Sync),
}

/// A directory of the reference, on both sides.
struct Sides {
    old: DirTree,
    new: DirTree,
}

/// A directory on its way, and the directory of the reference at the same place.
type Task = (String, Id<DirTree>, Option<(Id<DirTree>, Id<DirTree>)>);

impl Trees<'_> {
    /// Converts a tree; says what it holds more than the reference.
    pub(super) fn convert(&mut self, root: Root, reference: Option<Pair>) -> Result<(Root, Delta)> {
        if let Some(same) = reference.filter(|pair| pair.old == root) {
            return Ok((same.new, Delta::default()));
        }
        let sides = reference.map(|pair| (pair.old.tree, pair.new.tree));
        self.new_files(root.tree, sides)?;
        let (tree, delta) = self.dir((String::new(), root.tree, sides), 1)?;
        Ok((Root { tree, meta: self.meta(root.meta)? }, delta))
    }

    /// Converts all files that neither the reference nor this run has.
    fn new_files(&mut self, root: Id<DirTree>, sides: Option<(Id<DirTree>, Id<DirTree>)>) -> Result<()> {
        let mut batch = HashMap::new();
        let mut tasks: Vec<Task> = vec![(String::new(), root, sides)];
        while let Some((path, id, sides)) = tasks.pop() {
            if sides.is_none() && self.known.trees.get(id).is_some() {
                continue;
            }
            let tree = self.from.load(id)?;
            let sides = self.sides(sides)?;
            for file in tree.files() {
                if same_file(sides.as_ref(), file).is_none() && self.known.files.get(file.id).is_none() {
                    batch.entry(file.id).or_insert_with(|| format!("{path}/{}", file.name));
                }
                if batch.len() >= BATCH {
                    self.flush(&mut batch)?;
                }
            }
            let dirs = tree.dirs().iter().filter(|dir| same_dir(sides.as_ref(), dir).is_none());
            tasks.extend(dirs.map(|dir| below(&path, dir, sides.as_ref())));
        }
        self.flush(&mut batch)
    }

    fn flush(&mut self, batch: &mut HashMap<Id<kind::File>, String>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let files: Vec<_> = batch.drain().collect();
        let this = &*self;
        let done: Vec<_> = pool::run(self.threads, |_| {
            files.par_iter().map(|(id, path)| Ok((*id, this.file(*id, path)?))).collect::<Result<_>>()
        })??;
        for (id, converted) in done {
            self.known.files.insert(id, converted);
        }
        (self.on_event)(self.counts.event());
        Ok(())
    }

    /// Converts a file: read, verified, hashed and stored in one pass.
    fn file(&self, id: Id<kind::File>, path: &str) -> Result<(Id<kind::File>, u64)> {
        let mut object = self.from.open_file(id)?;
        object.header.xattrs = self.kept(&object.header.xattrs);
        let put = self.to.put_file(&object.header, object.size, &mut object.content);
        let new = put.map_err(|error| match error {
            objstore::Error::Unsupported { mode, what } => Error::Unrecordable {
                path: path.to_owned(),
                reason: format!("a {mode} repository of this format cannot hold {what}"),
            },
            error => error.into(),
        })?;
        self.counts.add(object.size);
        Ok((new, object.size))
    }

    /// The attributes that the new format keeps.
    fn kept(&self, xattrs: &Xattrs) -> Xattrs {
        let mut kept = xattrs.clone();
        if !self.to.store().format().records_empty_xattrs() {
            for (name, _) in xattrs.iter().filter(|(_, value)| value.is_empty()) {
                kept.remove(name);
            }
        }
        kept
    }

    fn meta(&mut self, id: Id<DirMeta>) -> Result<Id<DirMeta>> {
        if let Some(new) = self.known.metas.get(&id) {
            return Ok(*new);
        }
        let mut meta: DirMeta = self.from.load(id)?;
        meta.xattrs = self.kept(&meta.xattrs);
        let new = self.to.put(&meta)?;
        if self.known.metas.len() < MAX_METAS {
            self.known.metas.insert(id, new);
        }
        Ok(new)
    }

    fn sides(&self, ids: Option<(Id<DirTree>, Id<DirTree>)>) -> Result<Option<Sides>> {
        let load = |(old, new)| Ok(Sides { old: self.from.load(old)?, new: self.to.load(new)? });
        ids.map(load).transpose()
    }

    /// Puts a directory together from what is in it.
    fn dir(&mut self, (path, id, sides): Task, depth: usize) -> Result<(Id<DirTree>, Delta)> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        if sides.is_none()
            && let Some(known) = self.known.trees.get(id)
        {
            return Ok(known);
        }
        let is_new = sides.is_none();
        let tree: DirTree = self.from.load(id)?;
        let sides = self.sides(sides)?;
        let mut delta = Delta { dirs: i64::from(is_new), ..Delta::default() };
        let mut files = Vec::with_capacity(tree.files().len());
        for file in tree.files() {
            if let Some(same) = same_file(sides.as_ref(), file) {
                files.push(same.clone());
                continue;
            }
            let (new, size) = match self.known.files.get(file.id) {
                Some(known) => known,
                None => self.file(file.id, &format!("{path}/{}", file.name))?,
            };
            let size = self.to.store().format().records_sizes().then_some(size);
            let entry = FileEntry { name: file.name.clone(), id: new, size };
            delta.add(Delta::file(&entry), 1);
            files.push(entry);
        }
        let mut dirs = Vec::with_capacity(tree.dirs().len());
        for dir in tree.dirs() {
            let meta = self.meta(dir.meta)?;
            let new = if let Some(same) = same_dir(sides.as_ref(), dir) {
                same.tree
            } else {
                let (new, more) = self.dir(below(&path, dir, sides.as_ref()), depth + 1)?;
                delta.add(more, 1);
                new
            };
            dirs.push(DirEntry { name: dir.name.clone(), tree: new, meta });
        }
        if let Some(sides) = &sides {
            self.take_away(&mut delta, &tree, sides, depth)?;
        }
        let new = self.to.put(&DirTree::new(files, dirs).map_err(|name| Error::Unrecordable {
            path: format!("{path}/{name}"),
            reason: "the directory lists it twice".into(),
        })?)?;
        if is_new {
            self.known.trees.insert(id, (new, delta));
        }
        Ok((new, delta))
    }

    /// Counts what the reference has and the tree has not, or as something else.
    fn take_away(&self, delta: &mut Delta, tree: &DirTree, sides: &Sides, depth: usize) -> Result<()> {
        for (old, new) in sides.old.files().iter().zip(sides.new.files()) {
            if tree.file(old.name.as_str()).is_none_or(|file| file.id != old.id) {
                delta.add(Delta::file(new), -1);
            }
        }
        for dir in sides.new.dirs().iter().filter(|dir| tree.dir(dir.name.as_str()).is_none()) {
            delta.add(self.all_of(dir.tree, depth)?, -1);
        }
        Ok(())
    }

    /// What a converted directory holds.
    fn all_of(&self, id: Id<DirTree>, depth: usize) -> Result<Delta> {
        let mut all = Delta { dirs: 1, ..Delta::default() };
        // Only the native format has totals to keep right.
        if !self.to.store().format().records_sizes() {
            return Ok(all);
        }
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        let tree: DirTree = self.to.load(id)?;
        tree.files().iter().for_each(|file| all.add(Delta::file(file), 1));
        for dir in tree.dirs() {
            all.add(self.all_of(dir.tree, depth + 1)?, 1);
        }
        Ok(all)
    }
}

/// What became of a file, if the reference has the same under this name.
fn same_file<'s>(sides: Option<&'s Sides>, file: &FileEntry) -> Option<&'s FileEntry> {
    let sides = sides?;
    let same = sides.old.file(file.name.as_str()).is_some_and(|old| old.id == file.id);
    sides.new.file(file.name.as_str()).filter(|_| same)
}

/// What became of a directory, if the reference has the same under this name; attributes are not looked at.
fn same_dir<'s>(sides: Option<&'s Sides>, dir: &DirEntry) -> Option<&'s DirEntry> {
    let sides = sides?;
    let same = sides.old.dir(dir.name.as_str()).is_some_and(|old| old.tree == dir.tree);
    sides.new.dir(dir.name.as_str()).filter(|_| same)
}

fn below(path: &str, dir: &DirEntry, sides: Option<&Sides>) -> Task {
    let pair = sides.and_then(|sides| {
        Some((sides.old.dir(dir.name.as_str())?.tree, sides.new.dir(dir.name.as_str())?.tree))
    });
    (format!("{path}/{}", dir.name), dir.tree, pair)
}
