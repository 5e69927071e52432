//! Commits and checkouts that are cut short at every single write: the old state or the new one, and a retry succeeds.

use crate::commit_fixture::{FORMATS, Lab, branch, on, open, snapshot};
use sapwood_fsio::{self as fsio, fault};
use sapwood_objstore::{Commit, Format, Id, Mode, Verdict};
use sapwood_repo::{
    Checkout, CheckoutOptions, CommitOptions, Error, ImportOptions, Overwrite, Repo, Result, Root,
};
use sapwood_testkit::Tree;
use std::path::Path;

fn tree(version: &str) -> Tree {
    let mut tree = Tree::default();
    tree.file("etc/version", version);
    tree.file("etc/empty", "");
    tree.file(&format!("usr/lib/only-{version}"), format!("lib {version}"));
    tree.file("usr/lib/same", "the same in both");
    tree.symlink("lib", "usr/lib");
    tree
}

fn import() -> ImportOptions {
    ImportOptions { threads: 1, ..ImportOptions::default() }
}

fn commit(repo: &Repo, lab: &Lab, tree: &str) -> Result<Id<Commit>> {
    let options = CommitOptions { subject: tree.into(), ..on("main") };
    Ok(repo.commit_dir(&open(&lab.path(tree)), &import(), &options, &|_| ())?.commit)
}

/// Every object that is visible is good, and everything the branch reaches is there. Returns where the branch is.
fn check(repo: &Repo) -> Option<Id<Commit>> {
    let store = repo.store();
    store
        .for_each(&mut |name| {
            assert_eq!(store.verify(name)?, Verdict::Good, "{name}");
            Ok(())
        })
        .unwrap();
    let tip = repo.ref_target(&branch("main")).unwrap();
    let mut next = tip;
    while let Some(id) = next {
        let commit = store.load(id).unwrap();
        check_tree(repo, Root { tree: commit.tree, meta: commit.meta });
        next = commit.parent;
    }
    tip
}

fn check_tree(repo: &Repo, root: Root) {
    let store = repo.store();
    drop(store.load(root.meta).unwrap());
    let tree = store.load(root.tree).unwrap();
    for file in tree.files() {
        assert!(store.contains(file.id.name()).unwrap(), "{}", file.name);
    }
    for dir in tree.dirs() {
        check_tree(repo, Root { tree: dir.tree, meta: dir.meta });
    }
}

fn cases() -> impl Iterator<Item = (Format, Mode)> {
    FORMATS
        .into_iter()
        .flat_map(|format| [Mode::Archive, Mode::BareUser, Mode::Bare].map(|mode| (format, mode)))
}

#[test]
fn a_commit_cut_short_by_a_crash_at_any_write_leaves_the_old_or_the_new_state_and_can_be_repeated() {
    for (format, mode) in cases() {
        for step in 1.. {
            let lab = Lab::in_memory();
            drop((lab.tree("old", &tree("old")), lab.tree("new", &tree("new"))));
            let repo = lab.repo("repo", format, mode);
            let old = commit(&repo, &lab, "old").unwrap();
            let run = fault::crash_at(step, || commit(&repo, &lab, "new"));
            let again = Repo::open(&lab.dir("repo")).unwrap();
            let tip = check(&again).unwrap();
            match &run.value {
                Ok(new) => assert_eq!(tip, *new, "{format:?} {mode:?} {step}"),
                Err(_) if tip == old => {}
                Err(error) => {
                    // Only what comes after the ref moved may fail then.
                    let parent = again.store().load(tip).unwrap().parent;
                    assert_eq!(parent, Some(old), "{format:?} {mode:?} {step}: {error:?}");
                }
            }
            let retried = commit(&again, &lab, "new").unwrap();
            assert_eq!(check(&again), Some(retried));
            let found = again.store().load(retried).unwrap();
            let wanted = again.store().load(commit(&again, &lab, "new").unwrap()).unwrap();
            assert_eq!((found.tree, found.meta), (wanted.tree, wanted.meta));
            if !run.fired {
                assert!(step > 10, "the commit needs more writes than that");
                break;
            }
        }
    }
}

#[test]
fn a_commit_onto_a_full_or_broken_disk_fails_with_the_cause_and_leaves_the_old_state() {
    for failure in [fault::Failure::NoSpace, fault::Failure::Io] {
        for (format, mode) in [(Format::Native, Mode::BareUser), (Format::Ostree, Mode::Archive)] {
            for step in 1.. {
                let lab = Lab::in_memory();
                drop((lab.tree("old", &tree("old")), lab.tree("new", &tree("new"))));
                let repo = lab.repo("repo", format, mode);
                let old = commit(&repo, &lab, "old").unwrap();
                let run = fault::fail_from(step, failure, || commit(&repo, &lab, "new"));
                let tip = check(&repo).unwrap();
                match &run.value {
                    Ok(new) => assert_eq!(tip, *new),
                    Err(error) => {
                        let io = io_cause(error);
                        let wanted = if failure == fault::Failure::NoSpace { 28 } else { 5 };
                        assert_eq!(io, Some(wanted), "{step}: {error:?}");
                    }
                }
                if run.value.is_err() && tip != old {
                    assert_eq!(repo.store().load(tip).unwrap().parent, Some(old));
                }
                let retried = commit(&repo, &lab, "new").unwrap();
                assert_eq!(check(&repo), Some(retried));
                if !run.fired {
                    break;
                }
            }
        }
    }
}

