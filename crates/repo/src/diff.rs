//! Differences between two trees. Sub-trees with equal ids are not entered.

use crate::{Repo, Result, Root};

/// How trees are compared.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind { /** Only in the second. */ Added, /** Only in the first. */ Removed, /** In both, not the same. */ Modified }

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change { /** What happened. */ pub kind: ChangeKind, /** The path, beginning with `/`. */ pub path: String, /** Whether it is (or was) a directory. */ pub is_dir: bool, /** Content size before, for files. */ pub old_bytes: Option<u64>, /** Content size after, for files. */ pub new_bytes: Option<u64> }

/// The paths that differ, in order of their names.
pub fn diff_trees(repo: &Repo, from: Root, to: Root, options: &DiffOptions) -> Result<Vec<Change>> { todo!() }
