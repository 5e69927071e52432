//! Deployments that wait for the shutdown: what happens until then, and when it fails.

use crate::crash::survives_every_crash;
use crate::fixture::{Machine, REF, WAIT, os, tree};
use sapwood_deploy::{
    BootComplete, CleanupOptions, DeployOptions, Error, Finalization, InitOptions, Locked, Origin, Result,
    Staged, Sysroot,
};
use sapwood_fsio::fault::{self, Failure};
use sapwood_fsio::{self as fsio, Dir};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

fn options() -> DeployOptions {
    DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() }
}

/// The sysroot as its first deployment sees it when it runs, with a run-time directory of its own.
pub(crate) fn running(machine: &Machine) -> Sysroot {
    running_at(machine, 0)
}

/// A machine whose deployment at that place of the boot order runs.
fn running_at(machine: &Machine, at: usize) -> Sysroot {
    let path = machine.open().deployments().unwrap().remove(at).path();
    let root = std::fs::metadata(machine.path().join(path)).unwrap();
    machine.open().with_running_root(root.dev(), root.ino()).with_run(run(machine))
}

fn run(machine: &Machine) -> Dir {
    fsio::ensure_dir(&machine.dir(), "run", 0o755).unwrap()
}

fn stage(machine: &Machine) -> Result<Staged> {
    let sysroot = running(machine);
    let commit = sysroot.repo().resolve(REF).unwrap();
    sysroot.lock(WAIT)?.stage(&os(), commit, &options(), Finalization::AtShutdown, &|_| {})
}

fn finalize(locked: &Locked<'_>) -> Result<()> {
    locked.finalize_staged(&|_| {}).map(drop)
}

/// A machine that runs version 1, with an edited `/etc`, and a commit of version 2.
fn updatable() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel 1"));
    machine.deploy(commit, &options()).unwrap();
    machine.write(0, "etc/changed-by-both", "mine\n");
    machine.commit(2, &tree(2, "kernel 2"));
    machine
}

fn staged_machine() -> Machine {
    let machine = updatable();
    stage(&machine).unwrap();
    machine
}

#[test]
fn what_is_staged_boots_after_it_was_finalised_with_the_etc_of_that_time() {
    let machine = updatable();
    let staged = stage(&machine).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)"]);
    assert_eq!(running(&machine).staged().unwrap(), Some(staged.clone()));
    // OSTree's programs ask for the checksums of both kernels.
    let record = fsio::read(&run(&machine), "staged-deployment", 1 << 20).unwrap();
    assert_eq!(record.windows(8).filter(|bytes| bytes == b"bootcsum").count(), 2);
    machine.write(0, "etc/untouched", "edited after staging\n");
    machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default()).unwrap();

    let deployed = running(&machine).lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap().unwrap();
    assert_eq!((deployed.id, deployed.index), (staged.id, 0));
    assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
    assert_eq!(machine.read(0, "etc/untouched").as_deref(), Some("edited after staging\n"));
    assert_eq!(machine.read(0, "etc/changed-by-both").as_deref(), Some("mine\n"));
    assert_eq!(machine.open().staged().unwrap(), None);
    assert!(!machine.exists("run/staged-deployment") && !machine.exists("ostree/staged-deployment"));
    assert!(machine.open().lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap().is_none());
}

#[test]
fn nothing_can_be_staged_where_nothing_runs() {
    let machine = updatable();
    let commit = machine.open().repo().resolve(REF).unwrap();
    let staged = machine.open().lock(WAIT).unwrap().stage(
        &os(),
        commit,
        &options(),
        Finalization::AtShutdown,
        &|_| {},
    );
    assert!(matches!(staged, Err(Error::NotBooted)));
}

#[test]
fn what_is_held_is_finalised_only_when_it_is_let_go() {
    let machine = staged_machine();
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    assert!(locked.set_finalization(Finalization::Held).unwrap());
    assert!(!locked.set_finalization(Finalization::Held).unwrap());
    assert!(locked.finalize_staged(&|_| {}).unwrap().is_none());
    assert!(locked.set_finalization(Finalization::AtShutdown).unwrap());
    assert!(locked.finalize_staged(&|_| {}).unwrap().is_some());
    assert!(matches!(locked.set_finalization(Finalization::Held), Err(Error::NothingStaged)));
}

