//! A configuration tree as a value.

use sapwood_fsio as fsio;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
        /// BLAKE3 of the content.
        digest: [u8; 32],
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Where it points, as stored.
        target: OsString,
    },
    /// A fifo, socket or device: never merged from the local tree.
    Other(fsio::Kind),
}

impl EntryKind {
    /// Whether both are files, both directories, and so on.
    pub fn is_same_type(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// What is at a path, and its attributes. Two entries are equal when the merge sees no difference: times do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is, with its content.
    pub kind: EntryKind,
    /// Permission bits (07777). 0 for symlinks, which have none of their own.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes sorted by name, without the ignored ones.
    pub xattrs: fsio::xattr::Xattrs,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == EntryKind::Dir
    }

    /// Whether it is a fifo, socket or device.
    pub fn is_special(&self) -> bool {
        matches!(self.kind, EntryKind::Other(_))
    }
}

/// A tree as a sorted map from path to entry.
///
/// Paths are relative to the top of the tree and sorted by component, so that what is in a directory follows right
/// after it. The top itself has the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(pub BTreeMap<PathBuf, Entry>);

impl Snapshot {
    /// What is at `path`.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&Entry> {
        self.0.get(path.as_ref())
    }

    /// All paths with what is there, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// `path` and all that is below it.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Entry)> {
        use std::ops::Bound::{Included, Unbounded};
        self.0
            .range::<Path, _>((Included(path), Unbounded))
            .map(|(found, entry)| (found.as_path(), entry))
            .take_while(move |(found, _)| found.starts_with(path))
    }

    /// Number of entries, the top included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing, not even the top.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(PathBuf, Entry)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (PathBuf, Entry)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}
