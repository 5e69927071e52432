//! Differences between two trees, committed or on disk. Committed sub-trees with equal ids are not entered.

mod download;
mod side;

use crate::commit::Looker;
use crate::{Modifiers, Repo, Result, pool};
pub use download::Download;
use rayon::prelude::*;
pub use side::DiffSide;
use side::{DirAt, FileAt, Found, Listing};

/// How trees are compared.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// What is changed of what is on disk before it is compared. In a `bare-user-only` repository, extended attributes
    /// never count. Default: nothing.
    pub disk: Modifiers,
    /// Threads that read what is on disk. Default: one for each core.
    pub threads: usize,
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { disk: Modifiers::default(), threads: pool::default_threads() }
    }
}

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

/// The paths that differ.
///
/// As OSTree lists them: a directory that is new is listed with all that is below it, one that is gone by itself. One
/// that is in both is listed if its owner, mode or attributes changed; what is in it is listed for itself. A path that
/// was a file and is a directory, or the other way, is modified, and not entered; `is_dir` says what it is now.
///
/// The order is OSTree's as well: of each directory what is in the first tree, then what is only in the second; files
/// before directories, both by name; what is in a directory right after it. The list is held in memory.
///
/// What is on disk is read while it is compared; that of it which changes meanwhile is found in one state or another.
///
/// # Errors
/// [`Error::TooDeep`](crate::Error::TooDeep), [`Error::Store`](crate::Error::Store); [`Error::Io`](crate::Error::Io)
/// and [`Error::Unrecordable`](crate::Error::Unrecordable) for what is on disk.
pub fn diff_trees<'a>(
    repo: &'a Repo,
    from: impl Into<DiffSide<'a>>,
    to: impl Into<DiffSide<'a>>,
    options: &DiffOptions,
) -> Result<Vec<Change>> {
    let mut disk = options.disk.clone();
    disk.no_xattrs |= repo.store().mode() == sapwood_objstore::Mode::BareUserOnly;
    let looker = Looker::new(repo.store().format(), &disk);
    let mut differ = Differ { repo, looker, threads: options.threads, open: Vec::new(), changes: Vec::new() };
    let (from, to) = (DirAt::top(from.into())?, DirAt::top(to.into())?);
    if from.meta(&differ.looker, "/")? != to.meta(&differ.looker, "/")? {
        differ.open.push(Candidate::Sure(dir_change(ChangeKind::Modified, "/".to_owned())));
    }
    let mut todo = vec![Task::Compare(from, to, String::new(), 0)];
    while let Some(task) = todo.pop() {
        let begin = todo.len();
        match task {
            Task::Emit(candidate) => differ.emit(candidate)?,
            Task::Compare(a, b, path, depth) => differ.compare(&a, &b, &path, depth, &mut todo)?,
            Task::Added(dir, path, depth) => differ.added(&dir, &path, depth, &mut todo)?,
        }
        // What was added last would be done first.
        if let Some(added) = todo.get_mut(begin..) {
            added.reverse();
        }
    }
    differ.decide()?;
    Ok(differ.changes)
}

/// What is still to be done; a stack instead of recursion.
enum Task {
    Emit(Candidate),
    Compare(DirAt, DirAt, String, usize),
    Added(DirAt, String, usize),
}

/// What may be a change.
enum Candidate {
    Sure(Change),
    /// Files of which one must be read first.
    Open(Change, FileAt, FileAt),
}

/// So many files are read by all threads together. Their directories are open until then, so it is fewer than a process
/// may have open.
const MAX_OPEN: usize = 160;

struct Differ<'repo> {
    repo: &'repo Repo,
    looker: Looker,
    threads: usize,
    /// What is not decided yet.
    open: Vec<Candidate>,
    changes: Vec<Change>,
}

fn dir_change(kind: ChangeKind, path: String) -> Change {
    Change { kind, path, is_dir: true, old_bytes: None, new_bytes: None }
}