#[test]
fn what_is_staged_comes_first_and_is_replaced_removed_and_forgotten() {
    let machine = staged_machine();
    let first = machine.open().staged().unwrap().unwrap().id;
    machine.commit(3, &tree(3, "kernel 3"));
    let second = stage(&machine).unwrap().id;
    assert!(!machine.exists(&format!("ostree/deploy/os/deploy/{}", first.dir_name())), "one at a time");
    let sysroot = running(&machine);
    let locked = sysroot.lock(WAIT).unwrap();
    assert!(matches!(locked.set_pinned(0, true), Err(Error::IsStaged { index: 0 })));
    assert!(locked.set_pinned(1, true).unwrap());
    assert_eq!(locked.undeploy(0, &CleanupOptions::default()).unwrap().id, second);
    assert_eq!(locked.staged().unwrap(), None);
    assert!(!machine.exists(&format!("ostree/deploy/os/deploy/{}", second.dir_name())));
    drop(locked);

    stage(&machine).unwrap();
    let commit = machine.open().repo().resolve(REF).unwrap();
    running(&machine).lock(WAIT).unwrap().deploy(&os(), commit, &options(), &|_| {}).unwrap();
    assert_eq!(machine.open().staged().unwrap(), None, "what was asked for later counts");
}

#[test]
fn a_record_that_outlived_a_power_loss_is_made_known_again() {
    let machine = staged_machine();
    fsio::remove_file(&machine.dir(), "run/staged-deployment").unwrap();
    let staged = machine.open().staged().unwrap().unwrap();
    let complete = running(&machine).lock(WAIT).unwrap().boot_complete().unwrap();
    assert_eq!((complete.failure, complete.staged), (None, Some(staged.id)));
    assert!(machine.exists("run/staged-deployment"));
}

#[test]
fn what_was_staged_from_a_deployment_that_does_not_run_any_more_is_forgotten() {
    let machine = staged_machine();
    machine.open().lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap().unwrap();
    machine.commit(3, &tree(3, "kernel 3"));
    let staged = stage(&machine).unwrap();
    let boots = machine.boots();
    // The power fails, and in the boot menu somebody chooses the other one.
    assert_eq!(staged.merge.as_ref(), Some(&machine.open().deployments().unwrap()[0].id));
    let sysroot = running_at(&machine, 1);
    let locked = sysroot.lock(WAIT).unwrap();
    assert_eq!(locked.staged().unwrap(), None);
    assert!(locked.finalize_staged(&|_| {}).unwrap().is_none());
    let complete = locked.boot_complete().unwrap();
    assert_eq!((complete.staged, complete.forgotten), (None, None), "the finalisation forgot it");
    drop(locked);
    assert_eq!(machine.boots(), boots);

    stage(&machine).unwrap();
    let complete = sysroot.lock(WAIT).unwrap().boot_complete().unwrap();
    assert_eq!((complete.staged, complete.forgotten.is_some()), (None, true));
    assert!(!machine.exists("run/staged-deployment") && !machine.exists("ostree/staged-deployment"));
}

#[test]
fn a_failed_finalisation_is_told_once_and_leaves_the_update_staged() {
    let machine = staged_machine();
    let gone = machine.open().deployments().unwrap().remove(0).path();
    fsio::rename(&machine.dir(), format!("{gone}/usr/etc"), &machine.dir(), "kept").unwrap();
    fsio::replace(&machine.dir(), format!("{gone}/usr/etc"), 0o644, b"in the way").unwrap();
    let boots = machine.boots();
    let error = machine.open().lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap_err();
    assert_eq!(machine.boots(), boots);
    fsio::remove_file(&machine.dir(), format!("{gone}/usr/etc")).unwrap();
    fsio::rename(&machine.dir(), "kept", &machine.dir(), format!("{gone}/usr/etc")).unwrap();

    let sysroot = running(&machine);
    let locked = sysroot.lock(WAIT).unwrap();
    let complete = locked.boot_complete().unwrap();
    assert!(complete.failure.unwrap().starts_with(&error.to_string()));
    assert!(complete.staged.is_some());
    assert_eq!(locked.boot_complete().unwrap().failure, None);
    finalize(&locked).unwrap();
    assert_eq!(machine.boots().len(), 2);
}

/// What the record could be after a disk failed, or another program wrote it.
fn damaged_records(good: &[u8]) -> [Vec<u8>; 6] {
    let cut = good[..good.len() - 1].to_vec();
    [Vec::new(), b"x".to_vec(), vec![0xff; 64], cut, good[1..].to_vec(), vec![b'x'; 5 << 20]]
}

