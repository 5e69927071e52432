//! Layers, lists of what is left out, and the cache of uncompressed files: as the real `ostree` has them.

use crate::commit_fixture::{Lab, Snapshot, on, snapshot};
use sapwood_fsio as fsio;
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{
    Checkout, CheckoutOptions, CheckoutStats, CommitOutcome, Error, ImportOptions, Overwrite, Ownership,
    PruneOptions, Repo,
};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::path::Path;

fn lower() -> Tree {
    let mut tree = Tree::default();
    for path in ["top", "d/x", "d/keep", "d/sub/z", "op/1", "op/s/2", "dir-to-file/in", "dir-to-link/in"] {
        tree.file(path, path);
    }
    tree.symlink("d/link", "x");
    tree
}

fn upper() -> Tree {
    let mut tree = Tree::default();
    for name in ["d/.wh.x", "d/.wh.sub", "d/.wh.link", "d/.wh.none", "op/.wh..wh..opq", ".wh.top"] {
        tree.file(name, "");
    }
    for path in ["d/x", "d/new", "op/-before", "op/c", "op/s/3", "dir-to-file"] {
        tree.file(path, format!("upper {path}"));
    }
    tree.symlink("dir-to-link", "d");
    tree
}

fn committed(lab: &Lab, repo: &Repo, name: &str, tree: &Tree) -> CommitOutcome {
    let dir = lab.tree(&format!("tree-{name}"), tree);
    repo.commit_dir(&dir, &ImportOptions::default(), &on(name), &|_| ()).unwrap()
}

fn checkout(
    lab: &Lab,
    repo: &Repo,
    outcome: &CommitOutcome,
    to: &str,
    options: &CheckoutOptions,
) -> sapwood_repo::Result<CheckoutStats> {
    let from = Checkout { root: outcome.tree.root, subpath: None };
    repo.checkout(&from, &lab.dir("."), Path::new(to), options, &|_| ())
}

/// All but times.
fn seen(path: &Path) -> Snapshot {
    let mut all = snapshot(path);
    for seen in all.values_mut() {
        seen.dir_mtime = None;
    }
    all
}

/// Checks two layers out over each other with whiteouts, by either program and in either way that merges, and calls `check` with
/// what is there then, which has to be the same.
fn laid_over_each_other(ostree: &Ostree, lower: Tree, upper: Tree, check: &dyn Fn(&Snapshot)) {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    let layers = [("lower", lower), ("upper", upper)];
    let outcomes = layers.map(|(name, tree)| committed(&lab, &repo, name, &tree));
    for (overwrite, flag) in [(Overwrite::UnionFiles, "--union"), (Overwrite::AddFiles, "--union-add")] {
        let (ours, theirs) = (format!("ours{flag}"), format!("theirs{flag}"));
        for (outcome, branch) in outcomes.iter().zip(["lower", "upper"]) {
            let to = lab.path(&theirs);
            let args = ["checkout", "-U", "--whiteouts", flag, branch, to.to_str().unwrap()];
            ostree.run(lab.args("repo", &args)).unwrap();
            let options = CheckoutOptions {
                ownership: Ownership::User,
                overwrite,
                whiteouts: true,
                ..CheckoutOptions::default()
            };
            checkout(&lab, &repo, outcome, &ours, &options).unwrap();
        }
        let found = seen(&lab.path(&ours));
        assert_eq!(found, seen(&lab.path(&theirs)), "{flag}");
        check(&found);
    }
}

#[test]
fn whiteouts_of_a_layer_take_away_what_the_real_ostree_takes_away() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    laid_over_each_other(&ostree, lower(), upper(), &|found| {
        assert!(!found.contains_key(Path::new("d/sub/z")) && found.contains_key(Path::new("d/x")));
    });
}

#[test]
fn an_opaque_directory_takes_the_place_of_what_is_below_as_in_the_real_ostree() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let (mut lower, mut upper) = (Tree::default(), Tree::default());
    lower.file("d/old", "of the lower");
    lower.dir("d").mode(0o755);
    lower.file("file", "of the lower");
    lower.symlink("link", "d");
    for name in ["d", "file", "link", "new"] {
        upper.dir(name).mode(0o700);
        upper.file(&format!("{name}/.wh..wh..opq"), "");
        upper.file(&format!("{name}/f"), "of the upper");
    }
    laid_over_each_other(&ostree, lower, upper, &|found| {
        assert!(found.contains_key(Path::new("link/f")) && !found.contains_key(Path::new("d/old")));
    });
}

