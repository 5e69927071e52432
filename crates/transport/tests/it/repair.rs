//! Bringing back what is damaged: no damaged object goes before its replacement is there, whatever happens on the way.

use crate::world::*;
use sapwood_fsio::fault::{Failure, Run, crash_at, fail_at};
use sapwood_objstore::{Commit, Format, Id, Mode, ObjectKind, ObjectName, Verdict};
use sapwood_repo::{FsckOptions, OnCorrupt, Repo};
use sapwood_testkit::Tree;
use sapwood_transport::{DirRemote, PullError, PullOptions, Wanted, pull_local};
use std::path::PathBuf;
use std::sync::Arc;

/// Checks, and pulls each damaged commit again with what is corrupt, by `pull`.
fn repair(repo: &Repo, pull: &dyn Fn(&Repo, &PullOptions) -> Result<(), PullError>) -> Result<(), PullError> {
    let options = FsckOptions { on_corrupt: OnCorrupt::Mark, ..FsckOptions::default() };
    let report = repo.fsck(&options, &|_| ())?;
    let corrupt = report.findings.iter().filter(|finding| finding.problem.is_corrupt());
    let replace: Vec<ObjectName> = corrupt.map(|finding| finding.object).collect();
    for commit in report.marked.iter().chain(&report.damaged) {
        let wanted = vec![Wanted::Commit(*commit)];
        pull(repo, &PullOptions { wanted, replace: replace.clone(), ..want(BRANCH) })?;
    }
    Ok(())
}

fn file_of(repo: &Place, name: ObjectName) -> PathBuf {
    let hex = name.id.to_hex();
    let file = name.to_string();
    let extension = file.rsplit_once('.').unwrap().1;
    repo.path().join(format!("objects/{}/{}.{extension}", &hex[..2], &hex[2..]))
}

/// Damages an object of each kind in a machine's repository; returns those that are corrupt, with their files.
#[expect(clippy::disallowed_methods, reason = "the fixture is damaged without the code under test")]
fn damage(machine: &Place, commit: Id<Commit>) -> Vec<(ObjectName, PathBuf)> {
    let all = verified_objects(&machine.repo, commit);
    let of = |kind| all.iter().filter(move |name| name.kind == kind).copied().collect::<Vec<_>>();
    let (files, trees, metas) = (of(ObjectKind::File), of(ObjectKind::DirTree), of(ObjectKind::DirMeta));
    let corrupt = [commit.name(), trees[0], metas[0], files[0], files[1]];
    let damaged: Vec<_> = corrupt.into_iter().map(|name| (name, file_of(machine, name))).collect();
    for (at, (_, path)) in damaged.iter().enumerate() {
        std::fs::remove_file(path).unwrap();
        if at == 4 {
            std::fs::create_dir(path).unwrap();
        } else {
            std::fs::write(path, "damaged").unwrap();
        }
    }
    std::fs::remove_file(file_of(machine, files[2])).unwrap();
    damaged
}

fn tree() -> Tree {
    let mut tree = Tree::default();
    for name in ["etc/a", "etc/b", "usr/bin/c", "usr/d"] {
        tree.file(name, format!("the content of {name}"));
    }
    tree
}

type Done = Result<(), PullError>;
type Repair<'a> = dyn FnMut() -> Done + 'a;

fn survives(format: Format, fault: &dyn Fn(u64, &mut Repair<'_>) -> Run<Done>) {
    let source = Place::new(format, Mode::Archive);
    let commit = source.commit(BRANCH, &tree());
    for step in 1.. {
        let machine = Place::new(format, Mode::BareUser);
        pull_local(&machine.repo, &source.repo, &want(BRANCH), &|_| ()).unwrap();
        let damaged = damage(&machine, commit);
        let path = source.path().to_owned();
        let local = |repo: &Repo, options: &PullOptions| {
            pull_local(repo, &Repo::open(&open_dir(&path)).unwrap(), options, &|_| ()).map(drop)
        };
        let remote = |repo: &Repo, options: &PullOptions| {
            pull_quietly(repo, Arc::new(DirRemote::new(open_dir(&path), "source")), options).map(drop)
        };
        let pull: &dyn Fn(&Repo, &PullOptions) -> Result<(), PullError> =
            if step % 2 == 0 { &local } else { &remote };
        let run = fault(step, &mut || repair(&machine.repo, pull));
        let repo = machine.reopen();
        for (name, path) in &damaged {
            assert!(path.exists(), "step {step}: {name} went before its replacement came");
        }
        repair(&repo, pull).unwrap();
        for (name, _) in &damaged {
            assert_eq!(repo.store().verify(*name).unwrap(), Verdict::Good, "step {step}");
        }
        let report = repo.fsck(&FsckOptions::default(), &|_| ()).unwrap();
        assert!(report.is_clean() && report.partial.is_empty(), "step {step}: {report:?}");
        if !run.fired {
            assert!(step > 20 && run.value.is_ok(), "{:?}", run.value);
            return;
        }
    }
}

#[test]
fn a_crash_at_any_write_of_a_repair_leaves_each_object_as_it_was_or_whole() {
    for format in [Format::Native, Format::Ostree] {
        survives(format, &|step, repair| crash_at(step, repair));
    }
}

#[test]
fn a_failing_disk_costs_a_repair_no_object() {
    survives(Format::Ostree, &|step, repair| fail_at(step, Failure::NoSpace, repair));
}

#[test]
fn what_the_source_has_not_stays_as_it_is() {
    let (source, machine) =
        (Place::new(Format::Ostree, Mode::Archive), Place::new(Format::Ostree, Mode::Bare));
    let commit = source.commit(BRANCH, &tree());
    pull_local(&machine.repo, &source.repo, &want(BRANCH), &|_| ()).unwrap();
    let damaged = damage(&machine, commit);
    for (name, _) in &damaged {
        source.repo.store().remove(*name).unwrap();
    }
    let pull =
        |repo: &Repo, options: &PullOptions| pull_local(repo, &source.repo, options, &|_| ()).map(drop);
    assert!(repair(&machine.repo, &pull).is_err());
    assert!(damaged.iter().all(|(_, path)| path.exists()));
}
