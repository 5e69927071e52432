//! The stat cache: unchanged files are not read again, changed ones always are.

use crate::commit_fixture::{FORMATS, Lab, on, open};
use sapwood_fsio as fsio;
use sapwood_objstore::{Format, Mode, ObjectKind};
use sapwood_repo::{CommitOutcome, ImportOptions, Modifiers, Repo};
use sapwood_testkit::{Tree, skipped};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

fn commit_with(repo: &Repo, lab: &Lab, options: &ImportOptions) -> CommitOutcome {
    repo.commit_dir(&open(&lab.path("tree")), options, &on("main"), &|_| ()).unwrap()
}

fn commit(repo: &Repo, lab: &Lab) -> CommitOutcome {
    commit_with(repo, lab, &ImportOptions::default())
}

/// The id that a repository without any cache gives.
fn fresh_id(lab: &Lab, repo: &Repo, options: &ImportOptions) -> sapwood_repo::Root {
    let txn = repo.begin().unwrap();
    let options = ImportOptions { use_cache: false, ..options.clone() };
    repo.import(&txn, &open(&lab.path("tree")), &options, &|_| ()).unwrap().root
}

/// A tree old enough that its files are entered into the cache.
fn settled(lab: &Lab) {
    let mut tree = Tree::default();
    for n in 0..200 {
        tree.file(&format!("d{}/f{n}", n % 7), format!("content {n}"));
    }
    tree.symlink("link", "d0/f0");
    drop(lab.tree("tree", &tree));
    std::thread::sleep(Duration::from_millis(150));
}

fn cache_files(lab: &Lab) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(lab.path("repo/tmp/cache/stat")) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Has the cache say of two files that each is the other. That a commit believes it shows that the files are not read.
fn swap_two_records(cache: &Path) {
    let mut bytes = fsio::read(&open(cache.parent().unwrap()), cache.file_name().unwrap(), 1 << 30).unwrap();
    let body = bytes.len() - 32;
    // 16 bytes of magic, then records of 92 bytes whose last 32 are the id.
    let (first, second) = (16 + 60, 16 + 92 + 60);
    for n in 0..32 {
        bytes.swap(first + n, second + n);
    }
    let digest = blake3::hash(&bytes[..body]);
    bytes[body..].copy_from_slice(digest.as_bytes());
    std::fs::write(cache, bytes).unwrap();
}

#[test]
fn an_unchanged_tree_is_recognised_without_reading_it_in_both_formats() {
    for format in FORMATS {
        let lab = Lab::new();
        settled(&lab);
        let repo = lab.repo("repo", format, Mode::Archive);
        let first = commit(&repo, &lab);
        assert_eq!(first.published.files_written, 201);
        let second = commit(&repo, &lab);
        assert_eq!(second.tree, first.tree);
        assert_eq!((second.published.files_total, second.published.files_written), (201, 0));
        // The proof that the cache was used: what it says goes.
        let cache = cache_files(&lab);
        assert_eq!(cache.len(), 1);
        swap_two_records(&cache[0]);
        assert_ne!(commit(&repo, &lab).tree.root, first.tree.root);
    }
}

#[test]
fn content_changed_with_the_same_size_and_a_restored_time_is_noticed() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    let before = commit(&repo, &lab);
    let file = lab.path("tree/d1/f1");
    let mtime = file.metadata().unwrap().modified().unwrap();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().write_all(b"CONTENT 1").unwrap();
    std::fs::File::open(&file).unwrap().set_modified(mtime).unwrap();
    let after = commit(&repo, &lab);
    assert_ne!(after.tree.root, before.tree.root);
    assert_eq!(after.published.files_written, 1);
    assert_eq!(after.tree.root, fresh_id(&lab, &repo, &ImportOptions::default()));
}

#[test]
fn a_changed_attribute_mode_or_link_is_noticed() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    commit(&repo, &lab);
    let tree = open(&lab.path("tree"));
    for change in [
        (|tree| fsio::set_mode_of(tree, "d2/f2", 0o600).unwrap()) as fn(&fsio::Dir),
        |tree| fsio::xattr::set_of(tree, "d3/f3", b"user.new", b"1").unwrap(),
        |tree| fsio::replace_symlink("d0/f7", tree, "link").unwrap(),
        |tree| fsio::exchange(tree, "d4/f4", tree, "d5/f5").unwrap(),
        |tree| fsio::remove_file(tree, "d6/f6").unwrap(),
    ] {
        change(&tree);
        let root = commit(&repo, &lab).tree.root;
        assert_eq!(root, fresh_id(&lab, &repo, &ImportOptions::default()));
    }
}

#[test]
fn files_changed_right_after_they_were_committed_are_noticed_whatever_the_tick() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let file = lab.path("tree/d0/f0");
    let write = |text: &[u8]| {
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().write_all(text).unwrap();
    };
    for round in 0..50_u8 {
        // Same size, and within the same tick of the kernel's clock as the commit more often than not.
        write(&[b'a' + round % 2; 9]);
        let before = commit(&repo, &lab).tree.root;
        write(&[b'x' + round % 2; 9]);
        let after = commit(&repo, &lab).tree.root;
        assert_ne!(before, after, "round {round}");
    }
}

#[test]
fn files_with_times_in_the_future_are_read_each_time() {
    let lab = Lab::new();
    settled(&lab);
    let future = SystemTime::now() + Duration::from_hours(1);
    std::fs::File::open(lab.path("tree/d0/f0")).unwrap().set_modified(future).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let first = commit(&repo, &lab);
    let second = commit(&repo, &lab);
    assert_eq!(first.tree, second.tree);
    // 16 bytes of magic, one record of 92 bytes for each file but one, and the digest.
    assert_eq!(cache_files(&lab)[0].metadata().unwrap().len(), 16 + 200 * 92 + 32);
}

