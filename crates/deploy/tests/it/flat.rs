//! Boot directories without links: FAT, from which systemd-boot starts. The model of it is a directory `loader`, in any
//! filesystem; where root runs the tests, it is also a FAT filesystem.

use crate::crash::{
    deploy_once, inodes, prepare, roll_back, run, survives_every_crash, survives_every_failure,
    undeploy_last, undeploy_second, upgrade,
};
use crate::fixture::{Machine, WAIT, tree};
use sapwood_deploy::{CleanupOptions, DeployOptions, Error, InitOptions, Result};
use sapwood_fsio::fault::{self, Call, Op};
use sapwood_fsio::{self as fsio, Kind};
use sapwood_testkit::skipped;
use std::collections::BTreeSet;
use std::path::Path;

/// A machine whose entries are in a directory, with so many deployments and one more version to upgrade to.
fn flat(upgrades: u64) -> Machine {
    let machine = Machine::new(&InitOptions::default());
    fsio::ensure_dir(&machine.dir(), "boot/loader/entries", 0o755).unwrap();
    prepare(&machine, upgrades, None);
    machine
}

/// The same on FAT; `None`, and a line that says so, where that cannot be.
fn on_fat(upgrades: u64) -> Option<Machine> {
    let mut machine = Machine::new(&InitOptions::default());
    if !machine.boot_from_fat() {
        skipped("no FAT filesystem can be made and mounted here");
        return None;
    }
    prepare(&machine, upgrades, None);
    Some(machine)
}

fn set_counting(machine: &Machine, tries: &str) {
    let set = |config: &mut sapwood_repo::Keyfile| {
        config.set("sysroot", "boot-counting-tries", tries);
    };
    machine.repo().edit_config(set).unwrap();
}

/// The names of the entries, as a boot loader sees them.
fn names(machine: &Machine) -> Vec<String> {
    machine.snapshot("boot/loader/entries").into_keys().map(|path| path.display().to_string()).collect()
}

/// The numbers in a name, and its counters. systemd-boot compares names number by number, the highest first, and has what
/// may not be tried any more at the end.
fn numbers(name: &str) -> (Vec<u64>, Option<u64>) {
    let (stem, counters) = match name.strip_suffix(".conf").unwrap().split_once('+') {
        Some((stem, counters)) => (stem, counters.split('-').next().map(|left| left.parse().unwrap())),
        None => (name.strip_suffix(".conf").unwrap(), None),
    };
    (stem.split('-').filter_map(|part| part.parse().ok()).collect(), counters)
}

/// Where entries are in one directory, what boots by default by systemd-boot's order is what we say.
pub(crate) fn check_order(machine: &Machine) {
    let loader = fsio::stat_optional(&machine.dir(), "boot/loader").unwrap();
    if loader.is_none_or(|stat| stat.kind != Kind::Dir) {
        return;
    }
    let names = names(machine);
    let seen = names.iter().filter(|name| !name.starts_with('.') && name.strip_suffix(".conf").is_some());
    let first = seen.max_by_key(|name| {
        let (numbers, left) = numbers(name);
        (left != Some(0), numbers)
    });
    let text = first.map(|first| {
        let path = format!("boot/loader/entries/{first}");
        String::from_utf8(fsio::read(&machine.dir(), path, 1 << 20).unwrap()).unwrap()
    });
    let expected = machine.open().deployments().unwrap().first().map(|first| first.entry.to_text());
    assert_eq!(text, expected, "{names:?}");
}

#[test]
fn each_set_has_names_that_come_before_those_of_the_last() {
    let machine = flat(2);
    assert_eq!(names(&machine), ["ostree-0-2-1.conf", "ostree-2.conf"]);
    assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
    machine.open().lock(WAIT).unwrap().rollback().unwrap();
    assert_eq!(names(&machine), ["ostree-0-3-1.conf", "ostree-3.conf"]);
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)", "Tiny OS 2.0 (ostree:1)"]);
    assert!(!machine.exists("boot/boot") && !machine.exists("boot/loader.tmp"));
    for left in [1, 0] {
        machine.open().lock(WAIT).unwrap().undeploy(0, &CleanupOptions::default()).unwrap();
        assert_eq!(names(&machine).len(), left);
    }
}

