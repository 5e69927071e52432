//! What the tests of commit and checkout share: a folder with trees and repositories, and snapshots of trees.

use sapwood_fsio::Dir;
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{CommitOptions, CreateOptions, RefName, Refspec, Repo};
use sapwood_testkit::{Ostree, Tree};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

pub(crate) const MODES: [Mode; 4] = [Mode::Bare, Mode::BareUser, Mode::BareUserOnly, Mode::Archive];
pub(crate) const FORMATS: [Format; 2] = [Format::Native, Format::Ostree];

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that goes away with it.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// In memory where there is a file system with attributes there: for tests that sync some hundred times.
    pub(crate) fn in_memory() -> Self {
        let has_attributes = |folder: &tempfile::TempDir| {
            sapwood_fsio::xattr::set_of(
                &open(Path::new("/dev/shm")),
                folder.path().file_name()?,
                b"user.probe",
                b"1",
            )
            .ok()
        };
        match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) if has_attributes(&folder).is_some() => Self { folder },
            _ => Self::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The directory of that name, made where it does not exist.
    pub(crate) fn dir(&self, name: &str) -> Dir {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        open(&path)
    }

    /// Makes a tree on disk.
    pub(crate) fn tree(&self, name: &str, tree: &Tree) -> Dir {
        tree.write_to(&self.path(name)).unwrap();
        open(&self.path(name))
    }

    pub(crate) fn repo(&self, name: &str, format: Format, mode: Mode) -> Repo {
        Repo::create(&self.dir(name), &CreateOptions { format, mode, collection_id: None }).unwrap()
    }

    /// A repository made by the real program.
    pub(crate) fn real_repo(&self, name: &str, ostree: &Ostree, mode: Mode) {
        let mode = mode.as_str().trim_end_matches("-z2").to_owned();
        ostree.run(self.args(name, &["init", &format!("--mode={mode}")])).unwrap();
    }

    /// Arguments of the real program for a repository here.
    pub(crate) fn args(&self, repo: &str, args: &[&str]) -> Vec<String> {
        let mut all = vec![format!("--repo={}", self.path(repo).display())];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        all
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Directories of the trees may be read-only for an ordinary user.
        drop(sapwood_fsio::remove_tree(&open(Path::new("/")), self.folder.path().strip_prefix("/").unwrap()));
    }
}

pub(crate) fn open(path: &Path) -> Dir {
    Dir::from_std_file(File::open(path).unwrap())
}

pub(crate) fn branch(name: &str) -> Refspec {
    Refspec::local(RefName::new(name).unwrap())
}

/// Options of a commit that is the same whenever it is made.
pub(crate) fn on(name: &str) -> CommitOptions {
    CommitOptions { branch: Some(branch(name)), timestamp: Some(1_700_000_000), ..CommitOptions::default() }
}

/// A tree with one of everything that both formats and everyone's file system can hold.
pub(crate) fn rich_tree() -> Tree {
    let mut tree = Tree::default();
    tree.file("a.txt", "hello\n");
    tree.file("empty", "");
    tree.file("usr/bin/su", vec![7; 100_000]).mode(0o4755);
    tree.file("usr/bin/wall", "#!/bin/sh\n").mode(0o2755);
    tree.file("usr/bin/empty-setuid", "").mode(0o4711);
    tree.file("usr/lib/large", (0..3_000_000_u32).map(|n| (n / 7 % 251) as u8).collect::<Vec<_>>());
    tree.file("shared", "for all").mode(0o666);
    tree.file("with-attributes", "x").xattr("user.one", b"1").xattr("user.a-first", b"\0binary\xff");
    tree.file("empty-attribute", "x").xattr("user.empty", b"").xattr("user.full", b"1");
    tree.file("private", "secret").mode(0o400);
    tree.file(&format!("long/{}", "n".repeat(255)), "long name");
    tree.file("日本語/ä ö\nü/'quoted\"", "not ASCII");
    tree.symlink("lnk", "a.txt");
    tree.symlink("dangling", "nowhere/at all");
    tree.symlink("usr/absolute", "/etc/passwd");
    tree.symlink("escape", "../../../../..");
    tree.dir("void");
    tree.dir("tmp").mode(0o1777);
    tree.dir("group").mode(0o2775);
    tree.dir("attributed").xattr("user.dir", b"yes");
    tree.dir("closed").mode(0o700);
    tree
}

/// What only root can make: foreign owners, and files that not even their owner can read.
pub(crate) fn make_foreign(root: &Path) {
    let own =
        |path: &str, uid, gid| std::os::unix::fs::lchown(root.join(path), Some(uid), Some(gid)).unwrap();
    let mode = |path: &str, mode| {
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    own("shared", 12, 34);
    own("lnk", 5, 6);
    own("group", 0, 100);
    own("usr/bin/su", 0, 8);
    mode("usr/bin/su", 0o4755);
    mode("private", 0);
    mode("closed", 0);
}

/// What is seen of one path. Times of files that are made anew differ between two checkouts, so they are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) content: Vec<u8>,
    pub(crate) rdev: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) dir_mtime: Option<i64>,
}

pub(crate) type Snapshot = BTreeMap<PathBuf, Seen>;

/// Everything below a directory, and itself as the empty path.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    look(root, Path::new(""), &mut all);
    all
}

fn look(root: &Path, path: &Path, all: &mut Snapshot) {
    let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) };
    let meta = full.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let content = if kind.is_symlink() {
        full.read_link().unwrap().into_os_string().into_encoded_bytes()
    } else if kind.is_file() {
        sapwood_fsio::read(&open(full.parent().unwrap()), full.file_name().unwrap(), 1 << 30).unwrap()
    } else {
        Vec::new()
    };
    let xattrs =
        sapwood_fsio::xattr::list_of(&open(full.parent().unwrap()), full.file_name().unwrap()).unwrap();
    all.insert(
        path.to_owned(),
        Seen {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            content,
            rdev: meta.rdev(),
            xattrs,
            dir_mtime: kind.is_dir().then(|| meta.mtime()),
        },
    );
    if kind.is_dir() {
        for entry in std::fs::read_dir(&full).unwrap() {
            look(root, &path.join(entry.unwrap().file_name()), all);
        }
    }
}