#[test]
fn a_record_that_cannot_be_understood_stands_for_nothing_staged_and_goes_with_what_is_done_next() {
    let before = staged_machine();
    let good = fsio::read(&before.dir(), "ostree/staged-deployment", 1 << 16).unwrap();
    let acts: [fn(&Machine) -> Result<()>; 4] = [
        |machine| stage(machine).map(drop),
        |machine| running(machine).lock(WAIT)?.cleanup(&CleanupOptions::default()).map(drop),
        |machine| {
            let commit = machine.repo().resolve(REF).unwrap();
            running(machine).lock(WAIT)?.deploy(&os(), commit, &options(), &|_| {}).map(drop)
        },
        |machine| {
            running(machine).lock(WAIT)?.boot_complete().map(|found| assert!(found.unreadable.is_some()))
        },
    ];
    for (number, bytes) in damaged_records(&good).into_iter().enumerate() {
        let machine = before.copy();
        let boots = machine.boots();
        fsio::replace(&machine.dir(), "ostree/staged-deployment", 0o644, &bytes).unwrap();
        fsio::replace(&run(&machine), "staged-deployment", 0o644, &bytes).unwrap();
        let sysroot = running(&machine);
        assert_eq!((sysroot.staged().unwrap(), sysroot.status().unwrap().staged), (None, None));
        assert!(sysroot.unreadable_staged().unwrap().is_some());
        assert_eq!(machine.boots(), boots);
        acts[number % acts.len()](&machine).unwrap();
        assert!(running(&machine).unreadable_staged().unwrap().is_none(), "{number}");
    }
}

#[test]
fn a_finalisation_that_finds_no_record_it_understands_says_so_and_the_next_boot_does_once() {
    let machine = staged_machine();
    for dir in [fsio::open_dir(&machine.dir(), "ostree").unwrap(), run(&machine)] {
        fsio::replace(&dir, "staged-deployment", 0o644, b"").unwrap();
    }
    let sysroot = running(&machine);
    let locked = sysroot.lock(WAIT).unwrap();
    let error = finalize(&locked).unwrap_err();
    assert!(matches!(error, Error::Record { .. }), "{error}");
    finalize(&locked).unwrap();
    assert_eq!(locked.boot_complete().unwrap().failure, Some(error.to_string()));
    assert_eq!(locked.boot_complete().unwrap(), BootComplete::default());
    assert_eq!(machine.boots().len(), 1);
}

#[test]
fn of_two_records_the_one_that_can_be_understood_counts() {
    let machine = staged_machine();
    fsio::replace(&run(&machine), "staged-deployment", 0o644, b"").unwrap();
    finalize(&running(&machine).lock(WAIT).unwrap()).unwrap();
    assert_eq!(machine.boots().len(), 2);
}

#[test]
fn a_crash_at_any_step_of_staging_changes_nothing_that_boots_and_can_be_repeated() {
    let before = updatable();
    let boots = before.boots();
    for step in 1.. {
        let machine = before.copy();
        let crashed = fault::crash_at(step, || stage(&machine));
        assert_eq!(machine.boots(), boots);
        let survived = machine.open().staged().unwrap();
        assert!(crashed.fired || survived.is_some());
        stage(&machine).unwrap();
        machine.open().lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap().unwrap();
        assert_eq!(
            machine.boots().first().map(String::as_str),
            Some("Tiny OS 2.0 (ostree:0)"),
            "step {step}"
        );
        if !crashed.fired {
            assert!(step > 20);
            return;
        }
    }
}

#[test]
fn a_crash_at_any_step_of_a_finalisation_leaves_the_old_order_with_the_update_staged_or_the_new_one() {
    survives_every_crash(&staged_machine(), &finalize);
}

/// What a boot finds: the run-time directory is empty, and the record on the disk is all there is.
pub(crate) fn reboot(machine: &Machine) {
    fsio::remove_tree(&machine.dir(), "run").unwrap();
}

