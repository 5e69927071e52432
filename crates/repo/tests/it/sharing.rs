//! Files that share their blocks, on filesystems that can: btrfs and xfs in loop-mounted images.

use crate::commit_fixture::{Lab, branch, on, open};
use sapwood_fsio as fsio;
use sapwood_objstore::{Format, LinkPolicy, Mode};
use sapwood_repo::{
    Checkout, CheckoutOptions, CreateOptions, Expected, FsckOptions, ImportOptions, Ownership, PruneOptions,
    RefEdit, Repo,
};
use sapwood_testkit::skipped;
use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: usize = 8 << 20;

/// A mounted image, unmounted when it goes.
struct Mounted<'a> {
    lab: &'a Lab,
    at: PathBuf,
}

impl<'a> Mounted<'a> {
    /// `None` where this is not allowed, or the tools are missing.
    fn new(lab: &'a Lab, filesystem: &str) -> Option<Self> {
        let (image, at) = (lab.path(&format!("{filesystem}.img")), lab.path(filesystem));
        std::fs::create_dir(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let run = |program: &str, args: &[&str]| {
            let done = Command::new(program).args(args).output();
            done.is_ok_and(|output| output.status.success())
        };
        let (image, target) = (image.to_str()?, at.to_str()?);
        if !run(&format!("mkfs.{filesystem}"), &["-q", image])
            || !run("mount", &["-o", "loop", image, target])
        {
            return None;
        }
        Some(Self { lab, at })
    }

    fn repo(&self, name: &str, format: Format, mode: Mode) -> Repo {
        let path = self.at.join(name);
        std::fs::create_dir(&path).unwrap();
        Repo::create(&open(&path), &CreateOptions { format, mode, collection_id: None }).unwrap()
    }

    /// Bytes that are free once all is written.
    fn free(&self) -> u64 {
        let dir = open(&self.at);
        fsio::syncfs(&dir).unwrap();
        fsio::free_space(&dir).unwrap().free_bytes
    }

    /// Writes a tree with one large file beside the mounted image, and gives it.
    fn tree(&self, mode: u32) -> fsio::Dir {
        let tree = self.lab.dir("tree");
        let content: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n * 31 / 7 % 251).unwrap()).collect();
        fsio::replace(&tree, "large", mode, &content).unwrap();
        tree
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Shards of repositories may be open still: it goes when they are closed.
        drop(Command::new("umount").arg("--lazy").arg(&self.at).status());
    }
}

fn on_each(test: impl Fn(&Mounted<'_>)) {
    for filesystem in ["btrfs", "xfs"] {
        let lab = Lab::new();
        let Some(mounted) = Mounted::new(&lab, filesystem) else {
            return skipped("only root mounts images, and mkfs.btrfs and mkfs.xfs have to be installed");
        };
        test(&mounted);
    }
}

#[test]
fn what_cannot_be_hardlinked_shares_its_blocks() {
    on_each(|mounted| {
        let dir = mounted.tree(0o640);
        for (mode, ownership, links) in [
            (Mode::Bare, Ownership::Full, LinkPolicy::Copy),
            (Mode::Bare, Ownership::User, LinkPolicy::Prefer),
            (Mode::BareUser, Ownership::Full, LinkPolicy::Prefer),
        ] {
            let name = format!("{mode:?}-{ownership:?}");
            let repo = mounted.repo(&name, Format::Ostree, mode);
            let outcome = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
            let before = mounted.free();
            let from = Checkout { root: outcome.tree.root, subpath: None };
            let options = CheckoutOptions { ownership, links, ..CheckoutOptions::default() };
            let to = format!("{name}-out");
            let stats = repo.checkout(&from, &open(&mounted.at), Path::new(&to), &options, &|_| ()).unwrap();
            assert_eq!((stats.linked, stats.reflinked, stats.copied), (0, 1, 0), "{name}");
            let taken = before.saturating_sub(mounted.free());
            assert!(taken < SIZE as u64 / 4, "{name}: {taken} bytes");
            let file = std::fs::read(mounted.at.join(&to).join("large")).unwrap();
            assert!(file == std::fs::read(mounted.lab.path("tree/large")).unwrap(), "{name}");
        }
    });
}

#[test]
fn files_with_the_same_content_share_it_where_payload_links_are_on() {
    on_each(|mounted| {
        for (format, mode) in [(Format::Ostree, Mode::Bare), (Format::Native, Mode::BareUser)] {
            let name = format!("{mode:?}");
            let mut repo = mounted.repo(&name, format, mode);
            repo.edit_config(|file| _ = file.set("core", "payload-link-threshold", "4096")).unwrap();
            let commit = |repo: &Repo, mode| {
                let dir = mounted.tree(mode);
                repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap().commit
            };
            commit(&repo, 0o600);
            let before = mounted.free();
            commit(&repo, 0o644);
            let taken = before.saturating_sub(mounted.free());
            assert!(taken < SIZE as u64 / 4, "{name}: {taken} bytes");
            assert!(repo.fsck(&FsckOptions::default(), &|_| ()).unwrap().findings.is_empty());
            assert_eq!(payload_links(&mounted.at.join(&name)).len(), 1);

            // A link that leads to other content is not believed, and one that leads nowhere goes with a prune.
            let link = payload_links(&mounted.at.join(&name)).remove(0);
            let small = mounted.lab.dir("small");
            fsio::replace(&small, "f", 0o600, &[1; 100]).unwrap();
            let small = repo.commit_dir(&small, &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
            let sapwood_repo::Node::File(wrong) =
                repo.lookup(small.tree.root, &sapwood_repo::TreePath::parse("f").unwrap()).unwrap()
            else {
                panic!("a file")
            };
            let hex = wrong.id.to_hex();
            std::fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(format!("../{}/{}.file", &hex[..2], &hex[2..]), &link).unwrap();
            commit(&repo, 0o666);
            assert!(repo.fsck(&FsckOptions::default(), &|_| ()).unwrap().findings.is_empty());
            repo.edit_refs(vec![RefEdit::Delete { name: branch("main"), expected: Expected::Any }]).unwrap();
            let options = PruneOptions { refs_only: true, ..PruneOptions::default() };
            repo.plan_prune(&options, &|_| ()).unwrap().apply(&|_| ()).unwrap();
            assert_eq!(payload_links(&mounted.at.join(&name)).len(), 0);
        }
    });
}

fn payload_links(repo: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(repo.join("objects")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let links = files.map(|file| file.unwrap().path());
    links.filter(|path| path.to_string_lossy().ends_with(".payload-link")).collect()
}
