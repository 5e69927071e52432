//! What cannot fit is not fetched, and what fits comes, on small disks in loop-mounted images too.

use crate::liar::{Answer, Liar};
use crate::world::*;
use sapwood_objstore::{
    DirMeta, DirTree, EntryName, FileEntry, Format, Mode, ObjectId, ObjectKind, Totals, Xattrs,
};
use sapwood_repo::{CreateOptions, DeltaName, DeltaOptions, Expected, RefEdit, Repo, WalkEntry};
use sapwood_testkit::{Tree, skipped};
use sapwood_transport::{Deltas, PullError, PullOptions};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A commit whose one file is said to be larger than any disk.
fn enormous(source: &Place) {
    let honest = source.commit("honest", &small_tree("1"));
    let file = source
        .repo
        .walk(source.repo.root(honest).unwrap())
        .find_map(|entry| match entry.unwrap() {
            WalkEntry::File { entry, .. } => Some(entry.id),
            WalkEntry::Dir { .. } => None,
        })
        .unwrap();
    let mut txn = source.repo.begin().unwrap();
    let objects = txn.objects();
    let meta = objects.put(&DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() }).unwrap();
    let entry = FileEntry { name: EntryName::new("f").unwrap(), id: file, size: Some(1 << 62) };
    let tree = objects.put(&DirTree::new(vec![entry], Vec::new()).unwrap()).unwrap();
    let totals = Totals { files: 1, dirs: 1, bytes: 1 << 62 };
    let target = objects.put(&bare_commit(tree, meta, Some(totals))).unwrap();
    txn.edit_ref(RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target });
    txn.commit().unwrap();
}

#[test]
fn files_that_cannot_fit_are_not_asked_for_and_what_fits_still_comes() {
    let source = Place::new(Format::Native, Mode::Archive);
    enormous(&source);
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let error = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap_err();
    let PullError::Repo(sapwood_repo::Error::Store(sapwood_objstore::Error::NoSpace {
        needed_bytes, ..
    })) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(needed_bytes, 1 << 62);
    assert!(server.delivered().iter().all(|path| !path.contains(".filez")));
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), None);
    assert!(stored(&machine.repo).iter().all(|name| name.kind != ObjectKind::File));
    pull_quietly(&machine.reopen(), http(&server.url), &want("honest")).unwrap();
}

const MIB: u64 = 1 << 20;

/// What keeps the rest of a small disk from being used.
#[derive(Debug, Clone, Copy)]
enum Full {
    /// The reserve, in whole MiB.
    Reserve,
    /// Other files.
    Files,
}

/// A small disk with a repository; it goes with its image.
struct Disk {
    repo: Repo,
    at: PathBuf,
    _temp: tempfile::TempDir,
}

impl Disk {
    /// `None` where images cannot be made or mounted.
    fn new(format: Format) -> Option<Self> {
        let temp = tempfile::tempdir().unwrap();
        let (image, at) = (temp.path().join("image"), temp.path().join("mounted"));
        std::fs::create_dir(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(48 * MIB).unwrap();
        // Without a journal, what is removed is free at once.
        let mkfs = Command::new("mkfs.ext4").args(["-q", "-m0", "-O^has_journal"]).arg(&image).output();
        let mount = || Command::new("mount").args(["-o", "loop"]).args([&image, &at]).output();
        for done in [mkfs, mount()] {
            done.ok().filter(|output| output.status.success())?;
        }
        let options = CreateOptions { format, mode: Mode::BareUser, collection_id: None };
        let repo = Repo::create(&open_dir(&at), &options).unwrap();
        Some(Self { repo, at, _temp: temp })
    }

    /// Leaves at most so many MiB that can be used, and less than one MiB less.
    fn fill(&mut self, left_mib: u64, full: Full) {
        self.repo.edit_config(|file| assert!(file.set("core", "min-free-space-percent", "0"))).unwrap();
        let free = sapwood_fsio::free_space(self.repo.dir()).unwrap().free_bytes;
        let rest = free - left_mib * MIB;
        match full {
            Full::Reserve => {
                let reserve = format!("{}MB", rest.div_ceil(MIB));
                self.repo
                    .edit_config(|file| assert!(file.set("core", "min-free-space-size", &reserve)))
                    .unwrap();
            }
            Full::Files => {
                let filler = vec![1; usize::try_from(rest).unwrap()];
                sapwood_fsio::replace(&open_dir(&self.at), "filler", 0o600, &filler).unwrap();
            }
        }
    }

    /// As a pull that was killed in the middle of a large object, which is wanted no more.
    fn leave_parts(&self, mib: u64) {
        let txn = self.repo.begin().unwrap();
        let name = format!("{}.0", ObjectId::from_bytes([7; 32]));
        let part = vec![7; usize::try_from(mib * MIB).unwrap()];
        sapwood_fsio::replace(&txn.objects().scratch().unwrap(), name, 0o600, &part).unwrap();
    }

    /// Half-done downloads.
    fn parts(&self) -> usize {
        let txn = self.repo.begin().unwrap();
        sapwood_fsio::entries(&txn.objects().scratch().unwrap()).unwrap().len()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Shards may be open still: it goes when they are closed.
        drop(Command::new("umount").arg("--lazy").arg(&self.at).status());
    }
}

fn on_each(format: Format, test: impl Fn(Disk, Full)) {
    for full in [Full::Reserve, Full::Files] {
        let Some(disk) = Disk::new(format) else {
            return skipped("only root mounts images, and mkfs.ext4 has to be installed");
        };
        test(disk, full);
    }
}

/// A tree of files that do not compress, each of another content.
fn large_files(number: usize, len: usize) -> Tree {
    let (mut tree, noise) = (Tree::default(), noise(number * len));
    for (n, content) in noise.chunks(len).enumerate() {
        tree.file(&format!("large/{n}"), content);
    }
    tree
}

#[test]
fn parts_that_a_killed_pull_left_give_way_to_what_another_needs() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &large_files(2, 3 << 19));
    let server = served(source.path());
    on_each(Format::Native, |mut disk, full| {
        disk.fill(8, full);
        disk.leave_parts(5);
        // 3 MiB twice: as they come, and as they are stored.
        pull_quietly(&disk.repo, http(&server.url), &want(BRANCH)).unwrap();
        verified_objects(&disk.repo, commit);
    });
}