#[test]
fn a_crash_at_any_step_leaves_a_set_whose_default_comes_first() {
    let fresh = Machine::new(&InitOptions::default());
    fsio::ensure_dir(&fresh.dir(), "boot/loader/entries", 0o755).unwrap();
    fresh.commit(1, &tree(1, "kernel"));
    survives_every_crash(&fresh, &deploy_once);
    survives_every_crash(&flat(2), &upgrade);
    let machine = flat(2);
    survives_every_crash(&machine, &roll_back(&machine));
    survives_every_crash(&machine, &undeploy_second(&machine));
    // From either set of links to the other one.
    let one = flat(1);
    survives_every_crash(&one, &undeploy_last);
    let zero = flat(3);
    run(&zero, &undeploy_second(&zero)).unwrap();
    survives_every_crash(&zero, &undeploy_last);
}

#[test]
fn ending_the_count_is_settled_before_the_name_with_the_counter_goes_and_after_it() {
    let machine = flat(1);
    set_counting(&machine, "3");
    run(&machine, &upgrade).unwrap();
    let sysroot = running(&machine, 0);
    let locked = sysroot.lock(WAIT).unwrap();
    let (blessed, calls) = fault::record(|| locked.bless());
    assert!(blessed.unwrap().is_some());
    let gone =
        calls.iter().position(|call| call.op == Op::Unlink && call.path == Path::new("ostree-2+3.conf"));
    let (before, after) = calls.split_at(gone.unwrap());
    assert_eq!(before.last().map(|call| call.op), Some(Op::Syncfs));
    assert_eq!(after.get(1).map(|call| call.op), Some(Op::Syncfs));
}

#[test]
fn where_all_entries_are_lost_nothing_is_taken_for_unneeded() {
    let trees =
        |machine: &Machine| (machine.snapshot("ostree/deploy"), machine.snapshot("ostree/repo/objects"));
    let remade = |machine: &Machine| {
        fsio::remove_tree(&machine.dir(), "boot/loader").unwrap();
        fsio::ensure_dir(&machine.dir(), "boot/loader/entries", 0o755).unwrap();
    };
    let emptied = |machine: &Machine| {
        let entries = machine.dir().canonicalize("boot/loader/entries").unwrap();
        let entries = fsio::open_dir(&machine.dir(), entries).unwrap();
        for entry in fsio::entries(&entries).unwrap() {
            fsio::remove_file(&entries, &entry.name).unwrap();
        }
    };
    let unlinked = |machine: &Machine| fsio::remove_file(&machine.dir(), "boot/loader").unwrap();
    let linked = || {
        let machine = Machine::new(&InitOptions::default());
        prepare(&machine, 2, None);
        machine
    };
    let machines = [flat(2), flat(3), linked(), linked(), linked()];
    let losses: [&dyn Fn(&Machine); 5] = [&remade, &emptied, &remade, &emptied, &unlinked];
    for (machine, lose) in machines.iter().zip(losses) {
        let link = if machine.exists("ostree/boot.1") { "ostree/boot.1" } else { "ostree/boot.0" };
        lose(machine);
        let before = trees(machine);
        let refused = [
            machine.open().deployments().map(drop),
            run(machine, &|locked| locked.cleanup(&CleanupOptions::default()).map(drop)),
            run(machine, &deploy_once),
        ];
        let text = format!("no boot entry is there, though {link} leads to deployments: is /boot mounted?");
        for refused in refused {
            assert_eq!(refused.unwrap_err().to_string(), text);
        }
        assert!(before == trees(machine));
        // Whoever takes the link away wants a new list.
        fsio::remove_file(&machine.dir(), link).unwrap();
        run(machine, &deploy_once).unwrap();
        assert_eq!(machine.boots().len(), 1);
    }
}

/// What is left of a first list that was not cleaned up after, seen while the boot directory is not mounted.
#[test]
fn an_empty_set_of_links_beside_another_means_nothing_where_there_is_no_boot_directory() {
    let linked = Machine::new(&InitOptions::default());
    prepare(&linked, 2, None);
    for machine in [flat(2), linked] {
        let (used, empty) =
            if machine.exists("ostree/boot.1") { ("boot.1", "boot.0") } else { ("boot.0", "boot.1") };
        fsio::ensure_dir(&machine.dir(), format!("ostree/{empty}.0"), 0o755).unwrap();
        let ostree = fsio::open_dir(&machine.dir(), "ostree").unwrap();
        fsio::symlink(format!("{empty}.0"), &ostree, empty).unwrap();
        assert_eq!(machine.boots().len(), 2, "it means nothing beside entries");
        for entry in fsio::entries(&fsio::open_dir(&machine.dir(), "boot").unwrap()).unwrap() {
            fsio::remove_tree(&machine.dir(), format!("boot/{}", entry.name.display())).unwrap();
        }
        let before = machine.snapshot("ostree/deploy");
        let refused =
            run(&machine, &|locked| locked.cleanup(&CleanupOptions::default()).map(drop)).unwrap_err();
        let text =
            format!("no boot entry is there, though ostree/{used} leads to deployments: is /boot mounted?");
        assert_eq!(refused.to_string(), text);
        assert_eq!(machine.snapshot("ostree/deploy"), before);
    }
}

