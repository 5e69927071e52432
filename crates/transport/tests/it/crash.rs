//! A pull that dies at any write leaves what was there, and the next one succeeds.

use crate::world::*;
use sapwood_fsio::fault::{Failure, crash_at, fail_at};
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::{DeltaName, DeltaOptions, Repo};
use sapwood_testkit::Tree;
use sapwood_transport::{Deltas, DirRemote, PullError, PullOptions, PullOutcome, pull_local};
use std::sync::Arc;

fn tree(version: &str) -> Tree {
    let mut tree = Tree::default();
    tree.file("etc/version", version);
    tree.file("etc/same", "the same in both");
    tree.file("usr/bin/tool", format!("tool of {version}")).mode(0o755);
    tree.symlink("bin", "usr/bin");
    tree
}

type Pull<'a> = dyn Fn(&Repo) -> Result<PullOutcome, PullError> + 'a;

/// Runs the pull into a machine that has the old version, with a fault at each step there is; then once more without.
fn survives(
    format: Format,
    old: Id<Commit>,
    new: Id<Commit>,
    prepare: &Pull<'_>,
    pull: &Pull<'_>,
    crash: bool,
) {
    for step in 1.. {
        let machine = Place::new(format, Mode::BareUser);
        prepare(&machine.repo).unwrap();
        let run = if crash {
            crash_at(step, || pull(&machine.repo).map(drop))
        } else {
            let failure = if step % 2 == 0 { Failure::NoSpace } else { Failure::Io };
            fail_at(step, failure, || pull(&machine.repo).map(drop))
        };
        let repo = machine.reopen();
        let at = repo.ref_target(&local(BRANCH)).unwrap().unwrap();
        assert!(at == old || at == new, "step {step}");
        verified_objects(&repo, at);
        stored(&repo);
        if repo.store().contains(new.name()).unwrap() && !repo.is_partial(new).unwrap() {
            verified_objects(&repo, new);
        }
        assert!(!(run.fired && crash && run.value.is_ok()), "step {step}: nothing succeeds after a crash");
        pull(&repo).unwrap();
        assert_eq!(repo.ref_target(&local(BRANCH)).unwrap(), Some(new), "step {step}");
        verified_objects(&repo, new);
        assert!(!repo.is_partial(new).unwrap());
        if !run.fired {
            assert!(step > 20, "faults were injected");
            return;
        }
    }
}

/// A source with an old and a new version, and a pull that is fixed to one.
fn versions(format: Format, mode: Mode) -> (Place, Id<Commit>, Id<Commit>) {
    let source = Place::new(format, mode);
    let old = source.commit(BRANCH, &tree("1"));
    let new = source.commit(BRANCH, &tree("2"));
    (source, old, new)
}

fn over_directory(format: Format, crash: bool) {
    let (source, old, new) = versions(format, Mode::Archive);
    let pull = |name: String| {
        let path = source.path().to_owned();
        move |repo: &Repo| {
            pull_quietly(repo, Arc::new(DirRemote::new(open_dir(&path), "source")), &want(&name))
        }
    };
    survives(format, old, new, &pull(format!("{BRANCH}@{old}")), &pull(BRANCH.to_owned()), crash);
}

#[test]
fn a_crash_at_any_write_of_a_pull_leaves_the_old_version_or_the_new() {
    for format in FORMATS {
        over_directory(format, true);
    }
}

#[test]
fn a_fault_at_any_write_of_a_pull_by_a_delta_leaves_the_old_version_or_the_new() {
    let (source, old, new) = versions(Format::Ostree, Mode::Archive);
    let name = DeltaName { from: Some(old), to: new };
    source.repo.generate_delta(&name, &DeltaOptions::default(), &[]).unwrap();
    source.repo.update_summary().unwrap();
    let pull = |deltas, name: String| {
        let path = source.path().to_owned();
        move |repo: &Repo| {
            let remote = Arc::new(DirRemote::new(open_dir(&path), "source"));
            pull_quietly(repo, remote, &PullOptions { deltas, ..want(&name) })
        }
    };
    let prepare = pull(Deltas::Never, format!("{BRANCH}@{old}"));
    for crash in [true, false] {
        survives(Format::Ostree, old, new, &prepare, &pull(Deltas::Require, BRANCH.to_owned()), crash);
    }
}

#[test]
fn an_error_at_any_write_of_a_pull_leaves_the_old_version_or_the_new() {
    over_directory(Format::Native, false);
}

#[test]
fn a_crash_at_any_write_of_a_local_pull_leaves_the_old_version_or_the_new() {
    for (format, mode) in [(Format::Native, Mode::BareUser), (Format::Ostree, Mode::Archive)] {
        let (source, old, new) = versions(format, mode);
        let pull = |name: String| {
            let source = &source.repo;
            move |repo: &Repo| pull_local(repo, source, &want(&name), &|_| {})
        };
        survives(format, old, new, &pull(format!("{BRANCH}@{old}")), &pull(BRANCH.to_owned()), true);
    }
}

#[test]
fn a_crash_in_the_middle_of_a_large_object_loses_no_more_than_that() {
    let source = Place::new(Format::Native, Mode::Archive);
    let mut tree = Tree::default();
    tree.file("large", noise(3 << 20));
    let commit = source.commit(BRANCH, &tree);
    let remote = || Arc::new(DirRemote::new(open_dir(source.path()), "source"));
    for step in (1..60).step_by(3) {
        let machine = Place::new(Format::Native, Mode::Archive);
        let run = crash_at(step, || pull_quietly(&machine.repo, remote(), &want(BRANCH)).map(drop));
        assert!(!run.fired || run.value.is_err());
        let repo = machine.reopen();
        pull_quietly(&repo, remote(), &PullOptions { depth: None, ..want(BRANCH) }).unwrap();
        verified_objects(&repo, commit);
    }
}
