//! Directory trees: the names in one directory.

use crate::{DirMeta, EntryName, Id, kind};

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
pub struct DirTree {
    files: Vec<FileEntry>,
    dirs: Vec<DirEntry>,
}

impl DirTree {
    /// Sorts the entries, and refuses a name that is there twice.
    ///
    /// # Errors
    /// The name that is there twice.
    pub fn new(mut files: Vec<FileEntry>, mut dirs: Vec<DirEntry>) -> Result<Self, EntryName> {
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        dirs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let file_twice = files.windows(2).find(|pair| pair[0].name == pair[1].name).map(|pair| &pair[0].name);
        let dir_twice = dirs.windows(2).find(|pair| pair[0].name == pair[1].name).map(|pair| &pair[0].name);
        match file_twice.or(dir_twice) {
            Some(name) => Err(name.clone()),
            None => Self::from_sorted(files, dirs),
        }
    }
    /// Takes entries whose arrays are strictly ascending, as decoders check on the way, and refuses a name that is in
    /// both: the error.
    pub(crate) fn from_sorted(files: Vec<FileEntry>, dirs: Vec<DirEntry>) -> Result<Self, EntryName> {
        let (mut file, mut dir) = (files.iter().peekable(), dirs.iter().peekable());
        while let (Some(a), Some(b)) = (file.peek(), dir.peek()) {
            match a.name.cmp(&b.name) {
                std::cmp::Ordering::Less => drop(file.next()),
                std::cmp::Ordering::Greater => drop(dir.next()),
                std::cmp::Ordering::Equal => return Err(a.name.clone()),
            }
        }
        Ok(Self { files, dirs })
    }
    /// The files, sorted by name.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }
    /// The directories, sorted by name.
    pub fn dirs(&self) -> &[DirEntry] {
        &self.dirs
    }
    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        let at = self.files.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        self.files.get(at)
    }
    /// The directory of that name.
    pub fn dir(&self, name: &str) -> Option<&DirEntry> {
        let at = self.dirs.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        self.dirs.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectId;

    fn file(name: &str) -> FileEntry {
        let id = Id::new(ObjectId::from_bytes([1; 32]));
        FileEntry { name: EntryName::new(name).unwrap(), id, size: None }
    }

    fn dir(name: &str) -> DirEntry {
        let (tree, meta) = (Id::new(ObjectId::from_bytes([2; 32])), Id::new(ObjectId::from_bytes([3; 32])));
        DirEntry { name: EntryName::new(name).unwrap(), tree, meta }
    }

    #[test]
    fn entries_are_sorted_by_bytes_and_found_by_name() {
        let tree =
            DirTree::new(vec![file("b"), file("B"), file("é"), file("a")], vec![dir("z"), dir("c")]).unwrap();
        let names: Vec<_> = tree.files().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["B", "a", "b", "é"]);
        assert_eq!(tree.file("é"), Some(&file("é")));
        assert_eq!(tree.dir("c"), Some(&dir("c")));
        assert_eq!(tree.dir("B"), None);
        assert_eq!(tree.file("c"), None);
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        let name = EntryName::new("b").unwrap();
        assert_eq!(DirTree::new(vec![file("b"), file("a"), file("b")], vec![]), Err(name.clone()));
        assert_eq!(DirTree::new(vec![], vec![dir("b"), dir("a"), dir("b")]), Err(name.clone()));
        assert_eq!(DirTree::new(vec![file("a"), file("b")], vec![dir("c"), dir("b")]), Err(name));
    }
}