#[test]
fn a_crash_at_any_step_on_fat_leaves_a_set_whose_default_comes_first() {
    let Some(machine) = on_fat(2) else { return };
    survives_every_crash(&machine, &upgrade);
    survives_every_crash(&machine, &roll_back(&machine));
}

#[test]
fn a_full_or_broken_disk_at_any_step_leaves_the_old_set_and_says_so() {
    survives_every_failure(&flat(1), &upgrade);
}

/// Power loss: as `all_is_synced_before_the_switch_and_the_switch_before_anything_is_deleted` has it for links.
#[test]
fn the_switch_is_one_name_after_a_sync_of_everything_and_no_link_is_made_in_the_boot_directory() {
    let machine = flat(2);
    let mut old = BTreeSet::new();
    for dir in ["boot", "ostree/deploy"] {
        inodes(&fsio::open_dir(&machine.dir(), dir).unwrap(), &mut old);
    }
    let (outcome, calls) = fault::record(|| run(&machine, &upgrade));
    outcome.unwrap();
    let switch =
        calls.iter().position(|call| call.op == Op::Rename && call.path == Path::new("ostree-3.conf"));
    let (before, after) = calls.split_at(switch.unwrap());
    assert_eq!(before.last().map(|call| call.op), Some(Op::Syncfs));
    assert_eq!(after.get(1).map(|call| call.op), Some(Op::Fsync));
    let removes_old = |call: &Call| {
        matches!(call.op, Op::Unlink | Op::Rmdir) && call.file.is_some_and(|file| old.contains(&file))
    };
    assert_eq!(before.iter().find(|call| removes_old(call)), None);
    let entry = |call: &Call| call.path.extension().is_some_and(|extension| extension == "conf");
    let last_entry = after.iter().rposition(|call| removes_old(call) && entry(call)).unwrap();
    let first_other = after.iter().position(|call| removes_old(call) && !entry(call)).unwrap();
    let synced = after[last_entry..].iter().position(|call| call.op == Op::Syncfs).unwrap() + last_entry;
    assert!(synced < first_other, "an entry that comes back must not lead to what is gone");
    let mut boot = BTreeSet::new();
    inodes(&fsio::open_dir(&machine.dir(), "boot").unwrap(), &mut boot);
    let linked =
        calls.iter().find(|call| call.op == Op::Symlink && call.dir.is_some_and(|dir| boot.contains(&dir)));
    assert_eq!(linked, None);
}

#[test]
fn what_an_interrupted_run_left_does_not_become_part_of_the_next_set() {
    let machine = flat(2);
    let text = fsio::read(&machine.dir(), "boot/loader/entries/ostree-0-2-1.conf", 1 << 20).unwrap();
    for name in ["ostree-0-3-7.conf", "ostree-1.conf"] {
        fsio::replace(&machine.dir(), format!("boot/loader/entries/{name}"), 0o644, &text).unwrap();
    }
    assert_eq!(machine.boots().len(), 2);
    machine.open().lock(WAIT).unwrap().rollback().unwrap();
    assert_eq!(names(&machine), ["ostree-0-3-1.conf", "ostree-3.conf"]);
}

#[test]
fn entries_without_a_default_stop_everything_before_anything_is_removed() {
    let machine = flat(2);
    fsio::remove_file(&machine.dir(), "boot/loader/entries/ostree-2.conf").unwrap();
    let refused = machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default());
    assert!(matches!(refused, Err(Error::BadEntry { .. })), "{refused:?}");
    assert!(machine.exists("boot/loader/entries/ostree-0-2-1.conf"));
}

#[test]
fn a_boot_loader_that_is_switched_by_a_link_is_refused_where_there_are_none() {
    let machine = flat(1);
    fsio::replace(&machine.dir(), "boot/loader/uEnv.txt", 0o644, b"").unwrap();
    let refused = machine.open().lock(WAIT).unwrap().set_default(0);
    assert!(matches!(refused, Err(Error::NoLinks { .. })), "{refused:?}");
}

/// What systemd-boot does before it starts an entry.
fn count_down(machine: &Machine, name: &str, next: &str) {
    let entries = fsio::open_dir(&machine.dir(), "boot/loader/entries").unwrap();
    fsio::rename(&entries, name, &entries, next).unwrap();
}

