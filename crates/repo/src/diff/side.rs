//! What trees are made of when they are compared: directories and files, committed or on disk.

use crate::commit::{Looker, placed};
use crate::tree::MAX_DEPTH;
use crate::{Error, Repo, Result, Root};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{DirMeta, DirTree, FileEntry, Id};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// A tree to be compared.
#[derive(Debug, Clone, Copy)]
pub enum DiffSide<'a> {
    /// One that is committed.
    Tree(Root),
    /// One on disk.
    Dir(&'a Dir),
}

impl From<Root> for DiffSide<'_> {
    fn from(root: Root) -> Self {
        Self::Tree(root)
    }
}

impl<'a> From<&'a Dir> for DiffSide<'a> {
    fn from(dir: &'a Dir) -> Self {
        Self::Dir(dir)
    }
}

/// A directory of a tree.
#[derive(Debug, Clone)]
pub(super) enum DirAt {
    Stored(Root),
    /// In an open directory.
    Disk(Arc<Dir>, OsString),
}

impl DirAt {
    pub(super) fn top(side: DiffSide<'_>) -> Result<Self> {
        Ok(match side {
            DiffSide::Tree(root) => Self::Stored(root),
            DiffSide::Dir(dir) => Self::Disk(Arc::new(fsio::open_dir(dir, ".")?), ".".into()),
        })
    }

    /// Whether nothing can differ in them.
    pub(super) fn is_same_tree(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Stored(a), Self::Stored(b)) if a.tree == b.tree)
    }

    /// The id of its owner, mode and attributes.
    pub(super) fn meta(&self, looker: &Looker, path: &str) -> Result<Id<DirMeta>> {
        match self {
            Self::Stored(root) => Ok(root.meta),
            Self::Disk(dir, name) => looker.dir(&open(dir, name, path)?, || path.to_owned()),
        }
    }
}

fn open(dir: &Dir, name: &OsStr, path: &str) -> Result<Dir> {
    fsio::open_dir(dir, name).map_err(|error| placed(error, || path.to_owned()))
}

/// Anything but a directory.
#[derive(Debug, Clone)]
pub(super) enum FileAt {
    Stored(FileEntry),
    /// In an open directory.
    Disk(Arc<Dir>, OsString, Kind),
}

impl FileAt {
    /// Size of its content in bytes.
    pub(super) fn size(&self, repo: &Repo) -> Result<u64> {
        match self {
            Self::Stored(FileEntry { size: Some(size), .. }) => Ok(*size),
            Self::Stored(file) => Ok(repo.store().content_size(file.id)?),
            Self::Disk(dir, name, Kind::File) => Ok(fsio::stat(dir, name)?.size),
            Self::Disk(..) => Ok(0),
        }
    }

    /// Whether both are the same file to a commit. What it cannot record is never the same.
    pub(super) fn is_same(&self, other: &Self, looker: &Looker, path: &str) -> Result<bool> {
        let shown = || path.to_owned();
        let headers = match (self, other) {
            (Self::Stored(a), Self::Stored(b)) => return Ok(a.id == b.id),
            (Self::Stored(stored), Self::Disk(dir, name, kind))
            | (Self::Disk(dir, name, kind), Self::Stored(stored)) => {
                return match looker.header(dir, name, *kind, shown)? {
                    Some(header) => Ok(looker.id(dir, name, &header, shown)? == stored.id),
                    None => Ok(false),
                };
            }
            (Self::Disk(a_dir, a, a_kind), Self::Disk(b_dir, b, b_kind)) => {
                // Sizes first: they are cheap to ask for.
                if a_kind != b_kind
                    || (*a_kind == Kind::File
                        && fsio::stat(a_dir, a).map_err(|error| placed(error, shown))?.size
                            != fsio::stat(b_dir, b).map_err(|error| placed(error, shown))?.size)
                {
                    return Ok(false);
                }
                let header = looker.header(a_dir, a, *a_kind, shown)?;
                (header == looker.header(b_dir, b, *b_kind, shown)?).then_some(header).flatten()
            }
        };
        let (Some(header), Self::Disk(a_dir, a, _), Self::Disk(b_dir, b, _)) = (headers, self, other) else {
            return Ok(false);
        };
        Ok(looker.id(a_dir, a, &header, shown)? == looker.id(b_dir, b, &header, shown)?)
    }
}

/// What is in a directory: files and directories, both by name.
#[derive(Debug)]
pub(super) struct Listing {
    files: Vec<(OsString, FileAt)>,
    dirs: Vec<(OsString, DirAt)>,
}

impl Listing {
    pub(super) fn of(repo: &Repo, dir: &DirAt, path: &str, depth: usize) -> Result<Self> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        match dir {
            DirAt::Stored(root) => {
                let tree: DirTree = repo.store().load(root.tree)?;
                files.extend(
                    tree.files().iter().map(|file| (file.name.as_str().into(), FileAt::Stored(file.clone()))),
                );
                dirs.extend(tree.dirs().iter().map(|dir| {
                    let root = Root { tree: dir.tree, meta: dir.meta };
                    (dir.name.as_str().into(), DirAt::Stored(root))
                }));
            }
            DirAt::Disk(parent, name) => {
                let dir = Arc::new(open(parent, name, path)?);
                for entry in fsio::entries(&dir).map_err(|error| placed(error, || path.to_owned()))? {
                    let (dir, name) = (Arc::clone(&dir), entry.name.clone());
                    match entry.kind {
                        Kind::Dir => dirs.push((entry.name, DirAt::Disk(dir, name))),
                        kind => files.push((entry.name, FileAt::Disk(dir, name, kind))),
                    }
                }
            }
        }
        Ok(Self { files, dirs })
    }

    /// Files first.
    pub(super) fn names(&self) -> impl Iterator<Item = &OsStr> {
        let files = self.files.iter().map(|(name, _)| name.as_os_str());
        files.chain(self.dirs.iter().map(|(name, _)| name.as_os_str()))
    }

    pub(super) fn find(&self, name: &OsStr) -> Found<'_> {
        fn at<'a, T>(list: &'a [(OsString, T)], name: &OsStr) -> Option<&'a T> {
            let at = list.binary_search_by(|(other, _)| other.as_os_str().cmp(name)).ok()?;
            list.get(at).map(|(_, found)| found)
        }
        Found { file: at(&self.files, name), dir: at(&self.dirs, name) }
    }
}

/// What has a name in one of the trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'t> {
    pub(super) file: Option<&'t FileAt>,
    pub(super) dir: Option<&'t DirAt>,
}

impl Found<'_> {
    pub(super) const NOTHING: Self = Self { file: None, dir: None };

    pub(super) fn is_nothing(&self) -> bool {
        self.file.is_none() && self.dir.is_none()
    }
}
