//! Looking into committed trees.
//!
//! Directories are loaded when they are reached, and each is verified as it is; memory is bounded by the depth of the
//! tree and the size of the directories on the way.

use crate::{Error, Repo, Result};
use sapwood_objstore::{Commit, DirEntry, DirMeta, DirTree, EntryName, FileEntry, Id};
use std::sync::Arc;

/// Deepest tree that is entered, in directories.
pub(crate) const MAX_DEPTH: usize = 1024;

/// The root directory of a tree: its names and its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /** The names in it. */
    pub tree: Id<DirTree>,
    /** Its attributes. */
    pub meta: Id<DirMeta>,
}

/// A path in a tree: `/` alone is the root. Checked names, `.` and empty components dropped, `..` refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreePath(Vec<EntryName>);

impl TreePath {
    /// Parses a path, absolute or not.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] for one that no tree can have: with `..`, a name of more than 255 bytes or with NUL, or more
    /// than 1024 names.
    pub fn parse(path: &str) -> Result<Self> {
        let impossible = || Error::NoSuchPath { path: path.chars().take(200).collect() };
        let mut names = Vec::new();
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            let name = EntryName::new(part).ok().ok_or_else(impossible)?;
            if names.len() == MAX_DEPTH {
                return Err(impossible());
            }
            names.push(name);
        }
        Ok(Self(names))
    }

    /// The names from the root on.
    pub fn names(&self) -> &[EntryName] {
        &self.0
    }
}

/// With `/` before each name; the root is `/`.
impl std::fmt::Display for TreePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /** A directory. */
    Dir(Root),
    /** Anything else. */
    File(FileEntry),
}

/// One entry met by a [`Walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkEntry {
    /** A directory, before what is in it. */
    Dir {
        /** Its path, beginning with `/`. */
        path: String,
        /** Its entry. */
        entry: DirEntry,
    },
    /** Anything else. */
    File {
        /** Its path. */
        path: String,
        /** Its entry. */
        entry: FileEntry,
    },
}

/// All entries below a directory, depth first; in each directory the files, then the directories, each in order of
/// their names. After an error it ends.
#[derive(Debug)]
pub struct Walk<'repo> {
    repo: &'repo Repo,
    start: Option<Id<DirTree>>,
    levels: Vec<Level>,
}

/// A directory that is being walked.
#[derive(Debug)]
struct Level {
    tree: Arc<DirTree>,
    path: String,
    next_file: usize,
    next_dir: usize,
}

impl Walk<'_> {
    fn enter(&mut self, tree: Id<DirTree>, path: String) -> Result<()> {
        if self.levels.len() > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        let tree = Arc::new(self.repo.store().load(tree)?);
        self.levels.push(Level { tree, path, next_file: 0, next_dir: 0 });
        Ok(())
    }

    fn step(&mut self) -> Result<Option<WalkEntry>> {
        if let Some(tree) = self.start.take() {
            self.enter(tree, String::new())?;
        }
        while let Some(level) = self.levels.last_mut() {
            let tree = Arc::clone(&level.tree);
            if let Some(entry) = tree.files().get(level.next_file) {
                level.next_file += 1;
                let path = format!("{}/{}", level.path, entry.name);
                return Ok(Some(WalkEntry::File { path, entry: entry.clone() }));
            }
            if let Some(entry) = tree.dirs().get(level.next_dir) {
                level.next_dir += 1;
                let path = format!("{}/{}", level.path, entry.name);
                self.enter(entry.tree, path.clone())?;
                return Ok(Some(WalkEntry::Dir { path, entry: entry.clone() }));
            }
            self.levels.pop();
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<WalkEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.levels.clear();
        }
        step.transpose()
    }
}

impl Repo {
    /// The root of a commit's tree.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn root(&self, commit: Id<Commit>) -> Result<Root> {
        let commit = self.store().load(commit)?;
        Ok(Root { tree: commit.tree, meta: commit.meta })
    }

    /// What is at `path` in a tree. Symlinks are not followed.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`]; [`Error::WrongType`] where something on the way is no directory; [`Error::Store`].
    pub fn lookup(&self, root: Root, path: &TreePath) -> Result<Node> {
        let mut here = root;
        let mut names = path.names().iter();
        while let Some(name) = names.next() {
            let tree = self.store().load(here.tree)?;
            if let Some(dir) = tree.dir(name.as_str()) {
                here = Root { tree: dir.tree, meta: dir.meta };
                continue;
            }
            let file =
                tree.file(name.as_str()).ok_or_else(|| Error::NoSuchPath { path: path.to_string() })?;
            return if names.len() == 0 {
                Ok(Node::File(file.clone()))
            } else {
                let done = path.names().len() - names.len();
                let way = TreePath(path.names().iter().take(done).cloned().collect());
                Err(Error::WrongType { path: way.to_string(), expected: "directory" })
            };
        }
        Ok(Node::Dir(here))
    }

    /// Walks a tree.
    pub fn walk(&self, root: Root) -> Walk<'_> {
        Walk { repo: self, start: Some(root.tree), levels: Vec::new() }
    }
}
