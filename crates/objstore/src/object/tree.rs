//! Directory trees: the names in one directory.

use crate::{DecodeError, DirMeta, EntryName, Id, kind};

/// A file in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name.
    pub name: EntryName,
    /// Its object.
    pub id: Id<kind::File>,
    /// Size of its content in bytes (0 for all but regular files); `None` in the OSTree format, which has no such field.
    pub size: Option<u64>,
}

/// A directory in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: EntryName,
    /// The names in it.
    pub tree: Id<DirTree>,
    /// Its attributes.
    pub meta: Id<DirMeta>,
}

/// The names in one directory: files and directories, each sorted by bytes, no name twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirTree { files: Vec<FileEntry>, dirs: Vec<DirEntry> }

impl DirTree {
    /// Sorts the entries, and refuses a name that is there twice.
    ///
    /// # Errors
    /// The name that is there twice.
    pub fn new(files: Vec<FileEntry>, dirs: Vec<DirEntry>) -> Result<Self, EntryName> { todo!() }
    /// Takes entries that must be sorted already, as decoders do.
    pub(crate) fn from_sorted(files: Vec<FileEntry>, dirs: Vec<DirEntry>) -> Result<Self, DecodeError> { todo!() }
    /// The files, sorted by name.
    pub fn files(&self) -> &[FileEntry] { &self.files }
    /// The directories, sorted by name.
    pub fn dirs(&self) -> &[DirEntry] { &self.dirs }
    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<&FileEntry> { todo!() }
    /// The directory of that name.
    pub fn dir(&self, name: &str) -> Option<&DirEntry> { todo!() }
}
