//! From three snapshots to what has to be done on a copy of the new defaults. No disk is touched, and no input makes it
//! fail.

use crate::conflict::beside;
use crate::resolve::{Resolved, View, Views, resolve, view};
use crate::{Conflict, ConflictKind, Entry, EntryKind, Policy, Resolution, Snapshot};
use sapwood_fsio as fsio;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The three trees.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The old defaults.
    pub base: &'a Snapshot,
    /// The local tree.
    pub ours: &'a Snapshot,
    /// The new defaults.
    pub theirs: &'a Snapshot,
}

/// From which tree something is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The local one.
    Local,
    /// The new defaults.
    NewDefaults,
}

/// One thing to do on the target. Actions are sorted in the order in which they have to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Remove what is there, with all below it. Nothing there is as good.
    Remove {
        /// Where.
        path: PathBuf,
    },
    /// Make it a directory, for now open to its owner alone; one that is there is kept, with its content.
    MakeDir {
        /// Where.
        path: PathBuf,
    },
    /// Make it a copy of a file or symlink, with its attributes.
    Copy {
        /// Where.
        path: PathBuf,
        /// From which tree.
        source: Source,
        /// The path in that tree.
        from: PathBuf,
        /// What it is, as it was scanned.
        entry: Entry,
    },
    /// Give a directory the attributes of another.
    SetAttributes {
        /// Where; empty for the top.
        path: PathBuf,
        /// From which tree.
        source: Source,
        /// The path in that tree.
        from: PathBuf,
    },
}

impl Action {
    /// Where in the target.
    pub fn path(&self) -> &Path {
        match self {
            Self::Remove { path }
            | Self::MakeDir { path }
            | Self::Copy { path, .. }
            | Self::SetAttributes { path, .. } => path,
        }
    }
}

/// A local special file that is left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where.
    pub path: PathBuf,
    /// What it is.
    pub kind: fsio::Kind,
}

/// What a merge does, and what it cannot satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a plan does nothing before it is applied"]
pub struct MergePlan {
    /// The policy it was made with.
    pub policy: Policy,
    /// What is to be done on a copy of the new defaults, in this order.
    pub actions: Vec<Action>,
    /// Each change that is not honoured, sorted by path.
    pub conflicts: Vec<Conflict>,
    /// Local special files that are left behind, sorted by path.
    pub skipped: Vec<Skipped>,
}

impl MergePlan {
    /// Whether the new defaults are the result as they are.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// How many files and symlinks are copied.
    pub fn copies(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::Copy { .. })).count()
    }

    /// How many trees or files of the new defaults are removed.
    pub fn removals(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::Remove { .. })).count()
    }

    /// How many bytes of content are copied.
    pub fn copied_bytes(&self) -> u64 {
        let size = |action: &Action| match action {
            Action::Copy { entry: Entry { kind: EntryKind::File { size, .. }, .. }, .. } => *size,
            _ => 0,
        };
        self.actions.iter().map(size).fold(0, u64::saturating_add)
    }
}

/// The tree that the merge makes.
pub fn merged(sides: Sides<'_>, policy: Policy) -> Snapshot {
    let merge = Merge::new(sides, policy);
    merge.result.iter().map(|(path, placed)| (path.clone(), placed.entry.clone())).collect()
}

/// What has to be done on a copy of the new defaults so that it becomes [`merged`].
pub fn plan(sides: Sides<'_>, policy: Policy) -> MergePlan {
    let merge = Merge::new(sides, policy);
    let actions = actions(sides.theirs, &merge.result);
    MergePlan { policy, actions, conflicts: merge.conflicts, skipped: merge.skipped }
}

/// The time stamp that is never merged.
const UPDATED: &str = ".updated";

/// An entry of the result and where it comes from.
struct Placed<'a> {
    entry: &'a Entry,
    source: Source,
    from: &'a Path,
}

struct Merge<'a> {
    result: BTreeMap<PathBuf, Placed<'a>>,
    conflicts: Vec<Conflict>,
    skipped: Vec<Skipped>,
}

impl<'a> Merge<'a> {
    fn new(sides: Sides<'a>, policy: Policy) -> Self {
        let [mut base, mut ours, mut theirs] = [sides.base, sides.ours, sides.theirs].map(|side| {
            let mut side = view(side);
            side.retain(|path, _| !path.starts_with(UPDATED));
            side
        });
        keep_the_top(&mut base, &mut ours, &mut theirs);
        let skipped = leave_special_files(&base, &mut ours);

        let (prevails, yields) = match policy {
            Policy::KeepLocal | Policy::KeepBoth => (ours.clone(), theirs.clone()),
            Policy::KeepNew => (theirs.clone(), ours.clone()),
        };
        let views = Views { base, prevails, yields };
        let Resolved { result, lost } = resolve(&views);
        let base = views.base;

        let mut conflicts: Vec<Conflict> = lost
            .into_iter()
            .map(|path| Conflict {
                path: path.to_owned(),
                kind: conflict_kind(base.get(path), ours.get(path), theirs.get(path)),
                resolution: match policy {
                    Policy::KeepLocal | Policy::KeepBoth => Resolution::KeptLocal,
                    Policy::KeepNew => Resolution::TookNew,
                },
            })
            .collect();
        let mut placed = result
            .into_iter()
            .map(|(path, entry)| {
                let new = theirs.get(path).is_some_and(|new| *new == entry);
                let source = if new { Source::NewDefaults } else { Source::Local };
                (path.to_owned(), Placed { entry, source, from: path })
            })
            .collect();
        if policy == Policy::KeepBoth {
            put_beside(&mut placed, &mut conflicts, &base, sides.theirs);
        }
        Self { result: placed, conflicts, skipped }
    }
}