#[test]
fn a_finalisation_that_a_power_loss_ended_at_any_step_is_told_of_and_still_staged_or_done() {
    let before = staged_machine();
    let old = before.boots();
    let mut told = 0;
    for step in 1.. {
        let machine = before.copy();
        let crashed = fault::crash_at(step, || finalize(&running(&machine).lock(WAIT)?));
        reboot(&machine);
        let sysroot = running(&machine);
        let complete = sysroot.lock(WAIT).unwrap().boot_complete().unwrap();
        assert_eq!(complete.staged.is_some(), machine.boots() == old, "step {step}");
        if complete.staged.is_some() {
            // As long as nothing says that it began, nothing was done.
            assert!(complete.failure.is_some() || told == 0, "step {step}");
            told += usize::from(complete.failure.is_some());
            assert_eq!(sysroot.lock(WAIT).unwrap().boot_complete().unwrap().failure, None, "told once");
            finalize(&sysroot.lock(WAIT).unwrap()).unwrap();
        } else {
            assert_eq!(complete.failure, None, "step {step}");
        }
        assert_eq!(machine.boots().len(), 2, "step {step}");
        if !crashed.fired {
            assert!(told > 20, "told {told} times in {step} steps");
            return;
        }
    }
}

/// The name of the overlay that [`with_an_overlay_of_ostree`] has, by `printf overlay | sha256sum`.
const OVERLAY: &str = "b4b33d2441645d4dd0a0694b5989a0a14a5cc22fe9865e6b7b7eae966e0de36c.img";

/// Stages version 2 with an overlay, and leaves of that what OSTree leaves: the record and the overlay are in the run-time
/// directory alone.
pub(crate) fn with_an_overlay_of_ostree(machine: &Machine) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"overlay").unwrap();
    let sysroot = running(machine);
    let locked = sysroot.lock(WAIT).unwrap();
    let overlays = vec![locked.add_overlay(&file).unwrap()];
    assert_eq!(overlays, [OVERLAY]);
    let commit = sysroot.repo().resolve(REF).unwrap();
    let options = DeployOptions { overlays, ..options() };
    locked.stage(&os(), commit, &options, Finalization::AtShutdown, &|_| {}).unwrap();
    for path in [&format!("boot/ostree/initramfs-overlays/{OVERLAY}"), "ostree/staged-deployment"] {
        fsio::remove_file(&machine.dir(), path).unwrap();
    }
}

/// Whether the default boots with the overlay, which is there.
pub(crate) fn boots_with_the_overlay(machine: &Machine) -> bool {
    let entry = machine.open().deployments().unwrap().remove(0).entry;
    let named = format!("/ostree/initramfs-overlays/{OVERLAY}");
    entry.all("initrd").any(|initrd| initrd == named)
        && fsio::read(&machine.dir(), format!("boot{named}"), 100).is_ok_and(|bytes| bytes == b"overlay")
}

#[test]
fn an_overlay_that_only_the_run_time_directory_has_is_lost_with_what_names_it_or_outlives_a_power_loss() {
    let before = two_deployments();
    before.commit(2, &tree(2, "kernel 2"));
    with_an_overlay_of_ostree(&before);
    let old = before.boots();
    for (what, act) in
        [("finalize", &finalize as &Replace), ("rollback", &|locked| locked.rollback().map(drop))]
    {
        let mut kept = 0;
        for step in 1.. {
            let machine = before.copy();
            let crashed = fault::crash_at(step, || act(&running(&machine).lock(WAIT)?));
            reboot(&machine);
            let sysroot = running(&machine);
            let locked = sysroot.lock(WAIT).unwrap();
            if locked.boot_complete().unwrap().staged.is_some() {
                assert_eq!(machine.boots(), old, "{what}: step {step}");
                finalize(&locked).unwrap();
                assert!(boots_with_the_overlay(&machine), "{what}: step {step}");
                kept += 1;
            } else if machine.boots() == old {
                // As long as it is as OSTree left it, nothing of it outlives the boot.
                assert_eq!(kept, 0, "{what}: step {step}");
            }
            if !crashed.fired {
                assert_eq!(boots_with_the_overlay(&machine), what == "finalize");
                assert_eq!(kept > 20, what == "finalize", "kept {kept} times in {step} steps");
                break;
            }
        }
    }
}

