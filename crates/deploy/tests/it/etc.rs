//! What a merge of `/etc` will do and did: told before, the same when it is done, and remembered after.

use crate::fixture::{Machine, REF, WAIT, os, tree};
use sapwood_deploy::{Conflict, DeployOptions, Finalization, InitOptions, Merge, Origin, Policy};
use sapwood_etcmerge::{ConflictKind, Resolution, ScanOptions, Snapshot, diff, scan};
use sapwood_fsio::{self as fsio};
use sapwood_objstore::{Format, Mode};
use std::os::unix::fs::MetadataExt as _;

const POLICIES: [Policy; 3] = [Policy::KeepLocal, Policy::KeepNew, Policy::KeepBoth];

fn options(policy: Policy) -> DeployOptions {
    DeployOptions {
        origin: Some(Origin::from_refspec(REF)),
        merge: Merge::Etc(policy),
        ..DeployOptions::default()
    }
}

/// Runs version 1, edited so that version 2 has something to contradict.
fn edited(init: &InitOptions) -> Machine {
    let machine = Machine::new(init);
    let mut one = tree(1, "kernel 1");
    one.file("usr/etc/dropped", "default\n");
    let commit = machine.commit(1, &one);
    machine.deploy(commit, &options(Policy::KeepLocal)).unwrap();
    machine.write(0, "etc/changed-by-both", "mine\n");
    machine.write(0, "etc/dropped", "mine\n");
    machine.write(0, "etc/added", "mine\n");
    machine.remove(0, "etc/sub/deleted");
    machine
}

fn two() -> sapwood_testkit::Tree {
    let mut two = tree(2, "kernel 2");
    two.file("usr/etc/sub/new", "default 2\n");
    two.file("usr/etc/a-program", "#!\n").mode(0o755);
    two
}

fn etc(machine: &Machine, index: usize) -> Snapshot {
    let path = machine.open().deployments().unwrap()[index].path();
    scan(&fsio::open_dir(&machine.dir(), format!("{path}/etc")).unwrap(), &ScanOptions::default()).unwrap()
}

#[test]
fn a_preview_changes_nothing_and_is_what_deploying_does() {
    for format in [Format::Ostree, Format::Native] {
        for mode in [Mode::Bare, Mode::BareUser, Mode::BareUserOnly] {
            for policy in POLICIES {
                let context = format!("{format:?} {mode:?} {policy:?}");
                let machine = edited(&InitOptions { format, mode, ..InitOptions::default() });
                let commit = machine.commit(2, &two());
                let before = machine.snapshot(".");
                let preview = machine.open().preview_merge(&os(), commit, policy).unwrap();
                assert_eq!(machine.snapshot("."), before, "{context}");
                assert_eq!(preview.conflicts.len(), 2, "{context}");

                let deployed = machine.deploy(commit, &options(policy)).unwrap();
                assert_eq!(Some(preview.from), deployed.merged_from, "{context}");
                assert_eq!(preview.conflicts, deployed.conflicts, "{context}");
                assert_eq!(preview.changes, diff(&etc(&machine, 1), &etc(&machine, 0)), "{context}");
            }
        }
    }
}

#[test]
fn a_deployment_remembers_its_conflicts_as_long_as_it_is_there() {
    let machine = edited(&InitOptions::default());
    let commit = machine.commit(2, &two());
    let deployed = machine.deploy(commit, &options(Policy::KeepBoth)).unwrap();
    let remembered = |index: usize| machine.open().deployments().unwrap()[index].origin.etc_conflicts();
    let both = |path: &str| Conflict {
        path: path.into(),
        kind: ConflictKind::BothModified,
        resolution: Resolution::KeptBoth { beside: format!("{path}.new-default").into() },
    };
    let dropped = Conflict {
        path: "dropped".into(),
        kind: ConflictKind::ModifiedDeleted,
        resolution: Resolution::KeptLocal,
    };
    assert_eq!(deployed.conflicts, [both("changed-by-both"), dropped]);
    assert_eq!((remembered(0).listed, remembered(0).omitted), (deployed.conflicts, 0));
    assert!(remembered(1).is_empty());
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    assert!(locked.set_pinned(0, true).unwrap() && locked.set_pinned(0, false).unwrap());
    assert_eq!(remembered(0).listed.len(), 2, "pinning is another matter");
    drop(locked);

    // The next one has nothing new to contradict, and does not inherit them.
    let commit = machine.commit(3, &two());
    assert_eq!(machine.deploy(commit, &options(Policy::KeepLocal)).unwrap().conflicts, []);
    assert!(remembered(0).is_empty());
    assert_eq!(remembered(1).listed.len(), 2);
}

#[test]
fn the_policy_of_what_is_staged_is_followed_when_it_is_finalised_and_the_conflicts_are_remembered() {
    for policy in POLICIES {
        let machine = edited(&InitOptions::default());
        let root = machine.open().deployments().unwrap().remove(0).path();
        let root = std::fs::metadata(machine.path().join(root)).unwrap();
        let sysroot = machine.open().with_running_root(root.dev(), root.ino());
        let commit = machine.commit(2, &two());
        let locked = sysroot.lock(WAIT).unwrap();
        let at = Finalization::AtShutdown;
        let staged = locked.stage(&os(), commit, &options(policy), at, &|_| {}).unwrap();
        assert!(staged.origin.etc_conflicts().is_empty(), "nothing is merged yet");
        drop(locked);
        let deployed = machine.open().lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap().unwrap();
        let [etc, beside] = ["etc/changed-by-both", "etc/changed-by-both.new-default"]
            .map(|path| machine.read(0, path).unwrap_or_default());
        let expected = match policy {
            Policy::KeepLocal => ("mine\n", ""),
            Policy::KeepNew => ("default 2\n", ""),
            Policy::KeepBoth => ("mine\n", "default 2\n"),
        };
        assert_eq!((etc.as_str(), beside.as_str()), expected, "{policy:?}");
        let origin = &machine.open().deployments().unwrap()[0].origin;
        assert_eq!(origin.etc_conflicts().listed, deployed.conflicts, "{policy:?}");
        assert_eq!(deployed.conflicts.len(), 2, "{policy:?}");
    }
}
