//! A disk with too little room: told before anything is written, and made where that can be done.

use crate::fixture::{Machine, REF, WAIT, os, tree};
use crate::namespace::{in_mount_namespace, mount};
use crate::staged::{boots_with_the_overlay, reboot, running, with_an_overlay_of_ostree};
use sapwood_deploy::{CleanupOptions, DeployOptions, Error, InitOptions, Origin, Retain};
use sapwood_fsio as fsio;
use sapwood_fsio::fault::{self, Failure};
use sapwood_testkit::Tree;
use std::collections::BTreeSet;

const MIB: usize = 1 << 20;

fn options() -> DeployOptions {
    DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() }
}

/// The small operating system with four MiB of defaults in `/etc`.
fn large(number: u64) -> Tree {
    let mut tree = tree(number, &format!("kernel {number}"));
    tree.file("usr/etc/large", format!("{number}").repeat(4 * MIB));
    tree
}

/// A machine on a filesystem of its own of 48 MiB, two percent of which are to stay free.
fn small_disk() -> Machine {
    let machine = Machine::empty();
    mount(&["-t", "tmpfs", "-o", "size=48m", "tmpfs"], &machine.path());
    sapwood_deploy::Sysroot::init_fs(&machine.dir(), &InitOptions::default()).unwrap();
    machine.open().lock(WAIT).unwrap().init_stateroot(&os()).unwrap();
    let config =
        String::from_utf8(fsio::read(&machine.dir(), "ostree/repo/config", 1 << 16).unwrap()).unwrap();
    let config = config.replace("[core]\n", "[core]\nmin-free-space-percent=2\n");
    fsio::replace(&machine.dir(), "ostree/repo/config", 0o644, config.as_bytes()).unwrap();
    machine
}

/// Leaves only so much free beside the reserve.
fn fill(machine: &Machine, left: usize) {
    fsio::remove_file_optional(&machine.dir(), "ballast").unwrap();
    let free = fsio::free_space(&machine.dir()).unwrap();
    let reserve = free.total_bytes / 100 * 2;
    let size = usize::try_from(free.free_bytes - reserve).unwrap() - left;
    fsio::replace(&machine.dir(), "ballast", 0o644, &vec![b'x'; size]).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    in_mount_namespace("space::what_does_not_fit_is_refused_before_anything_is_written", || {
        let machine = small_disk();
        let commit = machine.commit(1, &large(1));
        fill(&machine, 3 * MIB);
        let all = || (machine.snapshot("ostree/deploy"), machine.snapshot("boot"));
        let before = all();
        let refused = machine.deploy(commit, &options()).unwrap_err();
        let Error::NoDiskRoom { needed_bytes, available_bytes, reserve_bytes } = refused else {
            panic!("{refused}")
        };
        // The defaults once more, and a few directories.
        let mib = u64::try_from(MIB).unwrap();
        assert!((4 * mib..5 * mib).contains(&needed_bytes), "{needed_bytes}");
        assert!((2 * mib..=3 * mib).contains(&available_bytes) && reserve_bytes > 0, "{available_bytes}");
        assert_eq!(all(), before);
        fill(&machine, 5 * MIB);
        machine.deploy(commit, &options()).unwrap();
    });
}

#[test]
fn many_small_files_of_a_kernel_take_a_block_each_and_old_ones_make_room_for_them() {
    const NAME: &str =
        "space::many_small_files_of_a_kernel_take_a_block_each_and_old_ones_make_room_for_them";
    in_mount_namespace(NAME, || {
        let machine = Machine::new(&InitOptions::default());
        mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &machine.path().join("boot"));
        // Nearly three MiB of blocks, and less than 40 KiB of content.
        for number in 1..=4 {
            let mut tree = tree(number, &format!("kernel {number}"));
            for device in 0..700 {
                tree.file(
                    &format!("usr/lib/modules/6.1.0/dtb/vendor/{device}.dtb"),
                    format!("{number} {device}"),
                );
            }
            machine.deploy(machine.commit(number, &tree), &options()).unwrap();
        }
        assert_eq!(machine.boots(), ["Tiny OS 4.0 (ostree:0)", "Tiny OS 3.0 (ostree:1)"]);
    });
}

#[test]
fn a_boot_directory_that_is_full_is_told_from_a_full_disk_and_keeps_nothing_of_the_attempt() {
    const NAME: &str =
        "space::a_boot_directory_that_is_full_is_told_from_a_full_disk_and_keeps_nothing_of_the_attempt";
    in_mount_namespace(NAME, || {
        let machine = Machine::new(&InitOptions::default());
        mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &machine.path().join("boot"));
        machine.deploy(machine.commit(1, &tree(1, "kernel 1")), &options()).unwrap();
        let second = machine.commit(2, &tree(2, "kernel 2"));
        let before = machine.snapshot("boot/ostree");
        let mut full = 0;
        for step in 1.. {
            let failed = fault::fail_at(step, Failure::NoSpace, || machine.deploy(second, &options()));
            match failed.value {
                // A link that fails is made up for by a copy.
                Ok(_) | Err(Error::AfterSwitch { .. }) if failed.fired => {
                    let cleanup = CleanupOptions { keep_objects: true };
                    machine.open().lock(WAIT).unwrap().undeploy(0, &cleanup).unwrap();
                }
                Ok(_) => break,
                Err(error) => {
                    full += usize::from(matches!(error, Error::BootFull { .. }));
                    assert!(error.is_no_space(), "step {step}: {error}");
                }
            }
            assert_eq!(machine.snapshot("boot/ostree"), before, "step {step}");
        }
        // Each file is made, filled, synced and renamed, and so is the entry.
        assert!(full > 8, "{full}");
    });
}

