//! Exporting trees as tar archives.
//!
//! The same commit gives the same bytes: files, then directories, each in order of their names; every time is that of the
//! commit. As OSTree's, save that extended attributes are written too, in pax headers before the entries that have any.

use crate::archive::EntryKind;
use crate::archive::writer::{Header, TarWriter};
use crate::tree::MAX_DEPTH;
use crate::{Error, Node, Repo, Result, Root, TreePath};
use sapwood_fsio as fsio;
use sapwood_objstore::{Commit, DirMeta, DirTree, FileType, Id, Xattrs, kind};
use std::io::{self, Write};

/// What is exported, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The directory that becomes the top of the archive; `None` is all of the tree.
    pub subpath: Option<TreePath>,
    /// What every path in the archive begins with; a slash at its end is not added.
    pub prefix: String,
    /// Whether extended attributes are left out.
    pub no_xattrs: bool,
}

impl Repo {
    /// Writes the tree of a commit as a tar archive. Every object is verified on the way.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], [`Error::WrongType`] where the subpath is no directory: nothing is written.
    /// [`Error::Store`], [`Error::TooDeep`], [`Error::Io`]: then the archive is cut short.
    pub fn export(&self, commit: Id<Commit>, out: &mut dyn Write, options: &ExportOptions) -> Result<()> {
        let loaded: Commit = self.store().load(commit)?;
        let mut root = Root { tree: loaded.tree, meta: loaded.meta };
        if let Some(path) = &options.subpath {
            let Node::Dir(dir) = self.lookup(root, path)? else {
                return Err(Error::WrongType { path: path.to_string(), expected: "directory" });
            };
            root = dir;
        }
        let out = TarWriter::new(io::BufWriter::with_capacity(256 << 10, out));
        let mut export = Export { repo: self, out, options, mtime: loaded.timestamp };
        let top = if options.prefix.is_empty() { "./" } else { &options.prefix };
        export.dir_entry(top.trim_end_matches('/'), root.meta)?;
        export.dir(root.tree, &options.prefix, 1)?;
        export.out.finish().map_err(written)
    }
}

struct Export<'a, W> {
    repo: &'a Repo,
    out: TarWriter<W>,
    options: &'a ExportOptions,
    mtime: u64,
}

impl<W: Write> Export<'_, W> {
    /// The entry of a directory, whose path has no slash at its end yet.
    fn dir_entry(&mut self, path: &str, meta: Id<DirMeta>) -> Result<()> {
        let meta: DirMeta = self.repo.store().load(meta)?;
        let header = Header {
            path: &format!("{path}/"),
            kind: &EntryKind::Dir,
            uid: meta.uid,
            gid: meta.gid,
            mode: meta.mode,
            device: None,
            mtime: self.mtime,
            size: 0,
        };
        self.entry(&header, &meta.xattrs, &mut io::empty())
    }

    /// What is in a directory; `prefix` is its path with a slash at the end.
    fn dir(&mut self, tree: Id<DirTree>, prefix: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        let tree: DirTree = self.repo.store().load(tree)?;
        for entry in tree.files() {
            self.file(entry.id, &format!("{prefix}{}", entry.name))?;
        }
        for entry in tree.dirs() {
            let path = format!("{prefix}{}", entry.name);
            self.dir_entry(&path, entry.meta)?;
            self.dir(entry.tree, &format!("{path}/"), depth + 1)?;
        }
        Ok(())
    }

    fn file(&mut self, id: Id<kind::File>, path: &str) -> Result<()> {
        let mut object = self.repo.store().open_file(id)?;
        let (kind, device) = match &object.header.file_type {
            FileType::Regular => (EntryKind::File, None),
            FileType::Symlink(target) => (EntryKind::Symlink(target.clone().into_bytes()), None),
            FileType::Fifo => (EntryKind::Special, Some((b'6', 0, 0))),
            FileType::CharDevice(rdev) => (EntryKind::Special, Some(device(b'3', *rdev))),
            FileType::BlockDevice(rdev) => (EntryKind::Special, Some(device(b'4', *rdev))),
        };
        let header = Header {
            path,
            kind: &kind,
            uid: object.header.uid,
            gid: object.header.gid,
            mode: object.header.mode,
            device,
            mtime: self.mtime,
            size: object.size,
        };
        self.entry(&header, &object.header.xattrs, &mut object.content)
    }

    fn entry(&mut self, header: &Header<'_>, xattrs: &Xattrs, content: &mut dyn io::Read) -> Result<()> {
        let none = Xattrs::default();
        let xattrs = if self.options.no_xattrs { &none } else { xattrs };
        self.out.entry(header, xattrs.iter(), content).map_err(written)
    }
}

fn device(kind: u8, rdev: u64) -> (u8, u32, u32) {
    (kind, rustix::fs::major(rdev), rustix::fs::minor(rdev))
}

fn written(source: io::Error) -> Error {
    Error::Io(fsio::Error { op: "write", path: "the archive".into(), source })
}