/// The sysroot as the running deployment sees it.
fn running(machine: &Machine, index: usize) -> sapwood_deploy::Sysroot {
    let path = machine.open().deployments().unwrap()[index].path();
    let stat = fsio::stat(&machine.dir(), path).unwrap();
    machine.open().with_running_root(stat.dev, stat.ino)
}

#[test]
fn a_new_deployment_is_counted_until_its_boot_succeeded_and_then_no_more() {
    for machine in [Some(flat(1)), on_fat(1)].into_iter().flatten() {
        set_counting(&machine, "3");
        run(&machine, &upgrade).unwrap();
        assert_eq!(names(&machine), ["ostree-0-2-1.conf", "ostree-2+3.conf"]);
        count_down(&machine, "ostree-2+3.conf", "ostree-2+2-1.conf");
        let sysroot = running(&machine, 0);
        let tries = sysroot.deployments().unwrap()[0].tries.unwrap();
        assert_eq!((tries.left, tries.done), (2, 1));
        // That the system is up is no success yet.
        sysroot.lock(WAIT).unwrap().boot_complete().unwrap();
        assert!(sysroot.deployments().unwrap()[0].tries.is_some());
        let blessed = sysroot.lock(WAIT).unwrap().bless().unwrap();
        assert_eq!(blessed, Some(machine.open().deployments().unwrap()[0].id.clone()));
        assert_eq!(names(&machine), ["ostree-0-2-1.conf", "ostree-2.conf"]);
        assert_eq!(running(&machine, 0).lock(WAIT).unwrap().bless().unwrap(), None);
    }
}

#[test]
fn what_failed_too_often_comes_last_and_is_told_and_going_back_to_it_has_it_tried_anew() {
    let machine = flat(1);
    set_counting(&machine, "2");
    run(&machine, &upgrade).unwrap();
    let new = machine.open().deployments().unwrap()[0].id.clone();
    count_down(&machine, "ostree-2+2.conf", "ostree-2+0-2.conf");
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:1)", "Tiny OS 2.0 (ostree:0)"]);
    check_order(&machine);
    let sysroot = running(&machine, 0);
    let locked = sysroot.lock(WAIT).unwrap();
    assert_eq!(locked.boot_complete().unwrap().given_up, [(new, 2)]);
    assert_eq!(locked.bless().unwrap(), None);
    drop(locked);
    // A new list keeps the verdict.
    let first = machine.open().deployments().unwrap()[0].id.commit;
    machine
        .deploy(first, &DeployOptions { retain: sapwood_deploy::Retain::All, ..DeployOptions::default() })
        .unwrap();
    assert_eq!(names(&machine), ["ostree-0-3-1+0-2.conf", "ostree-0-3-2.conf", "ostree-3+2.conf"]);
    check_order(&machine);
    machine.open().lock(WAIT).unwrap().set_default(2).unwrap();
    assert!(names(&machine).contains(&"ostree-4+2.conf".to_owned()), "{:?}", names(&machine));
    check_order(&machine);
}

#[test]
fn a_crash_at_any_step_of_ending_the_count_leaves_the_deployment_once() {
    let linked = Machine::new(&InitOptions::default());
    prepare(&linked, 1, None);
    for before in [flat(1), linked] {
        set_counting(&before, "3");
        run(&before, &upgrade).unwrap();
        let boots = before.boots();
        for step in 1.. {
            let machine = before.copy();
            let complete =
                |machine: &Machine| -> Result<()> { running(machine, 0).lock(WAIT)?.bless().map(drop) };
            let crashed = fault::crash_at(step, || complete(&machine));
            assert_eq!(machine.boots(), boots, "crash at step {step}");
            check_order(&machine);
            complete(&machine).unwrap();
            machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default()).unwrap();
            assert_eq!(machine.open().deployments().unwrap()[0].tries, None);
            assert!(names(&machine).iter().all(|name| !name.contains('+')), "{:?}", names(&machine));
            if !crashed.fired {
                assert!(step > 4);
                break;
            }
        }
    }
}

#[test]
fn a_number_of_tries_that_means_nothing_is_refused_before_anything_is_written() {
    let machine = flat(1);
    let before = machine.snapshot("boot");
    for value in ["6", "-1", "many", ""] {
        set_counting(&machine, value);
        let refused = run(&machine, &upgrade);
        assert!(matches!(refused, Err(Error::Setting { .. })), "{value}: {refused:?}");
    }
    assert_eq!(machine.snapshot("boot"), before);
    set_counting(&machine, "0");
    run(&machine, &upgrade).unwrap();
    assert_eq!(names(&machine), ["ostree-0-2-1.conf", "ostree-2.conf"]);
}