type Replace = dyn Fn(&Locked<'_>) -> Result<()>;

/// What replaces what is staged: another deployment, and another default.
fn replacements(machine: &Machine) -> [(&'static str, Box<Replace>); 2] {
    let commit = machine.commit_to("os/other", 3, &tree(3, "kernel 3"));
    let deploy = move |locked: &Locked<'_>| locked.deploy(&os(), commit, &options(), &|_| {}).map(drop);
    let rollback = |locked: &Locked<'_>| locked.rollback().map(drop);
    [("deploy", Box::new(deploy)), ("rollback", Box::new(rollback))]
}

fn two_deployments() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    for number in 0..=1 {
        let commit = machine.commit(number, &tree(number, &format!("kernel {number}")));
        machine.deploy(commit, &options()).unwrap();
    }
    machine
}

/// A machine with two deployments and something staged.
fn two_and_staged() -> Machine {
    let machine = two_deployments();
    machine.commit(2, &tree(2, "kernel 2"));
    stage(&machine).unwrap();
    machine
}

#[test]
fn what_is_staged_is_replaced_in_one_step_whenever_the_power_fails() {
    let before = two_and_staged();
    for (what, replace) in replacements(&before) {
        let old = before.boots();
        for step in 1.. {
            let machine = before.copy();
            let crashed = fault::crash_at(step, || replace(&running(&machine).lock(WAIT)?));
            reboot(&machine);
            let staged = machine.open().staged().unwrap().is_some();
            assert_eq!(staged, machine.boots() == old, "{what}: step {step}");
            // Whatever is done next does not bring it back.
            machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default()).unwrap();
            let complete = machine.open().lock(WAIT).unwrap().boot_complete().unwrap();
            assert_eq!(complete.staged.is_some(), staged, "{what}: step {step}");
            if !staged {
                machine.open().lock(WAIT).unwrap().set_default(1).unwrap();
                assert_eq!(machine.open().staged().unwrap(), None, "{what}: step {step}");
            }
            if !crashed.fired {
                assert!(step > 20);
                break;
            }
        }
    }
}

#[test]
fn what_is_staged_stays_so_when_what_would_replace_it_fails() {
    let before = two_and_staged();
    for (what, replace) in replacements(&before) {
        let old = before.boots();
        for step in 1.. {
            let machine = before.copy();
            let failed = fault::fail_at(step, Failure::NoSpace, || replace(&running(&machine).lock(WAIT)?));
            reboot(&machine);
            let staged = machine.open().staged().unwrap().is_some();
            assert_eq!(staged, machine.boots() == old, "{what}: step {step}: {:?}", failed.value);
            if !failed.fired {
                break;
            }
        }
    }
}

#[test]
fn what_was_staged_stays_so_when_staging_something_else_fails() {
    let before = staged_machine();
    let first = before.open().staged().unwrap().unwrap().id;
    let other = before.commit(3, &tree(3, "kernel 3"));
    for step in 1.. {
        let machine = before.copy();
        let failed = fault::fail_at(step, Failure::Io, || stage(&machine));
        let staged = running(&machine).staged().unwrap().expect("one of the two").id;
        assert!(staged == first || (staged.commit == other && step > 20), "step {step}");
        finalize(&running(&machine).lock(WAIT).unwrap()).unwrap();
        if !failed.fired {
            return;
        }
    }
}

#[test]
fn a_finalisation_that_fails_at_any_step_leaves_the_update_staged() {
    let before = staged_machine();
    let old = before.boots();
    for failure in [Failure::NoSpace, Failure::Io] {
        for step in 1.. {
            let machine = before.copy();
            let sysroot = machine.open();
            let failed = fault::fail_from(step, failure, || finalize(&sysroot.lock(WAIT)?));
            match &failed.value {
                Ok(()) | Err(Error::AfterSwitch { .. }) => assert_eq!(machine.boots().len(), 2),
                Err(error) => {
                    assert_eq!(machine.boots(), old, "{error}");
                    assert!(machine.open().staged().unwrap().is_some(), "{error}");
                }
            }
            if !failed.fired {
                break;
            }
            finalize(&machine.open().lock(WAIT).unwrap()).unwrap();
            assert_eq!(machine.boots().len(), 2, "{failure:?} at step {step}");
        }
    }
}

/// Else a clean-up would take its objects, and no shutdown could finalise it.
#[test]
fn what_is_staged_instead_of_something_else_gets_its_ref() {
    let machine = staged_machine();
    machine.commit(3, &tree(3, "kernel 3"));
    let staged = stage(&machine).unwrap();
    machine.commit(4, &tree(4, "kernel 4"));
    running(&machine).lock(WAIT).unwrap().cleanup(&CleanupOptions::default()).unwrap();
    assert!(machine.repo().root(staged.id.commit).is_ok());
    finalize(&running(&machine).lock(WAIT).unwrap()).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 3.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
}