impl Differ<'_> {
    fn emit(&mut self, candidate: Candidate) -> Result<()> {
        match candidate {
            Candidate::Sure(change) if self.open.is_empty() => self.changes.push(change),
            candidate => self.open.push(candidate),
        }
        if self.open.len() >= MAX_OPEN { self.decide() } else { Ok(()) }
    }

    /// Reads what must be read, and keeps what differs.
    fn decide(&mut self) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return Ok(());
        }
        let (repo, looker) = (self.repo, &self.looker);
        let decide = |candidate| -> Result<Option<Change>> {
            match candidate {
                Candidate::Sure(change) => Ok(Some(change)),
                Candidate::Open(mut change, a, b) => {
                    if a.is_same(&b, looker, &change.path)? {
                        return Ok(None);
                    }
                    (change.old_bytes, change.new_bytes) = (Some(a.size(repo)?), Some(b.size(repo)?));
                    Ok(Some(change))
                }
            }
        };
        let mut decided = Ok(Vec::new());
        pool::run(self.threads, |_| decided = open.into_par_iter().map(decide).collect())?;
        let decided: Vec<Option<Change>> = decided?;
        self.changes.extend(decided.into_iter().flatten());
        Ok(())
    }

    fn change(&self, kind: ChangeKind, path: String, old: &Found<'_>, new: &Found<'_>) -> Result<Candidate> {
        let size = |found: &Found<'_>| found.file.map(|file| file.size(self.repo)).transpose();
        let is_dir = if kind == ChangeKind::Removed { old.dir.is_some() } else { new.dir.is_some() };
        Ok(Candidate::Sure(Change { kind, path, is_dir, old_bytes: size(old)?, new_bytes: size(new)? }))
    }

    fn compare(&self, a: &DirAt, b: &DirAt, path: &str, depth: usize, todo: &mut Vec<Task>) -> Result<()> {
        if a.is_same_tree(b) {
            return Ok(());
        }
        let (a, b) = (Listing::of(self.repo, a, path, depth)?, Listing::of(self.repo, b, path, depth)?);
        for name in a.names() {
            let path = format!("{path}/{}", name.to_string_lossy());
            let (old, new) = (a.find(name), b.find(name));
            match (old.dir, old.file, new.dir, new.file) {
                (Some(old), _, Some(new), _) => {
                    if old.meta(&self.looker, &path)? != new.meta(&self.looker, &path)? {
                        let change = dir_change(ChangeKind::Modified, path.clone());
                        todo.push(Task::Emit(Candidate::Sure(change)));
                    }
                    todo.push(Task::Compare(old.clone(), new.clone(), path, depth + 1));
                }
                (_, Some(old_file), _, Some(new_file)) => {
                    if let (FileAt::Stored(old), FileAt::Stored(new)) = (old_file, new_file) {
                        if old.id == new.id {
                            continue;
                        }
                    } else {
                        let kind = ChangeKind::Modified;
                        let change = Change { kind, path, is_dir: false, old_bytes: None, new_bytes: None };
                        let open = Candidate::Open(change, old_file.clone(), new_file.clone());
                        todo.push(Task::Emit(open));
                        continue;
                    }
                    todo.push(Task::Emit(self.change(ChangeKind::Modified, path, &old, &new)?));
                }
                (_, _, None, None) => {
                    todo.push(Task::Emit(self.change(ChangeKind::Removed, path, &old, &new)?));
                }
                _ => todo.push(Task::Emit(self.change(ChangeKind::Modified, path, &old, &new)?)),
            }
        }
        for name in b.names().filter(|name| a.find(name).is_nothing()) {
            self.add(&b.find(name), format!("{path}/{}", name.to_string_lossy()), depth, todo)?;
        }
        Ok(())
    }

    fn add(&self, new: &Found<'_>, path: String, depth: usize, todo: &mut Vec<Task>) -> Result<()> {
        let change = self.change(ChangeKind::Added, path.clone(), &Found::NOTHING, new)?;
        todo.push(Task::Emit(change));
        todo.extend(new.dir.map(|dir| Task::Added(dir.clone(), path, depth + 1)));
        Ok(())
    }

    /// Everything below a directory that is new.
    fn added(&self, dir: &DirAt, path: &str, depth: usize, todo: &mut Vec<Task>) -> Result<()> {
        let listing = Listing::of(self.repo, dir, path, depth)?;
        for name in listing.names() {
            self.add(&listing.find(name), format!("{path}/{}", name.to_string_lossy()), depth, todo)?;
        }
        Ok(())
    }
}
