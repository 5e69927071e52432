//! Looking at files on disk without recording them: which ids they would get.

use super::import::placed;
use super::modify::{Changes, Rules, node_type};
use crate::{Error, Modifiers, Result};
use sapwood_fsio::{self as fsio, Dir, Kind, Stat};
use sapwood_objstore::{
    DirMeta, FileHeader, FileType, Format, Id, MetaObject as _, ObjectId, ObjectKind, Xattrs, kind,
};
use std::ffi::OsStr;
use std::io::{self, Read};

/// The id that a commit in this format would give to a file, or to the owner, mode and attributes of a directory.
///
/// Nothing is stored. A symlink is not followed. What is in a directory does not count.
///
/// # Errors
/// [`Error::Unrecordable`] for what the format cannot hold, [`Error::Io`].
pub fn id_on_disk(dir: &Dir, name: &OsStr, format: Format, modifiers: &Modifiers) -> Result<ObjectId> {
    let looker = Looker::new(format, modifiers);
    let shown = || name.to_string_lossy().into_owned();
    let kind = fsio::stat(dir, name)?.kind;
    if kind == Kind::Dir {
        let found = fsio::open_dir(dir, name)?;
        return Ok(looker.dir(&found, shown)?.raw());
    }
    let unrecordable = |reason: &str| Error::Unrecordable { path: shown(), reason: reason.to_owned() };
    let header =
        looker.header(dir, name, kind, shown)?.ok_or_else(|| unrecordable("no commit can hold it"))?;
    format.check_file(&header).map_err(unrecordable)?;
    Ok(looker.id(dir, name, &header, shown)?.raw())
}

/// Looks at files and directories on disk by the rules of a commit.
#[derive(Debug)]
pub(crate) struct Looker {
    format: Format,
    rules: Rules,
}

impl Looker {
    pub(crate) fn new(format: Format, modifiers: &Modifiers) -> Self {
        Self { format, rules: Rules::of(format, modifiers) }
    }

    /// The id that the owner, mode and attributes of a directory would get.
    pub(crate) fn dir(&self, dir: &Dir, path: impl Fn() -> String) -> Result<Id<DirMeta>> {
        let failed = |error| placed(error, &path);
        let stat = fsio::stat_dir(dir).map_err(failed)?;
        let xattrs = if self.rules.xattrs {
            self.rules.xattrs(fsio::xattr::list(dir).map_err(failed)?, &path)?
        } else {
            Xattrs::default()
        };
        let meta = self.rules.dir((&stat).into(), xattrs, &Changes::default());
        Ok(Id::new(self.format.id_of(ObjectKind::DirMeta, &meta.encode(self.format))))
    }

    /// The header that something else than a directory would get; none for what no commit holds: a socket, or a symlink
    /// whose target is not UTF-8.
    pub(crate) fn header(
        &self,
        dir: &Dir,
        name: &OsStr,
        kind: Kind,
        path: impl Fn() -> String,
    ) -> Result<Option<FileHeader>> {
        let failed = |error| placed(error, &path);
        let (stat, list) = if kind == Kind::File {
            let (file, stat) = fsio::open_file_and_stat(dir, name).map_err(failed)?;
            (stat, self.rules.xattrs.then(|| fsio::xattr::list(&file)))
        } else {
            let stat = fsio::stat(dir, name).map_err(failed)?;
            (stat, self.rules.xattrs.then(|| fsio::xattr::list_of(dir, name)))
        };
        let xattrs = match list.transpose().map_err(failed)? {
            Some(list) => self.rules.xattrs(list, &path)?,
            None => Xattrs::default(),
        };
        let Some(file_type) = file_type(dir, name, &stat, &path)? else { return Ok(None) };
        Ok(Some(self.rules.file((&stat).into(), file_type, xattrs, &Changes::default())))
    }

    /// The id that a file with this header would get. Content that changes meanwhile is hashed as it comes.
    pub(crate) fn id(
        &self,
        dir: &Dir,
        name: &OsStr,
        header: &FileHeader,
        path: impl Fn() -> String,
    ) -> Result<Id<kind::File>> {
        let failed = |error| placed(error, &path);
        let mut file;
        let mut nothing = io::empty();
        let content: &mut dyn Read = if header.is_regular() {
            file = fsio::open_file(dir, name).map_err(failed)?;
            &mut file
        } else {
            &mut nothing
        };
        let hashed = self.format.id_of_file(header, content);
        let (id, _) =
            hashed.map_err(|source| failed(fsio::Error { op: "read", path: name.into(), source }))?;
        Ok(id)
    }
}

/// What it is to a commit, if it is anything.
fn file_type(dir: &Dir, name: &OsStr, stat: &Stat, path: impl Fn() -> String) -> Result<Option<FileType>> {
    Ok(match stat.kind {
        Kind::File => Some(FileType::Regular),
        Kind::Symlink => {
            let target = fsio::read_link(dir, name).map_err(|error| placed(error, &path))?;
            String::from_utf8(target).ok().map(FileType::Symlink)
        }
        _ => node_type(stat),
    })
}
