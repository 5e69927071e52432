//! File trees as values, and how they are put on a disk.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

/// What a path of a [`Tree`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file and its content.
    File(Vec<u8>),
    /// A directory.
    Dir,
    /// A symbolic link and its target.
    Symlink(String),
}

/// One path of a [`Tree`], with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, up to `0o7777`; symbolic links have none of their own.
    pub mode: u32,
    /// Extended attributes by name, as a file system takes them (`user.…` works for everyone).
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Node {
    /// Sets the permission bits.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Adds an extended attribute.
    pub fn xattr(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.xattrs.insert(name.to_owned(), value.to_vec());
        self
    }
}

/// A file tree: paths relative to its root, without a leading slash, each with what is there.
///
/// Directories above an entry need not be listed; they get mode 755.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The entries by path.
    pub nodes: BTreeMap<String, Node>,
}

impl Tree {
    fn node(&mut self, path: &str, kind: Kind, mode: u32) -> &mut Node {
        let node = Node { kind, mode, xattrs: BTreeMap::new() };
        self.nodes.insert(path.to_owned(), node);
        self.nodes.entry(path.to_owned()).or_insert_with(|| unreachable!("it was just inserted"))
    }

    /// Adds a regular file of mode 644, in place of what was there.
    pub fn file(&mut self, path: &str, content: impl AsRef<[u8]>) -> &mut Node {
        self.node(path, Kind::File(content.as_ref().to_vec()), 0o644)
    }

    /// Adds a directory of mode 755.
    pub fn dir(&mut self, path: &str) -> &mut Node {
        self.node(path, Kind::Dir, 0o755)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Node {
        self.node(path, Kind::Symlink(target.to_owned()), 0o777)
    }

    /// How many regular files there are, and the sum of their sizes in bytes.
    pub fn size(&self) -> (usize, usize) {
        let sizes = self.nodes.values().filter_map(|node| match &node.kind {
            Kind::File(content) => Some(content.len()),
            _ => None,
        });
        sizes.fold((0, 0), |(count, total), size| (count + 1, total + size))
    }

    /// Makes the tree below `root`, which is created where it does not exist. Everything belongs to the caller.
    ///
    /// # Errors
    /// When the file system refuses something, such as an extended attribute.
    pub fn write_to(&self, root: &Path) -> Result<()> {
        std::fs::create_dir_all(root)?;
        for (path, node) in &self.nodes {
            let full = root.join(path);
            node.create(&full).with_context(|| format!("making {path}"))?;
        }
        // Modes of directories last and from the inside out: one of them may forbid writing into it.
        for (path, node) in self.nodes.iter().rev().filter(|(_, node)| node.kind == Kind::Dir) {
            let mode = std::fs::Permissions::from_mode(node.mode);
            std::fs::set_permissions(root.join(path), mode).with_context(|| format!("mode of {path}"))?;
        }
        Ok(())
    }
}

impl Node {
    fn create(&self, full: &Path) -> Result<()> {
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match &self.kind {
            Kind::Dir => std::fs::create_dir_all(full)?,
            Kind::Symlink(target) => symlink(target, full)?,
            Kind::File(content) => std::fs::write(full, content)?,
        }
        for (name, value) in &self.xattrs {
            rustix::fs::lsetxattr(full, name.as_str(), value, rustix::fs::XattrFlags::empty())?;
        }
        if matches!(self.kind, Kind::File(_)) {
            std::fs::set_permissions(full, std::fs::Permissions::from_mode(self.mode))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_arrives_on_disk_as_specified() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.file("a/program", "x").mode(0o4711);
        tree.dir("a/locked").mode(0o500);
        tree.symlink("a/nowhere", "/does/not/exist");
        tree.write_to(folder.path()).unwrap();
        let mode =
            |path: &str| folder.path().join(path).symlink_metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/program"), mode("a/locked")), (0o755, 0o4711, 0o500));
        assert_eq!(folder.path().join("a/nowhere").read_link().unwrap(), Path::new("/does/not/exist"));
        assert_eq!(tree.size(), (1, 1));
    }
}