#[test]
fn they_give_way_to_what_a_delta_makes() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let old = source.commit(BRANCH, &small_tree("1"));
    let new = source.commit(BRANCH, &large_files(1, 2 << 20));
    source
        .repo
        .generate_delta(&DeltaName { from: Some(old), to: new }, &DeltaOptions::default(), &[])
        .unwrap();
    source.repo.update_summary().unwrap();
    let server = served(source.path());
    on_each(Format::Ostree, |mut disk, full| {
        let before = PullOptions { deltas: Deltas::Never, ..want(&format!("{BRANCH}@{old}")) };
        pull_quietly(&disk.repo, http(&server.url), &before).unwrap();
        disk.fill(6, full);
        disk.leave_parts(4);
        let options = PullOptions { deltas: Deltas::Require, ..want(BRANCH) };
        pull_quietly(&disk.repo, http(&server.url), &options).unwrap();
        verified_objects(&disk.repo, new);
    });
}

#[test]
fn files_that_fit_one_after_the_other_come_whoever_else_is_on_its_way() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &large_files(4, 3 << 20));
    // So that they are all there before the first is stored.
    let slow = Liar::new(source.path(), |asked| {
        if asked.path.contains(".filez") {
            Answer::Slow(256 << 10, Duration::from_millis(20))
        } else {
            Answer::Honest
        }
    });
    on_each(Format::Native, |mut disk, full| {
        // Enough for all of them and one more on its way, not for two.
        disk.fill(17, full);
        let before = slow.requests();
        let options = PullOptions { threads: 4, ..want(BRANCH) };
        pull_quietly(&disk.repo, http(&slow.url), &options).unwrap();
        verified_objects(&disk.repo, commit);
        let files = slow.paths().split_off(before).iter().filter(|path| path.contains(".filez")).count();
        assert!((4..=8).contains(&files), "none more than twice: {files}");
    });
}

#[test]
fn a_file_for_which_there_is_no_room_by_itself_fails_the_pull_and_leaves_the_disk_as_it_was() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    source.commit(BRANCH, &large_files(2, 5 << 20));
    let server = served(source.path());
    on_each(Format::Ostree, |mut disk, full| {
        disk.fill(8, full);
        disk.leave_parts(2);
        let error = pull_quietly(&disk.repo, http(&server.url), &want(BRANCH)).unwrap_err();
        assert!(format!("{error:?}").contains(if let Full::Reserve = full {
            "NoSpace"
        } else {
            "StorageFull"
        }));
        let asked = server.log.lock().unwrap().iter().filter(|access| access.path.contains(".filez")).count();
        assert!(asked <= 6, "no more than three times each: {asked}");
        server.log.lock().unwrap().clear();
        assert_eq!(disk.parts(), 0);
    });
}