/// A tree always has a top, which is a directory: a side that has none did not change it.
fn keep_the_top<'a>(base: &mut View<'a>, ours: &mut View<'a>, theirs: &mut View<'a>) {
    let top = Path::new("");
    let [new, old, local] = [theirs, base, ours];
    for side in [&mut *new, old, local] {
        side.retain(|path, entry| *path != top || entry.is_dir());
    }
    let Some(any) = [&*old, new, local].iter().find_map(|side| side.get(top).copied()) else { return };
    for side in [new, local] {
        side.entry(top).or_insert(any);
    }
}

/// Takes local special files for nothing, so that what they took the place of counts as removed, and lists them. One
/// that the defaults have too, with other attributes, counts as not changed.
fn leave_special_files<'a>(base: &View<'a>, ours: &mut View<'a>) -> Vec<Skipped> {
    let special: Vec<(&Path, fsio::Kind)> = ours
        .iter()
        .filter(|(path, entry)| base.get(*path) != Some(*entry))
        .filter_map(|(path, entry)| match entry.kind {
            EntryKind::Other(kind) => Some((*path, kind)),
            _ => None,
        })
        .collect();
    for (path, _) in &special {
        match base.get(path) {
            Some(old) if old.is_special() => ours.insert(path, old),
            _ => ours.remove(path),
        };
    }
    special.into_iter().map(|(path, kind)| Skipped { path: path.to_owned(), kind }).collect()
}

fn conflict_kind(base: Option<&&Entry>, ours: Option<&&Entry>, theirs: Option<&&Entry>) -> ConflictKind {
    let (ours_changed, theirs_changed) = (ours != base, theirs != base);
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if !ours.kind.is_same_type(&theirs.kind) => ConflictKind::TypeChanged,
        // One side did nothing here; it is in the way of what is below or above.
        _ if !(ours_changed && theirs_changed) => ConflictKind::DirectoryRemoved,
        (Some(_), Some(_)) if base.is_none() => ConflictKind::BothAdded,
        (Some(_), Some(_)) => ConflictKind::BothModified,
        (Some(_), None) => ConflictKind::ModifiedDeleted,
        (None, _) => ConflictKind::DeletedModified,
    }
}

/// Adds new defaults that lost beside what is there instead, and says so in the conflicts.
fn put_beside<'a>(
    result: &mut BTreeMap<PathBuf, Placed<'a>>,
    conflicts: &mut [Conflict],
    base: &View<'a>,
    theirs: &'a Snapshot,
) {
    for conflict in conflicts {
        // The topmost path where something local that is not a directory stands in the way, or else the file itself.
        let in_the_way = conflict
            .path
            .ancestors()
            .filter(|path| result.get(*path).is_some_and(|kept| !kept.entry.is_dir()))
            .last()
            .or_else(|| result.contains_key(&conflict.path).then_some(conflict.path.as_path()));
        let Some(root) = in_the_way else { continue };
        let Some((root, new)) = theirs.0.get_key_value(root) else { continue };
        if new.is_special() || (new.is_dir() && result.get(root).is_some_and(|kept| kept.entry.is_dir())) {
            continue;
        }
        let Some(beside) = beside(root) else { continue };
        if base.contains_key(beside.as_path()) || theirs.get(&beside).is_some() {
            continue;
        }
        result.retain(|path, _| !path.starts_with(&beside));
        for (from, entry) in theirs.below(root).filter(|(_, entry)| !entry.is_special()) {
            let Ok(inner) = from.strip_prefix(root) else { continue };
            let path = if inner.as_os_str().is_empty() { beside.clone() } else { beside.join(inner) };
            result.insert(path, Placed { entry, source: Source::NewDefaults, from });
        }
        conflict.resolution = Resolution::KeptBoth { beside };
    }
}

/// How `theirs`, which the target holds, becomes `result`.
fn actions(theirs: &Snapshot, result: &BTreeMap<PathBuf, Placed<'_>>) -> Vec<Action> {
    let mut removals = Vec::new();
    let mut writes = Vec::new();
    let mut attributes = Vec::new();
    let mut removed: Option<&Path> = None;
    for (path, old) in theirs.iter() {
        removed = removed.filter(|removed| path.starts_with(removed));
        if removed.is_some() || path.as_os_str().is_empty() {
            continue;
        }
        // A file is replaced by a file atomically; a change from or to a directory needs room first.
        if result.get(path).is_none_or(|kept| kept.entry.is_dir() != old.is_dir()) {
            removals.push(Action::Remove { path: path.to_owned() });
            removed = Some(path);
        }
    }
    for (path, placed) in result {
        let old = theirs.get(path);
        if old == Some(placed.entry) {
            continue;
        }
        let (path, source, from) = (path.clone(), placed.source, placed.from.to_owned());
        if !placed.entry.is_dir() {
            writes.push(Action::Copy { path, source, from, entry: placed.entry.clone() });
            continue;
        }
        if !old.is_some_and(Entry::is_dir) {
            writes.push(Action::MakeDir { path: path.clone() });
        }
        attributes.push(Action::SetAttributes { path, source, from });
    }
    // The attributes of directories come last, deepest first: they may forbid writing.
    attributes.reverse();
    removals.into_iter().chain(writes).chain(attributes).collect()
}
