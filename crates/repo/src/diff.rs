//! Differences between two trees. Sub-trees with equal ids are not entered.

use crate::tree::MAX_DEPTH;
use crate::{Error, Repo, Result, Root};
use sapwood_objstore::{DirEntry, DirTree, FileEntry, Id};
use std::collections::BTreeSet;

/// How trees are compared.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /** Only in the second. */
    Added,
    /** Only in the first. */
    Removed,
    /** In both, not the same. */
    Modified,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /** What happened. */
    pub kind: ChangeKind,
    /** The path, beginning with `/`. */
    pub path: String,
    /** Whether it is (or was) a directory. */
    pub is_dir: bool,
    /** Content size before, for files. */
    pub old_bytes: Option<u64>,
    /** Content size after, for files. */
    pub new_bytes: Option<u64>,
}

/// The paths that differ, in order of their names, a directory before what is in it.
///
/// As OSTree lists them: a directory that is new is listed with all that is below it, one that is gone by itself. One
/// that is in both is listed if its owner, mode or attributes changed; what is in it is listed for itself. A path that
/// was a file and is a directory, or the other way, is modified, and not entered; `is_dir` says what it is now. The list
/// is held in memory.
///
/// # Errors
/// [`Error::TooDeep`], [`Error::Store`].
pub fn diff_trees(repo: &Repo, from: Root, to: Root, options: &DiffOptions) -> Result<Vec<Change>> {
    let DiffOptions {} = options;
    let mut differ = Differ { repo, changes: Vec::new() };
    if from.meta != to.meta {
        differ.changes.push(dir_change(ChangeKind::Modified, "/".to_owned()));
    }
    let mut todo = vec![Task::Compare(from.tree, to.tree, String::new(), 0)];
    while let Some(task) = todo.pop() {
        let begin = todo.len();
        match task {
            Task::Emit(change) => differ.changes.push(change),
            Task::Compare(a, b, path, depth) => differ.compare(a, b, &path, depth, &mut todo)?,
            Task::Added(tree, path, depth) => differ.added(tree, &path, depth, &mut todo)?,
        }
        // What was added last would be done first.
        if let Some(added) = todo.get_mut(begin..) {
            added.reverse();
        }
    }
    Ok(differ.changes)
}

/// What is still to be done; a stack instead of recursion.
enum Task {
    Emit(Change),
    Compare(Id<DirTree>, Id<DirTree>, String, usize),
    Added(Id<DirTree>, String, usize),
}

struct Differ<'repo> {
    repo: &'repo Repo,
    changes: Vec<Change>,
}

fn dir_change(kind: ChangeKind, path: String) -> Change {
    Change { kind, path, is_dir: true, old_bytes: None, new_bytes: None }
}

impl Differ<'_> {
    fn load(&self, tree: Id<DirTree>, depth: usize) -> Result<DirTree> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        Ok(self.repo.store().load(tree)?)
    }

    fn size(&self, file: &FileEntry) -> Result<u64> {
        match file.size {
            Some(size) => Ok(size),
            None => Ok(self.repo.store().content_size(file.id)?),
        }
    }

    fn change(&self, kind: ChangeKind, path: String, old: &Found<'_>, new: &Found<'_>) -> Result<Change> {
        let size = |found: &Found<'_>| found.file.map(|file| self.size(file)).transpose();
        let is_dir = if kind == ChangeKind::Removed { old.dir.is_some() } else { new.dir.is_some() };
        Ok(Change { kind, path, is_dir, old_bytes: size(old)?, new_bytes: size(new)? })
    }

    fn compare(
        &self,
        a: Id<DirTree>,
        b: Id<DirTree>,
        path: &str,
        depth: usize,
        todo: &mut Vec<Task>,
    ) -> Result<()> {
        if a == b {
            return Ok(());
        }
        let (a, b) = (self.load(a, depth)?, self.load(b, depth)?);
        let names: BTreeSet<&str> = [&a, &b]
            .into_iter()
            .flat_map(|tree| {
                let files = tree.files().iter().map(|file| file.name.as_str());
                files.chain(tree.dirs().iter().map(|dir| dir.name.as_str()))
            })
            .collect();
        for name in names {
            let path = format!("{path}/{name}");
            let (old, new) = (Found::at(&a, name), Found::at(&b, name));
            let (kind, entered) = match (old.dir, new.dir) {
                (Some(old), Some(new)) => {
                    let entered = Task::Compare(old.tree, new.tree, path.clone(), depth + 1);
                    ((old.meta != new.meta).then_some(ChangeKind::Modified), Some(entered))
                }
                (None, Some(new)) if old.file.is_none() => {
                    (Some(ChangeKind::Added), Some(Task::Added(new.tree, path.clone(), depth + 1)))
                }
                (Some(_), None) if new.file.is_none() => (Some(ChangeKind::Removed), None),
                (Some(_), None) | (None, Some(_)) => (Some(ChangeKind::Modified), None),
                (None, None) => match (old.file, new.file) {
                    (Some(old), Some(new)) => ((old.id != new.id).then_some(ChangeKind::Modified), None),
                    (Some(_), None) => (Some(ChangeKind::Removed), None),
                    (None, _) => (Some(ChangeKind::Added), None),
                },
            };
            if let Some(kind) = kind {
                todo.push(Task::Emit(self.change(kind, path, &old, &new)?));
            }
            todo.extend(entered);
        }
        Ok(())
    }

    /// Everything below a directory that is new.
    fn added(&self, tree: Id<DirTree>, path: &str, depth: usize, todo: &mut Vec<Task>) -> Result<()> {
        let tree = self.load(tree, depth)?;
        let mut names: Vec<&str> = tree.files().iter().map(|file| file.name.as_str()).collect();
        names.extend(tree.dirs().iter().map(|dir| dir.name.as_str()));
        names.sort_unstable();
        for name in names {
            let path = format!("{path}/{name}");
            let new = Found::at(&tree, name);
            let change = self.change(ChangeKind::Added, path.clone(), &Found::NOTHING, &new)?;
            todo.push(Task::Emit(change));
            todo.extend(new.dir.map(|dir| Task::Added(dir.tree, path, depth + 1)));
        }
        Ok(())
    }
}

/// What has a name in one of the trees.
struct Found<'t> {
    file: Option<&'t FileEntry>,
    dir: Option<&'t DirEntry>,
}

impl<'t> Found<'t> {
    const NOTHING: Self = Self { file: None, dir: None };

    fn at(tree: &'t DirTree, name: &str) -> Self {
        Self { file: tree.file(name), dir: tree.dir(name) }
    }
}
