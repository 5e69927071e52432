//! One file on its way from disk to repository: recognised by the stat cache, or read, hashed and stored.
//!
//! What is recorded is one state of the file: its attributes are compared before and after it is read.

use super::cache::{ChangesKey, Record, now_ns};
use super::import::{Import, Node, placed};
use super::modify::{Changes, node_type};
use super::place::Place;
use super::restore;
use crate::{Error, Links, Result};
use sapwood_fsio::{self as fsio, Entry, Kind, Stat};
use sapwood_objstore::{self as objstore, FileHeader, FileType, Id, Xattrs, kind};
use std::io::{self, Read, Seek as _};
use std::os::unix::ffi::OsStrExt;

/// Reads files of one directory.
pub(crate) struct FileReader<'a> {
    pub(crate) import: &'a Import<'a>,
    pub(crate) node: &'a Node,
}

/// What is known of a file before it is looked at.
struct Known<'a> {
    entry: &'a Entry,
    changes: Changes,
    key: ChangesKey,
}

/// A recorded file.
pub(crate) struct Recorded {
    pub(crate) id: Id<kind::File>,
    /// Size of its content in bytes; 0 for all but regular files.
    pub(crate) size: u64,
    /// For the stat cache, if it may be entered there.
    pub(crate) record: Option<Record>,
    /// As it is on disk now.
    pub(crate) stat: Stat,
    /// Whether it was recognised without reading it.
    pub(crate) is_hit: bool,
    /// Whether that was because it is a link to an object of the store.
    pub(crate) is_link: bool,
}

