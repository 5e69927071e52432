//! Checkouts over what is there already: the outcomes of the real `ostree`, and never a step outside.

use crate::commit_fixture::{Lab, Snapshot, on, open, snapshot};
use sapwood_fsio as fsio;
use sapwood_objstore::{Format, LinkPolicy, Mode};
use sapwood_repo::{
    Checkout, CheckoutOptions, CheckoutStats, CommitOutcome, Error, ImportOptions, Overwrite, Ownership, Repo,
};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::path::Path;

const OVERWRITES: [Overwrite; 4] =
    [Overwrite::Refuse, Overwrite::UnionFiles, Overwrite::AddFiles, Overwrite::UnionIdentical];

fn base() -> Tree {
    let mut tree = Tree::default();
    tree.file("a", "hello");
    tree.file("empty", "");
    tree.file("d/x", "x").mode(0o600);
    tree.symlink("l", "a");
    tree.dir("d").mode(0o750);
    tree
}

fn committed(lab: &Lab, mode: Mode) -> (Repo, CommitOutcome) {
    let dir = lab.tree("tree", &base());
    let repo = lab.repo("repo", Format::Ostree, mode);
    let outcome = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
    (repo, outcome)
}

fn onto(
    lab: &Lab,
    repo: &Repo,
    outcome: &CommitOutcome,
    to: &str,
    overwrite: Overwrite,
) -> sapwood_repo::Result<CheckoutStats> {
    let options = CheckoutOptions { overwrite, threads: 2, ..CheckoutOptions::default() };
    let from = Checkout { root: outcome.tree.root, subpath: None };
    repo.checkout(&from, &lab.dir("."), Path::new(to), &options, &|_| ())
}

/// Everything of a checkout but times, and the attributes of its top directory, which was there before.
fn seen(path: &Path) -> Snapshot {
    let mut all = snapshot(path);
    for seen in all.values_mut() {
        seen.dir_mtime = None;
    }
    all
}

/// What stands in the way of a checkout of [`base`].
fn obstacles() -> Vec<(&'static str, Tree)> {
    let with = |add: &dyn Fn(&mut Tree)| {
        let mut tree = Tree::default();
        add(&mut tree);
        tree
    };
    vec![
        ("nothing", with(&|_| ())),
        (
            "other files",
            with(&|t| {
                t.file("a", "other").mode(0o600);
                t.file("empty", "full");
                t.symlink("l", "elsewhere");
                t.file("mine", "stays");
            }),
        ),
        (
            "the same files",
            with(&|t| {
                t.file("a", "hello");
                t.file("empty", "");
                t.symlink("l", "a");
            }),
        ),
        ("a file for a directory", with(&|t| _ = t.file("d", "file"))),
        ("a directory for a file", with(&|t| _ = t.dir("a"))),
        ("a directory for a symlink", with(&|t| _ = t.dir("l"))),
        (
            "a directory of another mode",
            with(&|t| {
                t.file("d/y", "y");
                t.dir("d").mode(0o700);
            }),
        ),
        ("a symlink for a file", with(&|t| _ = t.symlink("a", "l"))),
    ]
}

#[test]
fn what_is_in_the_way_is_treated_as_the_real_ostree_treats_it() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let (repo, outcome) = committed(&lab, Mode::Bare);
    for (index, (name, obstacle)) in obstacles().iter().enumerate() {
        for (overwrite, flags) in [
            (Overwrite::UnionFiles, vec!["--union"]),
            (Overwrite::AddFiles, vec!["--union-add"]),
            (Overwrite::UnionIdentical, vec!["--union-identical", "-H"]),
        ] {
            let case = format!("{name}, {overwrite:?}");
            let (ours, theirs) =
                (format!("ours-{index}-{overwrite:?}"), format!("theirs-{index}-{overwrite:?}"));
            drop(lab.tree(&ours, obstacle));
            drop(lab.tree(&theirs, obstacle));
            let mut args = lab.args("repo", &["checkout", "main", lab.path(&theirs).to_str().unwrap()]);
            args.extend(flags.iter().map(|flag| (*flag).to_owned()));
            let real = ostree.run(args);
            let run = onto(&lab, &repo, &outcome, &ours, overwrite);
            assert_eq!(run.is_ok(), real.is_ok(), "{case}: {run:?}, real: {real:?}");
            // After a failure it depends on the order how much is there.
            if run.is_ok() {
                assert_eq!(seen(&lab.path(&ours)), seen(&lab.path(&theirs)), "{case}");
            } else {
                assert!(matches!(run, Err(Error::CheckoutConflict { .. })), "{case}: {run:?}");
            }
        }
    }
}

