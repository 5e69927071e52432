//! What was changed locally.

use crate::Snapshot;
use std::path::PathBuf;

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It is there now.
    Added,
    /// Its type, content or attributes are others.
    Modified,
    /// It is no longer there.
    Removed,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where; empty for the top.
    pub path: PathBuf,
    /// How.
    pub kind: ChangeKind,
}

/// All that differs between the defaults and the local tree, sorted by path. Of a directory that was added or removed
/// each path below it is listed too.
pub fn diff(base: &Snapshot, ours: &Snapshot) -> Vec<Change> {
    let removed = base.iter().filter(|(path, _)| ours.get(path).is_none());
    let removed = removed.map(|(path, _)| Change { path: path.to_owned(), kind: ChangeKind::Removed });
    let others = ours.iter().filter_map(|(path, entry)| {
        let kind = match base.get(path) {
            None => ChangeKind::Added,
            Some(old) if old != entry => ChangeKind::Modified,
            Some(_) => return None,
        };
        Some(Change { path: path.to_owned(), kind })
    });
    let mut changes: Vec<_> = removed.chain(others).collect();
    changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    changes
}