impl FileReader<'_> {
    /// Records a file, symlink or node; `None` if it is to be skipped.
    pub(crate) fn take(&self, entry: &Entry) -> Result<Option<Recorded>> {
        let path = || self.node.path(entry.name.as_bytes());
        if self.import.rules.lists().skips(path) {
            return Ok(None);
        }
        let object = self.linked_object(entry)?;
        if let (Links::Trust, Some((id, stat))) = (self.import.links, object) {
            return Ok(Some(Recorded {
                id,
                size: content_size(&stat),
                record: None,
                stat,
                is_hit: true,
                is_link: true,
            }));
        }
        let changes = self.import.rules.changes(entry.kind, path)?;
        if let Some((id, stat)) = object {
            return self.modify(id, stat, &changes).map(Some);
        }
        let key = ChangesKey::new(&changes);
        let known = Known { entry, changes, key };
        if !self.import.cache.is_empty()
            && let Some(found) = self.recognise(&known)?
        {
            return Ok(Some(found));
        }
        // Once more if it changes meanwhile: a file that is being replaced is then the new one.
        for _ in 0..2 {
            let taken = match entry.kind {
                Kind::File => self.read_file(&known)?,
                Kind::Symlink | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {
                    self.read_node(&known)?
                }
                Kind::Socket => return Err(self.refuse(entry, "it is a socket")),
                Kind::Dir => return Err(self.refuse(entry, "it became a directory meanwhile")),
            };
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Err(self.refuse(entry, "it changes while it is read"))
    }

    /// The object that this is a hard link to.
    fn linked_object(&self, entry: &Entry) -> Result<Option<(Id<kind::File>, Stat)>> {
        if self.import.links == Links::Ignore || !matches!(entry.kind, Kind::File | Kind::Symlink) {
            return Ok(None);
        }
        let stat = self.stat(entry)?;
        Ok(self.import.devino.find(&stat).map(|id| (id, stat)))
    }

    /// Records an object anew with what is changed of it.
    fn modify(&self, id: Id<kind::File>, stat: Stat, changes: &Changes) -> Result<Recorded> {
        let restored = restore::file(self.import.objects, self.import.rules, id, changes)?;
        let restore::Restored { id: new, size } = restored;
        Ok(Recorded { id: new, size, record: None, stat, is_hit: new == id, is_link: new == id })
    }

    fn recognise(&self, known: &Known<'_>) -> Result<Option<Recorded>> {
        let entry = known.entry;
        if !matches!(entry.kind, Kind::File | Kind::Symlink) {
            return Ok(None);
        }
        let stat = self.stat(entry)?;
        let found = self.place(&stat).and_then(|place| self.import.cache.find(place, &stat, known.key));
        let Some((record, id)) = found else { return Ok(None) };
        if !self.import.objects.contains(id.name())? {
            return Ok(None);
        }
        Ok(Some(Recorded {
            id,
            size: content_size(&stat),
            record: Some(record),
            stat,
            is_hit: true,
            is_link: false,
        }))
    }

    /// The place by which the stat cache may know a file.
    fn place(&self, stat: &Stat) -> Option<Place> {
        self.import.cache.places.of(self.node.mount, stat)
    }

    /// For the stat cache, what was read.
    fn entry(&self, stat: &Stat, known: &Known<'_>, id: Id<kind::File>, read_at_ns: i128) -> Option<Record> {
        Record::new(self.place(stat)?, stat, known.key, id, read_at_ns)
    }

    /// `None` if it changed meanwhile.
    fn read_file(&self, known: &Known<'_>) -> Result<Option<Recorded>> {
        let entry = known.entry;
        let read_at_ns = now_ns();
        let (mut file, stat) = fsio::open_file_and_stat(&self.node.dir, &entry.name)
            .map_err(|error| self.placed(entry, error))?;
        let xattrs = if self.import.rules.xattrs {
            self.checked(entry, fsio::xattr::list(&file).map_err(|error| self.placed(entry, error))?)?
        } else {
            Xattrs::default()
        };
        let header = self.header(known, &stat, FileType::Regular, xattrs)?;
        if self.import.consumed.is_some() {
            let adopted = self.import.objects.adopt_file(&header, &stat, &file, &self.node.dir, &entry.name);
            if let Some(id) = adopted.map_err(|error| self.not_put(entry, error))? {
                let stat = fsio::stat_open(&file).map_err(|error| self.placed(entry, error))?;
                return Ok(Some(Recorded {
                    id,
                    size: stat.size,
                    record: None,
                    stat,
                    is_hit: false,
                    is_link: false,
                }));
            }
            file.rewind()
                .map_err(|source| self.placed(entry, fsio::Error { op: "read", path: "".into(), source }))?;
        }
        let put = self.put(entry, &header, stat.size, &mut &file);
        // A file that grows or shrinks meanwhile fails to be stored, and is tried again rather than reported.
        let after = fsio::stat_open(&file).map_err(|error| self.placed(entry, error))?;
        if !is_same_content(&stat, &after) {
            return Ok(None);
        }
        let id = put?;
        let record = if after == stat { self.entry(&stat, known, id, read_at_ns) } else { None };
        Ok(Some(Recorded { id, size: stat.size, record, stat: after, is_hit: false, is_link: false }))
    }

    /// As [`read_file`](Self::read_file), for what has no content.
    fn read_node(&self, known: &Known<'_>) -> Result<Option<Recorded>> {
        let entry = known.entry;
        let read_at_ns = now_ns();
        let dir = &self.node.dir;
        let stat = self.stat(entry)?;
        let file_type = if stat.kind == Kind::Symlink {
            let target = fsio::read_link(dir, &entry.name).map_err(|error| self.placed(entry, error))?;
            let Ok(target) = String::from_utf8(target) else {
                return Err(self.refuse(entry, "the target of the symlink is not UTF-8"));
            };
            FileType::Symlink(target)
        } else {
            match node_type(&stat) {
                Some(file_type) => file_type,
                None => return Ok(None),
            }
        };
        let xattrs = if self.import.rules.xattrs {
            let list = fsio::xattr::list_of(dir, &entry.name).map_err(|error| self.placed(entry, error))?;
            self.checked(entry, list)?
        } else {
            Xattrs::default()
        };
        let header = self.header(known, &stat, file_type, xattrs)?;
        let id = self.put(entry, &header, 0, &mut io::empty())?;
        if self.stat(entry)? != stat {
            return Ok(None);
        }
        let record = self.entry(&stat, known, id, read_at_ns);
        Ok(Some(Recorded { id, size: 0, record, stat, is_hit: false, is_link: false }))
    }

    fn header(
        &self,
        known: &Known<'_>,
        stat: &Stat,
        file_type: FileType,
        xattrs: Xattrs,
    ) -> Result<FileHeader> {
        let header = self.import.rules.file(stat.into(), file_type, xattrs, &known.changes);
        match self.import.format.check_file(&header) {
            Ok(()) => Ok(header),
            Err(reason) => Err(self.refuse(known.entry, reason)),
        }
    }

    fn put(
        &self,
        entry: &Entry,
        header: &FileHeader,
        size: u64,
        content: &mut (dyn Read + Send),
    ) -> Result<Id<kind::File>> {
        self.import.objects.put_file(header, size, content).map_err(|error| self.not_put(entry, error))
    }

    /// Why a file was not stored, with its path.
    fn not_put(&self, entry: &Entry, error: objstore::Error) -> Error {
        match error {
            objstore::Error::Source(source) => {
                self.placed(entry, fsio::Error { op: "read", path: "".into(), source })
            }
            objstore::Error::Unsupported { mode, what } => {
                self.refuse(entry, &format!("a {mode} repository cannot hold {what}"))
            }
            other => other.into(),
        }
    }

    /// The file as it is on disk.
    pub(crate) fn stat(&self, entry: &Entry) -> Result<Stat> {
        fsio::stat(&self.node.dir, &entry.name).map_err(|error| self.placed(entry, error))
    }

    fn checked(&self, entry: &Entry, list: fsio::xattr::Xattrs) -> Result<Xattrs> {
        self.import.rules.xattrs(list, || self.node.path(entry.name.as_bytes()))
    }

    fn placed(&self, entry: &Entry, error: fsio::Error) -> Error {
        placed(error, || self.node.path(entry.name.as_bytes()))
    }

    fn refuse(&self, entry: &Entry, reason: &str) -> Error {
        Error::Unrecordable { path: self.node.path(entry.name.as_bytes()), reason: reason.into() }
    }
}

fn content_size(stat: &Stat) -> u64 {
    if stat.kind == Kind::File { stat.size } else { 0 }
}

/// Whether what was read between these two states is one state. A new hardlink moves the change time as well, and is no
/// reason to refuse: another process may be checking out the same inode.
fn is_same_content(before: &Stat, after: &Stat) -> bool {
    let Stat { nlink, ctime_ns, .. } = *before;
    let relinked = after.nlink != nlink;
    Stat { nlink, ctime_ns: if relinked { ctime_ns } else { after.ctime_ns }, ..*after } == *before
}