/// The number of the system's error that is the cause of this one.
fn io_cause(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        next = error.source();
    }
    None
}

#[test]
fn no_object_is_visible_and_no_ref_moves_before_the_sync_of_what_it_names() {
    for (format, mode) in cases() {
        let lab = Lab::in_memory();
        drop(lab.tree("new", &tree("new")));
        let repo = lab.repo("repo", format, mode);
        let (outcome, calls) = fault::record(|| commit(&repo, &lab, "new"));
        outcome.unwrap();
        let synced = calls.iter().position(|call| call.op == fault::Op::Syncfs).unwrap();
        let is_object = |call: &&fault::Call| {
            call.op == fault::Op::Rename
                && call.path.extension().is_some_and(|ext| {
                    ["file", "filez", "dirtree", "dirmeta", "commit"].iter().any(|known| ext == *known)
                })
        };
        let visible: Vec<_> = calls.iter().skip(synced).filter(is_object).collect();
        assert!(visible.len() > 5 + 4 + 1, "{format:?} {mode:?}: {} objects", visible.len());
        let ref_moved =
            calls.iter().rposition(|call| call.op == fault::Op::Rename && call.path == Path::new("main"));
        let dirs_synced = calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call.op == fault::Op::Fsync)
            .map(|(at, _)| at)
            .filter(|at| *at > synced && Some(*at) < ref_moved)
            .count();
        assert!(ref_moved.is_some() && dirs_synced > 0, "{format:?} {mode:?}");
    }
}

fn checkout(repo: &Repo, lab: &Lab, commit: Id<Commit>, overwrite: Overwrite) -> Result<()> {
    let root = repo.root(commit)?;
    let options = CheckoutOptions { overwrite, threads: 1, fsync: true, ..CheckoutOptions::default() };
    let from = Checkout { root, subpath: None };
    repo.checkout(&from, &lab.dir("."), Path::new("o"), &options, &|_| ()).map(drop)
}

#[test]
fn a_checkout_cut_short_at_any_write_harms_no_object_and_can_be_repeated() {
    for (format, mode) in cases() {
        let lab = Lab::in_memory();
        drop((lab.tree("old", &tree("old")), lab.tree("new", &tree("new"))));
        let repo = lab.repo("repo", format, mode);
        let old = commit(&repo, &lab, "old").unwrap();
        let new = commit(&repo, &lab, "new").unwrap();
        for step in 1.. {
            let run = fault::crash_at(step, || checkout(&repo, &lab, new, Overwrite::Refuse));
            assert_eq!(run.value.is_err(), run.fired);
            assert_eq!(check(&repo), Some(new));
            fsio::remove_tree(&lab.dir("."), "o").unwrap();
            if !run.fired {
                break;
            }
        }
        // Over another version, and then once more: the new version's files, and what only the old one has.
        checkout(&repo, &lab, new, Overwrite::Refuse).unwrap();
        let mut wanted = snapshot(&lab.path("o"));
        fsio::remove_tree(&lab.dir("."), "o").unwrap();
        for step in 1.. {
            checkout(&repo, &lab, old, Overwrite::Refuse).unwrap();
            let before = snapshot(&lab.path("o"));
            let run = fault::crash_at(step, || checkout(&repo, &lab, new, Overwrite::UnionFiles));
            let at_crash = snapshot(&lab.path("o"));
            for (path, seen) in at_crash.iter().filter(|(_, seen)| seen.dir_mtime.is_none()) {
                let is_temporary =
                    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-"));
                let is_whole = [&before, &wanted].into_iter().any(|state| {
                    state
                        .get(path)
                        .is_some_and(|known| (known.mode, &known.content) == (seen.mode, &seen.content))
                });
                // New names grow where they are; names that were there are whole at every moment.
                assert!(is_temporary || is_whole || !before.contains_key(path), "{step}: {path:?} {seen:?}");
            }
            let retried = checkout(&repo, &lab, new, Overwrite::UnionFiles);
            retried.unwrap();
            for (path, seen) in &before {
                wanted.entry(path.clone()).or_insert_with(|| seen.clone());
            }
            let strip = |state: &crate::commit_fixture::Snapshot| {
                state.iter().map(|(path, s)| (path.clone(), s.mode, s.content.clone())).collect::<Vec<_>>()
            };
            assert_eq!(strip(&snapshot(&lab.path("o"))), strip(&wanted), "{format:?} {mode:?} {step}");
            assert_eq!(check(&repo), Some(new));
            fsio::remove_tree(&lab.dir("."), "o").unwrap();
            if !run.fired {
                break;
            }
        }
    }
}

#[test]
fn a_checkout_onto_a_full_disk_fails_with_the_path_and_the_cause() {
    let lab = Lab::in_memory();
    drop(lab.tree("new", &tree("new")));
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let new = commit(&repo, &lab, "new").unwrap();
    for step in 1.. {
        let run =
            fault::fail_at(step, fault::Failure::NoSpace, || checkout(&repo, &lab, new, Overwrite::Refuse));
        if let Err(error) = &run.value {
            assert_eq!(io_cause(error), Some(28), "{step}: {error:?}");
            let text = match error {
                Error::CheckoutFile { path, .. } => path.clone(),
                other => other.to_string(),
            };
            assert!(text.contains('o'), "{step}: {text}");
        }
        assert_eq!(run.value.is_err(), run.fired, "{step}");
        fsio::remove_tree(&lab.dir("."), "o").unwrap();
        if !run.fired {
            break;
        }
    }
}
