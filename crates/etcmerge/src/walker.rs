//! Walking to paths of a tree component by component, so that no symlink is ever followed.

use crate::{Error, Tree};
use sapwood_fsio::{self as fsio, Dir};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Keeps the directories on the way to the last path open: paths that come sorted share them.
#[derive(Debug)]
pub(crate) struct Walker<'a> {
    pub(crate) tree: Tree,
    top: &'a Dir,
    open: Vec<(OsString, Dir)>,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(tree: Tree, top: &'a Dir) -> Self {
        Self { tree, top, open: Vec::new() }
    }

    /// The directory at `path`; the top for the empty path.
    pub(crate) fn dir(&mut self, path: &Path) -> Result<&Dir, Error> {
        let same = |(component, (name, _)): &(&OsStr, &(OsString, Dir))| component == name;
        let shared = path.iter().zip(&self.open).take_while(same).count();
        self.open.truncate(shared);
        for name in path.iter().skip(shared) {
            let next = fsio::open_dir(self.last(), name).map_err(at(self.tree, path))?;
            self.open.push((name.to_owned(), next));
        }
        Ok(self.last())
    }

    /// The directory that holds `path`, and its last component.
    pub(crate) fn parent<'p>(&mut self, path: &'p Path) -> Result<(&Dir, &'p OsStr), Error> {
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.dir(parent)?, last(path)))
    }

    fn last(&self) -> &Dir {
        self.open.last().map_or(self.top, |(_, dir)| dir)
    }
}

/// The last component.
pub(crate) fn last(path: &Path) -> &OsStr {
    path.iter().next_back().unwrap_or_default()
}

/// Names tree and path. In a tree that we only read, something missing, or of another type, has changed since the plan
/// was made.
pub(crate) fn at(tree: Tree, path: &Path) -> impl FnOnce(fsio::Error) -> Error {
    move |source| {
        let path = path.to_owned();
        if tree != Tree::Target && (source.is_not_found() || source.is_wrong_kind()) {
            Error::Changed { tree, path }
        } else {
            Error::File { tree, path, source }
        }
    }
}
