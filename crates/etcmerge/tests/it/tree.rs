//! Small trees for tests: as a value, on disk, and as a snapshot.

use sapwood_etcmerge::{Entry, EntryKind, Snapshot};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File { mode: u32, content: String },
    Link(String),
    Fifo,
    Dir(Tree),
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) mode: u32,
    pub(crate) nodes: BTreeMap<String, Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { mode: 0o755, nodes: BTreeMap::new() }
    }
}

impl Tree {
    /// From lines such as `path file text`, `path file:600 text`, `path link target`, `path fifo`, `path dir:700`.
    pub(crate) fn parse(lines: &[&str]) -> Self {
        let mut tree = Self::default();
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let path = words.next().unwrap_or_default();
            let mut kind = words.next().unwrap_or("file").split(':');
            let text = words.next().unwrap_or_default().to_owned();
            let name = kind.next().unwrap_or_default();
            let mode = kind.next().map(|octal| u32::from_str_radix(octal, 8).expect("octal"));
            if path == "." {
                tree.mode = mode.unwrap_or(0o755);
                continue;
            }
            let node = match name {
                "file" => Node::File { mode: mode.unwrap_or(0o644), content: text },
                "link" => Node::Link(text),
                "fifo" => Node::Fifo,
                "dir" => Node::Dir(Self { mode: mode.unwrap_or(0o755), nodes: BTreeMap::new() }),
                other => panic!("no kind {other:?}"),
            };
            let parts: Vec<_> = path.split('/').collect();
            tree.set(&parts, Some(node));
        }
        tree
    }

    /// Puts something, or nothing, at a path; what is in the way becomes a directory.
    pub(crate) fn set(&mut self, path: &[&str], node: Option<Node>) {
        let [name, rest @ ..] = path else { return };
        if rest.is_empty() {
            match node {
                Some(node) => self.nodes.insert((*name).to_owned(), node),
                None => self.nodes.remove(*name),
            };
            return;
        }
        let inner = self.nodes.entry((*name).to_owned()).or_insert_with(|| Node::Dir(Self::default()));
        if !matches!(inner, Node::Dir(_)) {
            if node.is_none() {
                return;
            }
            *inner = Node::Dir(Self::default());
        }
        if let Node::Dir(inner) = inner {
            inner.set(rest, node);
        }
    }

    /// Writes it into an empty directory.
    pub(crate) fn write(&self, dir: &Dir) -> fsio::Result<()> {
        for (name, node) in &self.nodes {
            match node {
                Node::File { mode, content } => {
                    // Not by `replace`: syncing thousands of files takes its time.
                    let mut staged = fsio::Staged::create_named(dir, name)?;
                    fsio::At::at(staged.write_all(content.as_bytes()), "write", name)?;
                    fsio::set_mode(staged.file(), *mode)?;
                    staged.keep()?;
                }
                Node::Link(target) => fsio::symlink(target, dir, name)?,
                Node::Fifo => fsio::make_node(dir, name, Kind::Fifo, 0o600, 0)?,
                Node::Dir(tree) => tree.write(&fsio::create_dir(dir, name, 0o755)?)?,
            }
        }
        fsio::set_mode(dir, self.mode)
    }

    /// What is in a directory.
    pub(crate) fn read(dir: &Dir) -> fsio::Result<Self> {
        let mut tree = Self { mode: fsio::stat_dir(dir)?.mode, nodes: BTreeMap::new() };
        for entry in fsio::entries(dir)? {
            let node = match entry.kind {
                Kind::Dir => Node::Dir(Self::read(&fsio::open_dir(dir, &entry.name)?)?),
                Kind::Symlink => Node::Link(text(fsio::read_link(dir, &entry.name)?)),
                Kind::File => Node::File {
                    mode: fsio::stat(dir, &entry.name)?.mode,
                    content: text(fsio::read(dir, &entry.name, 1 << 20)?),
                },
                _ => Node::Fifo,
            };
            tree.nodes.insert(entry.name.to_string_lossy().into_owned(), node);
        }
        Ok(tree)
    }

    /// As `scan` would see it if root owned it; the digests are as good as those, but others.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut entries = BTreeMap::new();
        entries.insert(PathBuf::new(), entry(EntryKind::Dir, self.mode));
        self.collect(Path::new(""), &mut entries);
        Snapshot(entries)
    }

    fn collect(&self, at: &Path, entries: &mut BTreeMap<PathBuf, Entry>) {
        for (name, node) in &self.nodes {
            let path = at.join(name);
            let found = match node {
                Node::File { mode, content } => {
                    let mut digest = [0; 32];
                    let content = content.as_bytes();
                    digest[..content.len().min(32)].copy_from_slice(&content[..content.len().min(32)]);
                    entry(EntryKind::File { size: content.len() as u64, digest }, *mode)
                }
                Node::Link(target) => entry(EntryKind::Symlink { target: target.into() }, 0),
                Node::Fifo => entry(EntryKind::Other(Kind::Fifo), 0o600),
                Node::Dir(tree) => {
                    tree.collect(&path, entries);
                    entry(EntryKind::Dir, tree.mode)
                }
            };
            entries.insert(path, found);
        }
    }
}

fn entry(kind: EntryKind, mode: u32) -> Entry {
    Entry { kind, mode, uid: 0, gid: 0, xattrs: Vec::new() }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the tests write text")
}
