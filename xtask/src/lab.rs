//! A build server, a web server and a machine in one folder, driven by the real program: what `demo` and `torture` share.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sapwood_testkit::{Release, os_tree};

use crate::entries::Entry;
use crate::sh;

/// The name of the operating system on the machine.
pub(crate) const OS: &str = "example";
/// The branch that the machine follows.
pub(crate) const BRANCH: &str = "example/x86_64/main";
/// The build server's repository.
pub(crate) const SERVER: &str = "build/repo";
/// The root of the machine's disk.
pub(crate) const MACHINE: &str = "machine";
/// The machine's repository.
pub(crate) const MACHINE_REPO: &str = "machine/ostree/repo";

/// The repository format that the story is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Sapwood's own.
    Native,
    /// OSTree's.
    Ostree,
}

impl Format {
    fn name(self) -> &'static str {
        if self == Self::Native { "native" } else { "ostree" }
    }
}

/// Where everything is, and how the program is called.
#[derive(Debug)]
pub(crate) struct Lab {
    sapwood: PathBuf,
    /// The folder that holds everything; commands run in it, so that their lines are short.
    pub(crate) folder: PathBuf,
    format: Format,
    /// Root keeps owners and extended attributes; others make everything their own.
    root: bool,
}

impl Lab {
    /// A lab in an existing folder.
    pub(crate) fn new(sapwood: PathBuf, folder: PathBuf, format: Format) -> Self {
        Self { sapwood, folder, format, root: rustix::process::geteuid().is_root() }
    }

    /// The program.
    pub(crate) fn sapwood(&self) -> &Path {
        &self.sapwood
    }

