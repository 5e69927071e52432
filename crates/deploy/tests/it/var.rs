//! A running system whose `/var` is a filesystem of its own.

use crate::early::Initramfs;
use crate::fixture::{WAIT, os, tree};
use crate::namespace::in_mount_namespace;
use sapwood_deploy::{BootConfig, DeployEvent, DeployOptions, OwnMounts, StaterootName, Sysroot};
use sapwood_fsio::mount::{self, Access};
use sapwood_fsio::{self as fsio, Dir};
use std::sync::atomic::{AtomicBool, Ordering};

/// Boots with a filesystem of its own at `/var`, and the stamp of systemd in both.
fn boot_with_own_var(boot: &Initramfs, sysroot_read_only: bool) -> Dir {
    let config = BootConfig { sysroot_read_only, ..BootConfig::default() };
    let root = boot.boot(&config, OwnMounts::Now);
    if sysroot_read_only {
        mount::set_access(&fsio::open_dir(&root, "sysroot").unwrap(), Access::ReadWrite).unwrap();
    }
    mount::tmpfs(&root, "var", 0o755).unwrap();
    for var in ["var", "sysroot/ostree/deploy/os/var"] {
        fsio::replace(&root, format!("{var}/.updated"), 0o644, b"").unwrap();
    }
    root
}

#[test]
fn the_stamp_of_systemd_goes_from_the_var_of_what_runs_and_no_other() {
    in_mount_namespace("var::the_stamp_of_systemd_goes_from_the_var_of_what_runs_and_no_other", || {
        let boot = Initramfs::new();
        let second = boot.machine.commit(2, &tree(2, "kernel"));
        let running = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
        let root = boot_with_own_var(&boot, true);
        let sysroot = Sysroot::open(&root).unwrap().with_running_root(running.dev, running.ino);
        let locked = sysroot.lock(WAIT).unwrap();
        let other = StaterootName::new("other").unwrap();
        locked.init_stateroot(&other).unwrap();
        let stamped = || {
            ["var", "ostree/deploy/os/var"]
                .map(|var| fsio::stat_optional(&root, format!("{var}/.updated")).unwrap().is_some())
        };
        locked.deploy(&other, second, &DeployOptions::default(), &|_| {}).unwrap();
        assert_eq!(stamped(), [true, true]);
        locked.deploy(&os(), second, &DeployOptions::default(), &|_| {}).unwrap();
        assert_eq!(stamped(), [false, false]);
    });
}

/// With a writable sysroot, what is mounted over the running `/var` cannot be seen on the stateroot's.
#[test]
fn a_var_that_is_mounted_is_no_new_one_and_what_a_commit_has_for_it_keeps_nothing_from_being_deployed() {
    const NAME: &str = "var::a_var_that_is_mounted_is_no_new_one_and_what_a_commit_has_for_it_keeps_nothing_from_being_deployed";
    in_mount_namespace(NAME, || {
        for sysroot_read_only in [true, false] {
            let boot = Initramfs::new();
            let mut with_content = tree(2, "kernel");
            with_content.file("var/lib/program/state", "from the commit");
            let second = boot.machine.commit(2, &with_content);
            let running = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
            let root = boot_with_own_var(&boot, sysroot_read_only);
            fsio::remove_file(&root, "sysroot/ostree/deploy/os/var/.updated").unwrap();
            let before = boot.machine.snapshot("ostree/deploy/os/var");
            let sysroot = Sysroot::open(&root).unwrap().with_running_root(running.dev, running.ino);
            let ignored = AtomicBool::new(false);
            let see = |event: DeployEvent<'_>| {
                ignored.fetch_or(event == DeployEvent::VarIgnored, Ordering::Relaxed);
            };
            sysroot.lock(WAIT).unwrap().deploy(&os(), second, &DeployOptions::default(), &see).unwrap();
            assert!(ignored.into_inner(), "it is told");
            assert_eq!(boot.machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
            assert_eq!(boot.machine.snapshot("ostree/deploy/os/var"), before);
            assert!(!boot.machine.exists("ostree/deploy/os/.var-new"));
        }
    });
}

#[test]
fn a_var_that_is_read_only_keeps_nothing_from_being_deployed() {
    in_mount_namespace("var::a_var_that_is_read_only_keeps_nothing_from_being_deployed", || {
        let boot = Initramfs::new();
        let second = boot.machine.commit(2, &tree(2, "kernel"));
        let running = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
        let root = boot_with_own_var(&boot, true);
        let var = fsio::open_dir(&root, "var").unwrap();
        fsio::remove_file(&var, ".updated").unwrap();
        mount::set_access(&var, Access::ReadOnly).unwrap();
        let sysroot = Sysroot::open(&root).unwrap().with_running_root(running.dev, running.ino);
        sysroot.lock(WAIT).unwrap().deploy(&os(), second, &DeployOptions::default(), &|_| {}).unwrap();
        assert_eq!(boot.machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
    });
}