#[test]
fn deployments_that_would_go_anyway_make_room() {
    in_mount_namespace("space::deployments_that_would_go_anyway_make_room", || {
        let machine = small_disk();
        for number in 1..=2 {
            let commit = machine.commit(number, &large(number));
            machine.deploy(commit, &options()).unwrap();
        }
        let commit = machine.commit(3, &large(3));
        fill(&machine, MIB);
        // What is to stay cannot make any.
        let all = DeployOptions { retain: Retain::All, ..options() };
        let refused = machine.deploy(commit, &all).unwrap_err();
        assert!(matches!(refused, Error::NoDiskRoom { .. }), "{refused}");
        assert_eq!(machine.boots().len(), 2);
        machine.deploy(commit, &options()).unwrap();
        assert_eq!(machine.boots(), ["Tiny OS 3.0 (ostree:0)", "Tiny OS 2.0 (ostree:1)"]);
        assert_eq!(machine.read(0, "etc/untouched").as_deref(), Some("default 3\n"));
    });
}

#[test]
fn what_ostree_staged_and_does_not_fit_into_the_boot_directory_stays_staged_over_a_reboot_with_its_overlay() {
    const NAME: &str = "space::what_ostree_staged_and_does_not_fit_into_the_boot_directory_stays_staged_over_a_reboot_with_its_overlay";
    in_mount_namespace(NAME, || {
        let machine = Machine::new(&InitOptions::default());
        mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &machine.path().join("boot"));
        machine.deploy(machine.commit(1, &tree(1, "kernel 1")), &options()).unwrap();
        machine.commit(2, &tree(2, &"2".repeat(3 * MIB)));
        with_an_overlay_of_ostree(&machine);
        fsio::replace(&machine.dir(), "boot/ballast", 0o644, &vec![b'x'; 5 * MIB]).unwrap();
        let refused = running(&machine).lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap_err();
        assert!(matches!(refused, Error::NoRoom { .. }), "{refused}");
        reboot(&machine);
        let complete = running(&machine).lock(WAIT).unwrap().boot_complete().unwrap();
        assert_eq!(complete.failure, Some(refused.to_string()));
        assert!(complete.staged.is_some());
        fsio::remove_file(&machine.dir(), "boot/ballast").unwrap();
        running(&machine).lock(WAIT).unwrap().finalize_staged(&|_| {}).unwrap().unwrap();
        assert!(boots_with_the_overlay(&machine));
    });
}

/// A list was switched to, but not the one that was asked for.
#[test]
fn when_making_room_fails_after_its_switch_nothing_is_said_to_be_deployed() {
    in_mount_namespace(
        "space::when_making_room_fails_after_its_switch_nothing_is_said_to_be_deployed",
        || {
            let machine = small_disk();
            for number in 1..=2 {
                let commit = machine.commit(number, &large(number));
                machine.deploy(commit, &options()).unwrap();
            }
            let config = fsio::read(&machine.dir(), "ostree/repo/config", 1 << 16).unwrap();
            let config = [&config[..], b"\n[sysroot]\nbootloader=zipl\n"].concat();
            fsio::replace(&machine.dir(), "ostree/repo/config", 0o644, &config).unwrap();
            let commit = machine.commit(3, &large(3));
            fill(&machine, MIB);
            // There is no zipl on this machine, which runs after the switch.
            let failed = machine.deploy(commit, &options()).unwrap_err();
            assert!(matches!(failed, Error::Program { .. }), "{failed}");
            assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)"]);
            assert!(!machine.exists(&format!("ostree/deploy/os/deploy/{commit}.0")));
        },
    );
}

/// Such a boot loader boots what it was told last, whatever the list says.
#[test]
fn no_kernel_goes_that_a_boot_loader_still_boots_which_was_not_told_of_the_list() {
    const NAME: &str = "space::no_kernel_goes_that_a_boot_loader_still_boots_which_was_not_told_of_the_list";
    in_mount_namespace(NAME, || {
        let machine = Machine::new(&InitOptions::default());
        mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &machine.path().join("boot"));
        for number in 1..=2 {
            machine
                .deploy(
                    machine.commit(number, &tree(number, &number.to_string().repeat(3 * MIB))),
                    &options(),
                )
                .unwrap();
        }
        let config = fsio::read(&machine.dir(), "ostree/repo/config", 1 << 16).unwrap();
        let config = [&config[..], b"\n[sysroot]\nbootloader=zipl\n"].concat();
        fsio::replace(&machine.dir(), "ostree/repo/config", 0o644, &config).unwrap();
        let kernels = || {
            let dir = fsio::open_dir(&machine.dir(), "boot/ostree").unwrap();
            fsio::entries(&dir).unwrap().into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>()
        };
        let before = kernels();
        let third = machine.commit(3, &tree(3, &"3".repeat(3 * MIB)));
        // There is no zipl on this machine, which runs after the switch that makes room.
        let failed = machine.deploy(third, &options()).unwrap_err();
        assert!(matches!(failed, Error::Program { .. }), "{failed}");
        assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)"]);
        assert!(kernels().is_superset(&before), "{before:?}");
    });
}
