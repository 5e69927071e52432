//! Reading a configuration tree into a [`Snapshot`].

use crate::{Entry, EntryKind, Error, Snapshot, Tree};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What of a tree counts, and how much of it there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// Extended attributes that do not count. Default: `security.selinux`, since a policy assigns labels by path, and
    /// `user.ostreemeta` and `user.sapwoodmeta`, in which repositories of unprivileged users keep notes on files that are linked from them.
    pub ignored_xattrs: Vec<Vec<u8>>,
    /// How deeply directories may be nested. Default: 128.
    pub max_depth: usize,
    /// How many files, directories and so on there may be. Default: 1,000,000.
    pub max_entries: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            ignored_xattrs: ["security.selinux", "user.ostreemeta", "user.sapwoodmeta"]
                .map(Vec::from)
                .to_vec(),
            max_depth: 128,
            max_entries: 1_000_000,
        }
    }
}

/// Reads the tree at `dir`: all names, attributes and links, and the hashes of all content. Writes nothing, follows no
/// symlink, and never waits on a fifo.
///
/// What vanishes while it is being read counts as not there.
///
/// # Errors
/// [`Error::TooDeep`] and [`Error::TooMany`] past the limits; [`Error::File`] if something cannot be read;
/// [`Error::Changed`] if something changed its type just then.
pub fn scan(dir: &Dir, options: &ScanOptions) -> Result<Snapshot, Error> {
    let mut scanner = Scanner { options, entries: BTreeMap::new() };
    let top = scanner
        .attributes(fsio::stat_dir(dir), || fsio::xattr::list(dir))
        .map_err(|e| at(Path::new(""), e))?;
    scanner.insert(PathBuf::new(), top)?;
    scanner.directory(dir, &mut PathBuf::new(), 0)?;
    Ok(Snapshot(scanner.entries))
}

struct Scanner<'a> {
    options: &'a ScanOptions,
    entries: BTreeMap<PathBuf, Entry>,
}

impl Scanner<'_> {
    fn directory(&mut self, dir: &Dir, path: &mut PathBuf, depth: usize) -> Result<(), Error> {
        for found in fsio::entries(dir).map_err(|e| at(path, e))? {
            path.push(&found.name);
            match self.entry(dir, &found) {
                Ok((entry, inner)) => {
                    self.insert(path.clone(), entry)?;
                    if let Some(inner) = inner {
                        if depth >= self.options.max_depth {
                            return Err(Error::TooDeep { path: path.clone(), limit: self.options.max_depth });
                        }
                        self.directory(&inner, path, depth + 1)?;
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(at(path, error)),
            }
            path.pop();
        }
        Ok(())
    }

    /// What has this name, and the open directory if it is one.
    fn entry(&self, dir: &Dir, found: &fsio::Entry) -> fsio::Result<(Entry, Option<Dir>)> {
        let name = &found.name;
        match found.kind {
            Kind::Dir => {
                let inner = fsio::open_dir(dir, name)?;
                let entry = self.attributes(fsio::stat_dir(&inner), || fsio::xattr::list(&inner))?;
                Ok((entry, Some(inner)))
            }
            Kind::File => {
                let file = fsio::open_file(dir, name)?;
                let mut entry = self.attributes(fsio::stat_open(&file), || fsio::xattr::list(&file))?;
                let mut hasher = blake3::Hasher::new();
                fsio::At::at(hasher.update_reader(&file), "read", name)?;
                entry.kind = EntryKind::File { size: hasher.count(), digest: hasher.finalize().into() };
                Ok((entry, None))
            }
            Kind::Symlink => {
                let target = OsString::from_vec(fsio::read_link(dir, name)?);
                let mut entry = self.attributes(fsio::stat(dir, name), || fsio::xattr::list_of(dir, name))?;
                entry.kind = EntryKind::Symlink { target };
                entry.mode = 0;
                Ok((entry, None))
            }
            kind => {
                let mut entry = self.attributes(fsio::stat(dir, name), || fsio::xattr::list_of(dir, name))?;
                entry.kind = EntryKind::Other(kind);
                Ok((entry, None))
            }
        }
    }

    /// An entry with everything but its kind.
    fn attributes(
        &self,
        stat: fsio::Result<fsio::Stat>,
        xattrs: impl FnOnce() -> fsio::Result<fsio::xattr::Xattrs>,
    ) -> fsio::Result<Entry> {
        let stat = stat?;
        let mut xattrs = xattrs()?;
        xattrs.retain(|(name, _)| !self.options.ignored_xattrs.contains(name));
        Ok(Entry { kind: EntryKind::Dir, mode: stat.mode, uid: stat.uid, gid: stat.gid, xattrs })
    }

    fn insert(&mut self, path: PathBuf, entry: Entry) -> Result<(), Error> {
        if self.entries.len() >= self.options.max_entries {
            return Err(Error::TooMany { limit: self.options.max_entries });
        }
        self.entries.insert(path, entry);
        Ok(())
    }
}

fn at(path: &Path, source: fsio::Error) -> Error {
    let path = path.to_owned();
    if source.is_wrong_kind() {
        Error::Changed { tree: Tree::Scanned, path }
    } else {
        Error::File { tree: Tree::Scanned, path, source }
    }
}
