//! A sysroot with a repository, and a tiny operating system in several versions.

use sapwood_deploy::{DeployEvent, DeployOptions, Deployed, InitOptions, Result, StaterootName, Sysroot};
use sapwood_fsio::lock::Wait;
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Commit, Id, Metadata, Value};
use sapwood_repo::{CommitOptions, ImportOptions, Parent, RefName, Refspec, Repo};
use sapwood_testkit::Tree;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) const REF: &str = "os/main";
/// A process that another test starts inherits our locks until it is the other program.
pub(crate) const WAIT: Wait = Wait::For(std::time::Duration::from_mins(1));

/// Opens an absolute path.
pub(crate) fn dir(path: &Path) -> Dir {
    Dir::from_std_file(std::fs::File::open(path).unwrap())
}

pub(crate) fn os() -> StaterootName {
    StaterootName::new("os").unwrap()
}

/// The operating system in version `number`; `kernel` is the content of its kernel.
pub(crate) fn tree(number: u64, kernel: &str) -> Tree {
    let mut tree = Tree::default();
    tree.file("usr/lib/modules/6.1.0/vmlinuz", kernel);
    tree.file("usr/lib/modules/6.1.0/initramfs.img", "initrd");
    tree.file("usr/lib/os-release", format!("NAME=Tiny\nPRETTY_NAME=\"Tiny OS\"\nVERSION_ID={number}\n"));
    tree.file("usr/bin/tool", format!("tool {number}")).mode(0o755);
    tree.file(&format!("usr/bin/only-in-{number}"), "x").mode(0o755);
    tree.symlink("bin", "usr/bin");
    tree.file("usr/etc/changed-by-both", format!("default {number}\n"));
    tree.file("usr/etc/untouched", format!("default {number}\n"));
    tree.file("usr/etc/sub/kept", "default\n").mode(0o600);
    tree.file("usr/etc/sub/deleted", "default\n");
    for empty in ["sysroot", "boot", "proc", "tmp"] {
        tree.dir(empty);
    }
    tree.symlink("ostree", "sysroot/ostree");
    tree
}

pub(crate) struct Machine {
    temporary: tempfile::TempDir,
    /// Its `/boot` is a filesystem of its own, in a file.
    boot: Option<PathBuf>,
}

impl Machine {
    /// An initialised sysroot with the stateroot `os`.
    pub(crate) fn new(options: &InitOptions) -> Self {
        let machine = Self::empty();
        Sysroot::init_fs(&machine.dir(), options).unwrap();
        machine.open().lock(WAIT).unwrap().init_stateroot(&os()).unwrap();
        machine
    }

    pub(crate) fn empty() -> Self {
        // Where syncing costs nothing, if there is such a place: the crash tests sync thousands of times.
        let temporary = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fsio::create_dir(&dir(temporary.path()), "sysroot", 0o755).unwrap();
        Self { temporary, boot: None }
    }

    /// The same again; hardlinks within it stay hardlinks.
    pub(crate) fn copy(&self) -> Self {
        let temporary = tempfile::tempdir_in(self.temporary.path().parent().unwrap()).unwrap();
        let mut cp = std::process::Command::new("cp");
        assert!(cp.arg("-ax").arg(self.path()).arg(temporary.path()).status().unwrap().success());
        let mut copy = Self { temporary, boot: None };
        if let Some(boot) = &self.boot {
            fsio::syncfs(&fsio::open_dir(&self.dir(), "boot").unwrap()).unwrap();
            let image = copy.temporary.path().join("boot.img");
            let mut cp = std::process::Command::new("cp");
            assert!(cp.arg(boot).arg(&image).status().unwrap().success());
            assert!(copy.mount_boot(image), "mounting a copy");
        }
        copy
    }

    /// Gives it a new FAT filesystem as its `/boot`. Says whether that can be done, which takes root and `mkfs.vfat`.
    pub(crate) fn boot_from_fat(&mut self) -> bool {
        let image = self.temporary.path().join("boot.img");
        std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let mkfs = std::process::Command::new("mkfs.vfat").arg(&image).output();
        mkfs.is_ok_and(|made| made.status.success()) && self.mount_boot(image)
    }