#[test]
fn identical_is_judged_by_content_where_files_are_copied_too() {
    let lab = Lab::new();
    let (repo, outcome) = committed(&lab, Mode::Archive);
    onto(&lab, &repo, &outcome, "o", Overwrite::Refuse).unwrap();
    let before = seen(&lab.path("o"));
    let stats = onto(&lab, &repo, &outcome, "o", Overwrite::UnionIdentical).unwrap();
    assert_eq!(stats.kept, 4);
    assert_eq!(seen(&lab.path("o")), before);
    for (name, change) in [
        ("content", (|o: &Path| sapwood_fsio::replace(&open(o), "a", 0o644, b"hellO").unwrap()) as fn(&Path)),
        ("mode", |o| fsio::set_mode_of(&open(o), "a", 0o640).unwrap()),
        ("target", |o| fsio::replace_symlink("b", &open(o), "l").unwrap()),
    ] {
        onto(&lab, &repo, &outcome, name, Overwrite::Refuse).unwrap();
        change(&lab.path(name));
        let before = seen(&lab.path(name));
        let run = onto(&lab, &repo, &outcome, name, Overwrite::UnionIdentical);
        assert!(matches!(run, Err(Error::CheckoutConflict { .. })), "{name}: {run:?}");
        assert_eq!(seen(&lab.path(name)), before, "{name}");
    }
}

#[test]
fn a_symlink_planted_in_the_destination_is_never_followed() {
    for overwrite in OVERWRITES {
        for planted in ["o", "o/d", "o/a"] {
            let lab = Lab::new();
            let (repo, outcome) = committed(&lab, Mode::Archive);
            drop(lab.dir("outside"));
            std::fs::write(lab.path("outside/a"), "precious").unwrap();
            let before = seen(&lab.path("outside"));
            if planted != "o" {
                drop(lab.dir("o"));
            }
            let target = if planted == "o/a" { "../outside/a" } else { "../outside" };
            let target = if planted == "o" { "outside" } else { target };
            std::os::unix::fs::symlink(target, lab.path(planted)).unwrap();
            let run = onto(&lab, &repo, &outcome, "o", overwrite);
            assert_eq!(seen(&lab.path("outside")), before, "{overwrite:?} {planted}: {run:?}");
            let replaced =
                planted == "o/a" && matches!(overwrite, Overwrite::UnionFiles | Overwrite::AddFiles);
            assert_eq!(run.is_ok(), replaced, "{overwrite:?} {planted}: {run:?}");
        }
    }
}

#[test]
fn a_repeated_union_of_hardlinks_changes_nothing_and_leaves_no_temporary_names() {
    let lab = Lab::new();
    let (repo, outcome) = committed(&lab, Mode::Bare);
    onto(&lab, &repo, &outcome, "o", Overwrite::UnionFiles).unwrap();
    let before = seen(&lab.path("o"));
    let stats = onto(&lab, &repo, &outcome, "o", Overwrite::UnionFiles).unwrap();
    assert_eq!(stats.kept, 3, "the hardlinked ones");
    assert_eq!(seen(&lab.path("o")), before);
}

#[test]
fn a_missing_object_is_named_with_the_path_that_needs_it() {
    let lab = Lab::new();
    let (repo, outcome) = committed(&lab, Mode::Archive);
    let tree = repo.store().load(outcome.tree.root.tree).unwrap();
    let lost = tree.file("a").unwrap().id;
    repo.store().remove(lost.name()).unwrap();
    let options =
        CheckoutOptions { ownership: Ownership::User, links: LinkPolicy::Copy, ..CheckoutOptions::default() };
    let from = Checkout { root: outcome.tree.root, subpath: None };
    let error = repo.checkout(&from, &lab.dir("."), Path::new("o"), &options, &|_| ()).unwrap_err();
    let Error::CheckoutFile { path, source } = error else { panic!("{error:?}") };
    assert_eq!(path, "o/a");
    assert!(source.to_string().contains(&lost.to_hex()), "{source}");
}
