//! The same lines in two places: in one run by the real `ostree`, in the other by ours under its name.

use crate::peer::real;
use crate::place::{Place, Ran};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Two places that are alike.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) ours: Place,
    pub(crate) theirs: Place,
    ostree: Ostree,
}

impl Sides {
    /// Empty ones; `None`, and said so, where there is no real program, or it cannot do here what it does as root.
    pub(crate) fn new() -> Option<Self> {
        let Some(ostree) = Ostree::find() else {
            skipped("no ostree to compare with");
            return None;
        };
        if !rustix::process::geteuid().is_root() {
            skipped("the real ostree deploys as root only");
            return None;
        }
        Some(Self { ours: Place::new(), theirs: Place::new(), ostree })
    }

    /// What a line comes to, ours first.
    pub(crate) fn run(&self, line: &str) -> (Ran, Ran) {
        (self.ours.run_as_ostree(line), real(&self.theirs, &self.ostree, line))
    }

    /// Runs a line of which exit code, output and the beginning of what is said of a failure must be the same.
    pub(crate) fn same(&self, line: &str) -> Ran {
        let (ours, theirs) = self.run(line);
        let said = |ran: &Ran| ran.err.lines().find(|line| line.starts_with("error:")).map(str::to_owned);
        assert_eq!(
            (ours.code, &ours.out),
            (theirs.code, &theirs.out),
            "ostree {line}: {ours:?} / {theirs:?}"
        );
        let (ours_said, theirs_said) = (said(&ours), said(&theirs));
        assert_eq!(ours_said, theirs_said, "ostree {line}");
        ours
    }

    /// Runs a line of which the exit codes must be the same.
    pub(crate) fn same_code(&self, line: &str) -> (Ran, Ran) {
        let (ours, theirs) = self.run(line);
        assert_eq!(ours.code, theirs.code, "ostree {line}: {ours:?} / {theirs:?}");
        (ours, theirs)
    }

    /// Runs a line by the real program alone; it must succeed.
    pub(crate) fn their(&self, line: &str) -> String {
        let ran = real(&self.theirs, &self.ostree, line);
        assert_eq!(ran.code, 0, "ostree {line}: {ran:?}");
        ran.out
    }

    /// Writes a file in both places.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        for place in [&self.ours, &self.theirs] {
            fs::write(place.path(name), content.as_ref()).unwrap();
        }
    }

    /// Writes a tree in both places.
    pub(crate) fn tree(&self, name: &str, tree: &Tree) {
        for place in [&self.ours, &self.theirs] {
            tree.write_to(&place.path(name)).unwrap();
        }
    }

    /// The text of a file, which must be the same; `None` where it is in neither place.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let read = |place: &Place| fs::read_to_string(place.path(name)).ok();
        let ours = read(&self.ours);
        assert_eq!(ours, read(&self.theirs), "{name}");
        ours
    }

    /// The mode of a file, which must be the same.
    pub(crate) fn mode(&self, name: &str) -> u32 {
        let mode = |place: &Place| fs::metadata(place.path(name)).unwrap().permissions().mode();
        assert_eq!(mode(&self.ours), mode(&self.theirs), "{name}");
        mode(&self.ours) & 0o7777
    }

    /// Makes a sysroot `m` with the stateroot `os`, and a repository `srv` whose branches `os` (two commits) and `next` can be
    /// deployed; gives the ids of the three commits, oldest first.
    pub(crate) fn machine(&self) -> [String; 3] {
        for place in [&self.ours, &self.theirs] {
            fs::create_dir(place.path("m")).unwrap();
        }
        self.same("admin init-fs m");
        self.same("admin os-init --sysroot=m os");
        self.same("init --repo=srv --mode=archive");
        let commits = [("one", "os"), ("two", "os"), ("three", "next")].map(|(version, branch)| {
            self.tree(version, &system(version));
            let at = format!("@{}", 1_000 * version.len());
            self.same(&format!(
                "commit --repo=srv -b {branch} --timestamp={at} --add-metadata-string=version={version} --owner-uid=0 \
                 --owner-gid=0 --tree=dir={version}"
            ))
            .out
            .trim()
            .to_owned()
        });
        self.same("summary --repo=srv -u");
        commits
    }
}

/// A tree that can be deployed, and no more.
fn system(version: &str) -> Tree {
    let mut tree = Tree::default();
    tree.file("usr/lib/modules/6.1/vmlinuz", format!("kernel {version}"));
    tree.file("usr/lib/modules/6.1/initramfs.img", "initramfs");
    tree.file("usr/lib/os-release", format!("ID=test\nVERSION={version}\nPRETTY_NAME=\"Test {version}\"\n"));
    tree.file("usr/etc/issue", version);
    for dir in ["boot", "dev", "proc", "run", "sys", "sysroot", "tmp", "var"] {
        tree.dir(dir);
    }
    tree.symlink("ostree", "sysroot/ostree");
    tree
}