#[test]
fn an_object_that_was_pruned_is_imported_again() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let first = commit(&repo, &lab);
    let mut lost = 0;
    let mut names = Vec::new();
    repo.store()
        .for_each(&mut |name| {
            names.push(name);
            Ok(())
        })
        .unwrap();
    for name in names.into_iter().filter(|name| name.kind == ObjectKind::File).step_by(3) {
        repo.store().remove(name).unwrap();
        lost += 1;
    }
    let second = commit(&repo, &lab);
    assert_eq!(second.tree, first.tree);
    assert_eq!(second.published.files_written, lost);
}

#[test]
fn a_damaged_cache_is_ignored_and_replaced() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let first = commit(&repo, &lab);
    let cache = cache_files(&lab).remove(0);
    let good = fsio::read(&open(cache.parent().unwrap()), cache.file_name().unwrap(), 1 << 30).unwrap();
    let mut damaged =
        vec![Vec::new(), good[..good.len() / 2].to_vec(), good[..16].to_vec(), vec![0; good.len()]];
    for at in [0, 15, 20, 16 + 60, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        damaged.push(bytes);
    }
    let mut longer = good.clone();
    longer.push(0);
    damaged.push(longer);
    for bytes in damaged {
        std::fs::write(&cache, bytes).unwrap();
        assert_eq!(commit(&repo, &lab).tree, first.tree);
        let renewed =
            fsio::read(&open(cache.parent().unwrap()), cache.file_name().unwrap(), 1 << 30).unwrap();
        assert_eq!(renewed, good);
    }
}

#[test]
fn a_cache_that_cannot_be_written_does_not_fail_the_commit() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    std::fs::create_dir_all(lab.path("repo/tmp/cache")).unwrap();
    std::fs::write(lab.path("repo/tmp/cache/stat"), "in the way").unwrap();
    commit(&repo, &lab);
}

#[test]
fn the_cache_of_other_modifiers_or_of_another_tree_is_not_used() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let none = Modifiers::default();
    for modifiers in [
        none.clone(),
        Modifiers { owner_uid: Some(7), ..none.clone() },
        Modifiers { owner_gid: Some(7), ..none.clone() },
        Modifiers { canonical_permissions: true, ..none.clone() },
        Modifiers { no_xattrs: true, ..none },
    ] {
        let options = ImportOptions { modifiers, ..ImportOptions::default() };
        for _ in 0..2 {
            assert_eq!(commit_with(&repo, &lab, &options).tree.root, fresh_id(&lab, &repo, &options));
        }
    }
    assert_eq!(cache_files(&lab).len(), 5);
}

#[test]
fn only_the_most_recent_caches_are_kept() {
    let lab = Lab::new();
    settled(&lab);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    for uid in 0..20 {
        let modifiers = Modifiers { owner_uid: Some(uid), ..Modifiers::default() };
        commit_with(&repo, &lab, &ImportOptions { modifiers, ..ImportOptions::default() });
    }
    assert_eq!(cache_files(&lab).len(), 16);
}

/// An ext4 image mounted at `tree`, unmounted when it goes; `None` where that cannot be had.
struct Mounted<'a>(&'a Lab);

impl<'a> Mounted<'a> {
    fn new(lab: &'a Lab, image: &str) -> Option<Self> {
        let (image, at) = (lab.path(image), lab.path("tree"));
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,ro,noload"]).arg(image).arg(at);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(lab))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path("tree")).status());
    }
}

#[test]
fn an_image_with_the_same_numbers_and_times_as_the_one_before_is_read() {
    let lab = Lab::new();
    drop(lab.dir("tree"));
    let content = lab.dir("content");
    for name in ["conf", "other"] {
        fsio::replace(&content, name, 0o644, format!("a mark of {name}: AAAA").as_bytes()).unwrap();
    }
    // The times in the image are whole seconds.
    std::thread::sleep(Duration::from_millis(3200));
    let first = lab.path("first.img");
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-O", "^inline_data", "-d"]).arg(lab.path("content")).arg(&first).arg("2M");
    let made = mkfs.output().is_ok_and(|output| output.status.success());
    if !made || Mounted::new(&lab, "first.img").is_none() {
        return skipped("only root mounts images, and mkfs.ext4 has to be installed");
    }
    // A build of the same tree with one byte changed, reproducible in all else.
    let mut image = std::fs::read(&first).unwrap();
    let mark = b"a mark of conf: AAAA";
    let at = image.windows(mark.len()).position(|bytes| bytes == mark).unwrap() + mark.len() - 1;
    image[at] = b'B';
    std::fs::write(lab.path("second.img"), image).unwrap();

    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let mounted = Mounted::new(&lab, "first.img").unwrap();
    let before = commit(&repo, &lab);
    if fsio::stat_dir(&open(&lab.path("tree"))).unwrap().mount.is_some() {
        // While it is mounted, nothing of it is read again.
        swap_two_records(&cache_files(&lab)[0]);
        assert_ne!(commit(&repo, &lab).tree.root, before.tree.root);
        swap_two_records(&cache_files(&lab)[0]);
        assert_eq!(commit(&repo, &lab).tree.root, before.tree.root);
    }
    drop(mounted);
    let mounted = Mounted::new(&lab, "second.img").unwrap();
    let after = commit(&repo, &lab).tree.root;
    assert_eq!(after, fresh_id(&lab, &repo, &ImportOptions::default()));
    assert_ne!(after, before.tree.root);
    drop(mounted);
}