#[test]
fn a_whiteout_that_names_nothing_is_refused_before_anything_is_removed() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    for name in [".wh.", ".wh..", ".wh..."] {
        let mut tree = Tree::default();
        tree.file(name, "");
        tree.file(".wh.a", "");
        let outcome = committed(&lab, &repo, name.trim_start_matches('.'), &tree);
        drop(lab.dir("o"));
        std::fs::write(lab.path("o/a"), "stays").unwrap();
        let options = CheckoutOptions {
            overwrite: Overwrite::UnionFiles,
            whiteouts: true,
            ownership: Ownership::User,
            ..CheckoutOptions::default()
        };
        let run = checkout(&lab, &repo, &outcome, "o", &options);
        assert!(matches!(&run, Err(Error::BadWhiteout { name: found }) if found == name), "{run:?}");
        assert!(lab.path("o/a").exists());
    }
}

#[test]
fn what_is_skipped_is_left_out_with_all_below() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let outcome = committed(&lab, &repo, "main", &lower());
    let skipping = |paths: &[&str], to: &str| {
        let skip = paths.iter().map(|path| (*path).to_owned()).collect();
        let options =
            CheckoutOptions { skip, ownership: Ownership::User, threads: 2, ..CheckoutOptions::default() };
        checkout(&lab, &repo, &outcome, to, &options).unwrap();
    };
    skipping(&["/d/x", "/d/sub/", "/op/", "top", "/nothing", "/dir-to-file"], "o");
    let found: Vec<_> = seen(&lab.path("o")).into_keys().collect();
    let found: Vec<_> =
        found.iter().filter_map(|path| path.to_str()).filter(|path| !path.is_empty()).collect();
    assert_eq!(
        found,
        ["d", "d/keep", "d/link", "dir-to-file", "dir-to-file/in", "dir-to-link", "dir-to-link/in", "top"]
    );
    skipping(&["/"], "nothing");
    assert!(!lab.path("nothing").exists());
}

#[test]
fn checkouts_as_the_user_from_an_archive_share_uncompressed_files() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let outcome = committed(&lab, &repo, "main", &lower());
    let run = |to: &str, use_cache| {
        let options = CheckoutOptions {
            use_cache,
            ownership: Ownership::User,
            threads: 2,
            ..CheckoutOptions::default()
        };
        checkout(&lab, &repo, &outcome, to, &options).unwrap()
    };
    let cache = lab.path("repo/uncompressed-objects-cache");
    assert_eq!((run("none", false).linked, cache.exists()), (0, false));
    let (files, links) = (outcome.tree.totals.files, 1);
    assert_eq!(run("first", true).copied, files);
    assert_eq!(run("second", true).linked, files - links);
    assert_eq!(seen(&lab.path("first")), seen(&lab.path("none")));
    let nlink = |path: &str| fsio::stat(&lab.dir("."), path).unwrap().nlink;
    assert_eq!((nlink("second/d/x"), nlink("none/d/x")), (3, 1));
    let tmp = std::fs::read_dir(lab.path("repo/tmp")).unwrap();
    assert!(tmp.map(|entry| entry.unwrap().file_name()).all(|name| name == "cache"));

    // The real program takes its files from it, too.
    if let Some(ostree) = Ostree::find() {
        let to = lab.path("real");
        ostree.run(lab.args("repo", &["checkout", "-U", "main", to.to_str().unwrap()])).unwrap();
        assert_eq!(nlink("real/d/x"), 4);
    }

    // What no ref reaches goes from the cache with its object.
    let gone = sapwood_repo::RefEdit::Delete {
        name: crate::commit_fixture::branch("main"),
        expected: sapwood_repo::Expected::Any,
    };
    repo.edit_refs(vec![gone]).unwrap();
    let options = PruneOptions { refs_only: true, ..PruneOptions::default() };
    repo.plan_prune(&options, &|_| ()).unwrap().apply(&|_| ()).unwrap();
    assert_eq!(nlink("second/d/x"), if lab.path("real").exists() { 3 } else { 2 });
}

#[test]
fn the_cache_of_uncompressed_files_can_be_switched_off() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    repo.edit_config(|file| _ = file.set("core", "enable-uncompressed-cache", "false")).unwrap();
    let outcome = committed(&lab, &repo, "main", &lower());
    let options = CheckoutOptions { ownership: Ownership::User, ..CheckoutOptions::default() };
    checkout(&lab, &repo, &outcome, "o", &options).unwrap();
    assert!(!lab.path("repo/uncompressed-objects-cache").exists());
}
