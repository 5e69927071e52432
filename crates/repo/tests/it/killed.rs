//! What a killed writer had staged, and a prune: whoever takes the staging over, ours or the real `ostree`, no commit
//! becomes visible that lacks what was pruned.

use crate::commit_fixture::{Lab, branch, on};
use crate::maintain::{assert_sound, commit, fsck};
use sapwood_objstore::{Commit, Format, Id, Metadata, Mode};
use sapwood_repo::{Expected, FsckOptions, OnCorrupt, PruneOptions, RefEdit, Repo};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;

/// Stages a commit of the tree that `like` has, all of whose other objects are there, and dies.
fn die_committing(repo: &Repo, like: Id<Commit>) -> Id<Commit> {
    let like: Commit = repo.store().load(like).unwrap();
    let txn = repo.begin().unwrap();
    let staged = Commit { subject: "never published".to_owned(), parent: None, ..like };
    let id = txn.objects().put(&staged).unwrap();
    txn.objects().put_detached(id, &Metadata::default()).unwrap();
    // What was staged stays, as after a kill; the locks go.
    drop(txn);
    id
}

/// Takes a ref away, and what only it reached.
fn lose(repo: &Repo, name: &str) {
    repo.edit_refs(vec![RefEdit::Delete { name: branch(name), expected: Expected::Any }]).unwrap();
    let options = PruneOptions { refs_only: true, ..PruneOptions::default() };
    repo.plan_prune(&options, &|_| ()).unwrap().apply(&|_| ()).unwrap();
}

fn real_commit(lab: &Lab, ostree: &Ostree) {
    let mut tree = Tree::default();
    tree.file("another", "file");
    tree.write_to(&lab.path("another")).unwrap();
    let tree = lab.path("another").display().to_string();
    ostree.run(lab.args("repo", &["commit", "--branch=another", &tree])).unwrap();
}

/// The staging directories of the repository.
fn staged(lab: &Lab) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(lab.path("repo/tmp")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir() && path.to_string_lossy().contains("staging-")).collect()
}

#[test]
fn real_ostree_does_not_publish_the_commit_of_a_killed_writer_of_ours() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    for ours_prunes in [false, true] {
        for mode in [Mode::Archive, Mode::BareUser] {
            let lab = Lab::in_memory();
            let repo = lab.repo("repo", Format::Ostree, mode);
            let shared = commit(&repo, &lab, "shared", &on("shared"));
            let dead = die_committing(&repo, shared);
            assert_eq!(staged(&lab).len(), 1);
            if ours_prunes {
                lose(&repo, "shared");
            } else {
                ostree.run(lab.args("repo", &["refs", "--delete", "shared"])).unwrap();
                ostree.run(lab.args("repo", &["prune", "--refs-only"])).unwrap();
            }
            real_commit(&lab, &ostree);
            assert_eq!(staged(&lab).len(), 0, "it takes the directory over");
            assert!(!repo.store().contains(dead.name()).unwrap());
            assert_sound(&repo);
        }
    }
}

#[test]
fn a_commit_that_killed_real_ostree_staged_is_gone_before_anything_it_needs_is() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let deleting = FsckOptions { on_corrupt: OnCorrupt::Delete, ..FsckOptions::default() };
    for damaged in [false, true] {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
        let shared = commit(&repo, &lab, "shared", &on("shared"));
        let dead = die_committing(&repo, shared);
        // As the real program has it: all that is staged lies in directories of two digits.
        let staging = staged(&lab).remove(0);
        let file = format!("{}/{}.commit", &dead.to_hex()[..2], &dead.to_hex()[2..]);
        fs::create_dir_all(staging.join(&dead.to_hex()[..2])).unwrap();
        fs::rename(staging.join("commits").join(&file), staging.join(&file)).unwrap();
        if damaged {
            let tree = repo.root(shared).unwrap().meta.to_hex();
            fs::write(lab.path(&format!("repo/objects/{}/{}.dirmeta", &tree[..2], &tree[2..])), "x").unwrap();
            assert!(!repo.fsck(&deleting, &|_| ()).unwrap().is_clean());
        } else {
            lose(&repo, "shared");
        }
        real_commit(&lab, &ostree);
        assert_eq!(staged(&lab).len(), 0, "it takes the directory over");
        assert!(!repo.store().contains(dead.name()).unwrap());
        assert_eq!(fsck(&repo).findings, Vec::new());
    }
}

#[test]
fn a_prune_removes_half_done_downloads_that_nobody_goes_on_with() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let kept = commit(&repo, &lab, "kept", &on("kept"));
    let dead = repo.begin().unwrap();
    let scratch = dead.objects().scratch().unwrap();
    sapwood_fsio::replace(&scratch, "half-done", 0o600, b"the first half").unwrap();
    drop(dead);
    let left = || staged(&lab).iter().filter(|dir| dir.join("scratch").exists()).count();
    assert_eq!(left(), 1);
    repo.plan_prune(&PruneOptions::default(), &|_| ()).unwrap().apply(&|_| ()).unwrap();
    assert_eq!(left(), 0);
    assert!(repo.store().contains(kept.name()).unwrap());
}

#[test]
fn a_check_looks_into_what_killed_writers_staged() {
    for format in crate::commit_fixture::FORMATS {
        for mode in crate::commit_fixture::MODES {
            let lab = Lab::in_memory();
            let repo = lab.repo("repo", format, mode);
            let txn = repo.begin().unwrap();
            let mut tree = Tree::default();
            tree.file("staged", "content that is staged").mode(0o644);
            let dir = lab.tree("staged", &tree);
            repo.import(&txn, &dir, &sapwood_repo::ImportOptions::default(), &|_| ()).unwrap();
            assert_eq!(fsck(&repo).staging, Vec::new(), "somebody is at work there");
            drop(txn);
            let report = fsck(&repo);
            assert!(report.is_clean());
            // A file, its directory, and that one's metadata.
            assert_eq!((report.staging.len(), report.staging[0].objects), (1, 3));
            let staging = lab.path("repo").join(&report.staging[0].dir);
            let of_kind = |kind: &str| {
                let shards = fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().path());
                let files = shards.filter(|path| path.is_dir()).flat_map(|dir| fs::read_dir(dir).unwrap());
                files.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains(kind))
            };
            fs::write(of_kind(".dirmeta").unwrap(), "x").unwrap();
            let report = fsck(&repo);
            assert!(!report.is_clean());
            assert_eq!(report.staging[0].damaged.len(), 1);
            let deleting = FsckOptions { on_corrupt: OnCorrupt::Delete, ..FsckOptions::default() };
            assert!(!repo.fsck(&deleting, &|_| ()).unwrap().is_clean());
            assert_eq!(of_kind(".dirmeta"), None);
            assert!(fsck(&repo).is_clean());
            assert!(of_kind(".file").is_some(), "what is good stays");
        }
    }
}