    /// Runs in the folder, free of the caller's settings.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.sapwood);
        command.args(words).current_dir(&self.folder);
        for name in
            ["OSTREE_REPO", "OSTREE_SYSROOT", "RUST_BACKTRACE", "http_proxy", "all_proxy", "ALL_PROXY"]
        {
            command.env_remove(name);
        }
        command
    }

    /// `init` of the build server's repository.
    pub(crate) fn init_server(&self) -> Result<Command> {
        std::fs::create_dir_all(self.folder.join("build"))?;
        let format = format!("--format={}", self.format.name());
        Ok(self.command(&["init", &repo(SERVER), "--mode=archive", &format]))
    }

    /// `commit` of a tree as a version of the operating system.
    pub(crate) fn commit(&self, tree: &Path, version: &str) -> Command {
        let tree = format!("--tree=dir={}", tree.strip_prefix(&self.folder).unwrap_or(tree).display());
        let mut command = self.command(&["commit", &repo(SERVER), "--branch", BRANCH, "--subject"]);
        command.arg(format!("Version {version}")).arg(format!("--add-metadata-string=version={version}"));
        if !self.root {
            command.arg("--canonical-permissions");
        }
        command.arg(tree);
        command
    }

    /// `admin init-fs`: the machine's empty disk.
    pub(crate) fn init_machine(&self) -> Result<Command> {
        std::fs::create_dir_all(self.folder.join(MACHINE))?;
        let format = format!("--format={}", self.format.name());
        let mut command = self.command(&["admin", "init-fs", &format]);
        if !self.root {
            command.arg("--mode=bare-user-only");
        }
        command.arg(MACHINE);
        Ok(command)
    }

    /// An `admin` command on the machine.
    pub(crate) fn admin(&self, words: &[&str]) -> Command {
        let mut command = self.command(&["admin"]);
        let (verb, rest) = words.split_first().unwrap_or((&"", &[]));
        command.arg(verb).arg(format!("--sysroot={MACHINE}")).args(rest);
        command
    }

    /// `remote add` on the machine.
    pub(crate) fn add_remote(&self, url: &str) -> Command {
        self.command(&["remote", "add", &repo(MACHINE_REPO), "--no-gpg-verify", "origin", url])
    }

    /// `pull` on the machine.
    pub(crate) fn pull(&self) -> Command {
        self.command(&["pull", &repo(MACHINE_REPO), "origin", BRANCH])
    }

    /// The first `admin deploy`.
    pub(crate) fn deploy(&self) -> Command {
        self.admin(&[
            "deploy",
            &format!("--os={OS}"),
            "--karg=root=LABEL=root",
            "--karg=ro",
            &format!("origin:{BRANCH}"),
        ])
    }

    /// `admin upgrade`.
    pub(crate) fn upgrade(&self) -> Command {
        self.admin(&["upgrade", &format!("--os={OS}")])
    }

    /// `fsck` of a repository.
    pub(crate) fn fsck(&self, at: &str) -> Command {
        self.command(&["fsck", &repo(at)])
    }

    /// The deployments that boot, the default first, each as `COMMIT.SERIAL`: read from the boot entries themselves.
    pub(crate) fn boots(&self) -> Result<Vec<String>> {
        let machine = self.folder.join(MACHINE);
        let boot = machine.join("boot");
        let mut names = Vec::new();
        for entry in Entry::read_all(&boot)? {
            let link = entry.link()?;
            let root = machine.join(link).canonicalize().with_context(|| link.to_owned())?;
            ensure!(root.join("usr/lib/os-release").exists(), "{} is no system", root.display());
            for file in entry.files(&boot) {
                ensure!(file.exists(), "{} does not exist", file.display());
            }
            let name = root.file_name().context("a deployment without a name")?;
            names.push(name.to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// The root directory of a deployment.
    pub(crate) fn deployment(&self, name: &str) -> PathBuf {
        self.folder.join(MACHINE).join("ostree/deploy").join(OS).join("deploy").join(name)
    }
}

impl Drop for Lab {
    /// Takes the immutable flag off the deployments, so that the folder can be removed like any other.
    fn drop(&mut self) {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

        let deployments = self.folder.join(MACHINE).join("ostree/deploy").join(OS).join("deploy");
        for entry in std::fs::read_dir(deployments).into_iter().flatten().flatten() {
            if let Ok(folder) = std::fs::File::open(entry.path())
                && let Ok(flags) = ioctl_getflags(&folder)
                && flags.contains(IFlags::IMMUTABLE)
            {
                // Where it does not work, removing the folder says so.
                let _tried = ioctl_setflags(&folder, flags - IFlags::IMMUTABLE);
            }
        }
    }
}

/// `--repo=…`, relative to the lab's folder.
pub(crate) fn repo(path: &str) -> String {
    format!("--repo={path}")
}

/// The two versions of the operating system that the story is about.
#[derive(Debug)]
pub(crate) struct Versions {
    /// The trees, old and new.
    pub(crate) trees: [PathBuf; 2],
    /// What each is called.
    pub(crate) names: [String; 2],
}

impl Versions {
    /// The small system that comes with the tests, written into the folder.
    pub(crate) fn built_in(folder: &Path) -> Result<Self> {
        let trees = [folder.join("build/v1"), folder.join("build/v2")];
        let releases = [Release::One, Release::Two];
        for (tree, release) in trees.iter().zip(releases) {
            os_tree(release).write_to(tree)?;
        }
        Ok(Self { trees, names: releases.map(|release| release.version().to_owned()) })
    }

    /// Trees that exist; of one alone a second version is made in the folder.
    pub(crate) fn given(paths: &[PathBuf], folder: &Path) -> Result<Self> {
        let absolute =
            |path: &PathBuf| path.canonicalize().with_context(|| format!("--tree {}", path.display()));
        let trees = match paths {
            [one] => {
                let old = absolute(one)?;
                let new = folder.join("build/v2");
                make_successor(&old, &new)?;
                [old, new]
            }
            [old, new] => [absolute(old)?, absolute(new)?],
            _ => anyhow::bail!("--tree takes one or two directories"),
        };
        Ok(Self { trees, names: ["1".to_owned(), "2".to_owned()] })
    }
}

/// A copy of the tree in which every hundredth file of `/usr` and two files of `/usr/etc` changed.
fn make_successor(old: &Path, new: &Path) -> Result<()> {
    std::fs::create_dir_all(new.parent().unwrap_or(new))?;
    sh::output(Command::new("cp").arg("-a").arg("--reflink=auto").arg(old).arg(new))?;
    let touch = |path: &Path| -> Result<()> {
        let mut content = std::fs::read(path)?;
        content.extend_from_slice(b"\n# version 2\n");
        // In place: mode, owner and extended attributes stay.
        Ok(std::fs::write(path, content)?)
    };
    let usr = regular_files(&new.join("usr"))?;
    for (path, _) in usr.iter().filter(|(path, _)| !path.starts_with("etc/")).step_by(100) {
        touch(&new.join("usr").join(path))?;
    }
    for (path, _) in usr.iter().filter(|(path, size)| path.starts_with("etc/") && **size > 0).take(2) {
        touch(&new.join("usr").join(path))?;
    }
    Ok(())
}

/// The regular files below a folder by relative path, with their sizes. Names that are not UTF-8 are left out.
pub(crate) fn regular_files(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))? {
            let entry = entry?;
            let metadata = entry.path().symlink_metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file()
                && let Some(path) = entry.path().strip_prefix(folder).ok().and_then(Path::to_str)
            {
                files.insert(path.to_owned(), metadata.len());
            }
        }
    }
    Ok(files)
}

/// Bytes that a folder takes on disk, each inode counted once however many names it has.
pub(crate) fn disk_usage(folder: &Path) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))? {
            let entry = entry?;
            let metadata = entry.path().symlink_metadata()?;
            if seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.blocks() * 512;
            }
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(bytes)
}
