//! Looking into committed trees.

use crate::{Repo, Result};
use sapwood_objstore::{Commit, DirEntry, DirMeta, DirTree, FileEntry, Id};

/// The root directory of a tree: its names and its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root { /** The names in it. */ pub tree: Id<DirTree>, /** Its attributes. */ pub meta: Id<DirMeta> }

/// A path in a tree: `/` alone is the root. Checked names, `.` and empty components dropped, `..` refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreePath(Vec<sapwood_objstore::EntryName>);
impl TreePath {
    /// Parses a path, absolute or not.
    pub fn parse(path: &str) -> Result<Self> { todo!() }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node { /** A directory. */ Dir(Root), /** Anything else. */ File(FileEntry) }

/// One entry met by a [`Walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkEntry { /** A directory, before what is in it. */ Dir { /** Its path, beginning with `/`. */ path: String, /** Its entry. */ entry: DirEntry }, /** Anything else. */ File { /** Its path. */ path: String, /** Its entry. */ entry: FileEntry } }

/// All entries below a directory, depth first, names in order.
#[derive(Debug)]
pub struct Walk<'repo> { repo: &'repo Repo }
impl Iterator for Walk<'_> {
    type Item = Result<WalkEntry>;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}

impl Repo {
    /// The root of a commit's tree.
    pub fn root(&self, commit: Id<Commit>) -> Result<Root> { todo!() }
    /// What is at `path` in a tree.
    pub fn lookup(&self, root: Root, path: &TreePath) -> Result<Node> { todo!() }
    /// Walks a tree.
    pub fn walk(&self, root: Root) -> Walk<'_> { todo!() }
}