    fn mount_boot(&mut self, image: PathBuf) -> bool {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "vfat", "-o", "loop"]).arg(&image).arg(self.path().join("boot"));
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        self.boot = mounted.then_some(image);
        mounted
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.temporary.path().join("sysroot")
    }

    pub(crate) fn dir(&self) -> Dir {
        dir(&self.path())
    }

    pub(crate) fn open(&self) -> Sysroot {
        Sysroot::open(&self.dir()).unwrap()
    }

    /// Commits a tree to the ref; its time and version come from `number`.
    pub(crate) fn commit(&self, number: u64, tree: &Tree) -> Id<Commit> {
        self.commit_to(REF, number, tree)
    }

    pub(crate) fn commit_to(&self, branch: &str, number: u64, tree: &Tree) -> Id<Commit> {
        self.commit_with(&ImportOptions::default(), branch, number, tree)
    }

    /// Commits a tree as if all of it belonged to the user `uid`.
    pub(crate) fn commit_as(&self, uid: u32, number: u64, tree: &Tree) -> Id<Commit> {
        let mut import = ImportOptions::default();
        import.modifiers.owner_uid = Some(uid);
        import.modifiers.owner_gid = Some(uid);
        self.commit_with(&import, REF, number, tree)
    }

    /// Commits an empty tree that says that the branch ended, and what goes on with it.
    pub(crate) fn commit_ending(&self, branch: &str, number: u64, rebase: &str) -> Id<Commit> {
        let mut metadata = Metadata::default();
        metadata.set("ostree.endoflife", Value::Str("enough".to_owned()));
        metadata.set("ostree.endoflife-rebase", Value::Str(rebase.to_owned()));
        self.commit_saying(metadata, &ImportOptions::default(), branch, number, &Tree::default())
    }

    fn commit_with(&self, import: &ImportOptions, branch: &str, number: u64, tree: &Tree) -> Id<Commit> {
        self.commit_saying(Metadata::default(), import, branch, number, tree)
    }

    fn commit_saying(
        &self,
        mut metadata: Metadata,
        import: &ImportOptions,
        branch: &str,
        number: u64,
        tree: &Tree,
    ) -> Id<Commit> {
        let from = tempfile::tempdir().unwrap();
        tree.write_to(from.path()).unwrap();
        metadata.set("version", Value::Str(format!("{number}.0")));
        let options = CommitOptions {
            branch: Some(Refspec::local(RefName::new(branch).unwrap())),
            parent: Parent::None,
            timestamp: Some(1_700_000_000 + number),
            metadata,
            ..CommitOptions::default()
        };
        self.repo().commit_dir(&dir(from.path()), import, &options, &|_| {}).unwrap().commit
    }

    pub(crate) fn repo(&self) -> Repo {
        Repo::open(&fsio::open_dir(&self.dir(), "ostree/repo").unwrap()).unwrap()
    }

    /// Deploys to the stateroot `os`, and ignores progress.
    pub(crate) fn deploy(&self, commit: Id<Commit>, options: &DeployOptions) -> Result<Deployed> {
        self.open().lock(WAIT)?.deploy(&os(), commit, options, &|_: DeployEvent<'_>| {})
    }

    /// The versions that boot, in order, from the titles of the entries.
    pub(crate) fn boots(&self) -> Vec<String> {
        self.open().deployments().unwrap().iter().map(|d| d.entry.get("title").unwrap().to_owned()).collect()
    }

    /// The content of a file in the deployment at `index`.
    pub(crate) fn read(&self, index: usize, path: &str) -> Option<String> {
        let deployment = self.open().deployments().unwrap()[index].path();
        let bytes = fsio::read_optional(&self.dir(), format!("{deployment}/{path}"), 1 << 20).unwrap()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    pub(crate) fn write(&self, index: usize, path: &str, content: &str) {
        let deployment = self.open().deployments().unwrap()[index].path();
        fsio::replace(&self.dir(), format!("{deployment}/{path}"), 0o644, content.as_bytes()).unwrap();
    }

    pub(crate) fn remove(&self, index: usize, path: &str) {
        let deployment = self.open().deployments().unwrap()[index].path();
        fsio::remove_file(&self.dir(), format!("{deployment}/{path}")).unwrap();
    }

    /// Everything below a path: kind, mode and content.
    pub(crate) fn snapshot(&self, path: &str) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        walk(&fsio::open_dir(&self.dir(), path).unwrap(), Path::new(""), &mut all);
        all
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fsio::stat_optional(&self.dir(), path).unwrap().is_some()
    }
}

fn walk(dir: &Dir, at: &Path, all: &mut BTreeMap<PathBuf, String>) {
    for entry in fsio::entries(dir).unwrap() {
        let path = at.join(&entry.name);
        let mode = fsio::stat(dir, &entry.name).unwrap().mode;
        let what = match entry.kind {
            Kind::File => {
                format!(
                    "{mode:o} {}",
                    String::from_utf8_lossy(&fsio::read(dir, &entry.name, 1 << 20).unwrap())
                )
            }
            Kind::Symlink => {
                format!("-> {}", String::from_utf8_lossy(&fsio::read_link(dir, &entry.name).unwrap()))
            }
            kind => format!("{mode:o} {kind:?}"),
        };
        if entry.kind == Kind::Dir {
            walk(&fsio::open_dir(dir, &entry.name).unwrap(), &path, all);
        }
        all.insert(path, what);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.boot.is_some() {
            drop(std::process::Command::new("umount").arg(self.path().join("boot")).status());
        }
        // Deployments may be immutable, which `TempDir` cannot remove.
        drop(fsio::remove_tree(&dir(self.temporary.path()), "sysroot"));
    }
}
