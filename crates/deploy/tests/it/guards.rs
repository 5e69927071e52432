//! What keeps a machine from ending without anything to boot.

use crate::fixture::{Machine, WAIT, dir, tree};
use crate::namespace::{in_mount_namespace, mount};
use sapwood_deploy::{CleanupOptions, DeployOptions, Error, InitOptions, KargEdit, Merge, Unlock};
use sapwood_fsio as fsio;
use std::os::unix::fs::MetadataExt as _;

fn deployed() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel 1"));
    machine.deploy(commit, &DeployOptions::default()).unwrap();
    machine
}

#[test]
fn where_the_boot_partition_is_not_mounted_nothing_is_removed() {
    let machine = deployed();
    let second = machine.commit(2, &tree(2, "kernel 2"));
    let before = (machine.snapshot("ostree/deploy"), machine.snapshot("ostree/repo/objects"));
    let disk = machine.dir();
    fsio::rename(&disk, "boot", &disk, "unmounted").unwrap();
    fsio::create_dir(&disk, "boot", 0o755).unwrap();
    let cleaned = machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default());
    assert_eq!(
        cleaned.unwrap_err().to_string(),
        "no boot entry is there, though ostree/boot.1 leads to deployments: is /boot mounted?"
    );
    assert!(machine.deploy(second, &DeployOptions::default()).is_err());
    assert!(before == (machine.snapshot("ostree/deploy"), machine.snapshot("ostree/repo/objects")));
    fsio::remove_dir(&disk, "boot").unwrap();
    fsio::rename(&disk, "unmounted", &disk, "boot").unwrap();
    machine.deploy(second, &DeployOptions::default()).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
}

#[test]
fn grub_never_loses_a_configuration_that_is_ours_and_keeps_its_own_only_where_that_reads_entries() {
    let machine = deployed();
    let boot = fsio::open_dir(&machine.dir(), "boot").unwrap();
    let grub = fsio::create_dir(&boot, "grub2", 0o755).unwrap();
    fsio::symlink("../loader/grub.cfg", &grub, "grub.cfg").unwrap();
    let mut reads_entries = tree(2, "kernel 2");
    reads_entries.file("usr/etc/default/grub", "GRUB_ENABLE_BLSCFG=true\n");
    let second = machine.commit(2, &reads_entries);
    machine.deploy(second, &DeployOptions::default()).unwrap();
    let menu = fsio::read(&boot, "loader/grub.cfg", 1 << 20).unwrap_or_default();
    let menu = String::from_utf8(menu).unwrap();
    assert!(menu.contains("menuentry 'Tiny OS 2.0 (ostree:0)'"), "{menu}");

    fsio::remove_file(&grub, "grub.cfg").unwrap();
    let fixed = b"menuentry old { linux /vmlinuz ostree=/ostree/boot.0/os/x/0 }\n";
    fsio::replace(&grub, "grub.cfg", 0o644, fixed).unwrap();
    let third = machine.commit(3, &tree(3, "kernel 3"));
    let refused = machine.deploy(third, &DeployOptions::default()).unwrap_err();
    assert_eq!(refused.to_string(), "boot/grub2/grub.cfg should be a link to a file in ../loader");
    fsio::replace(&grub, "grub.cfg", 0o644, b"insmod blscfg\nblscfg\n").unwrap();
    machine.deploy(third, &DeployOptions::default()).unwrap();
}

#[test]
fn a_writable_usr_that_cannot_be_mounted_leaves_nothing_that_says_so_or_that_the_next_boot_would_mount() {
    let machine = deployed();
    let first = machine.open().deployments().unwrap().remove(0);
    let tree = machine.path().join(first.path());
    let root = std::fs::metadata(&tree).unwrap();
    let run = fsio::ensure_dir(&machine.dir(), "run", 0o755).unwrap();
    let sysroot = machine.open().with_running_root(root.dev(), root.ino()).with_run(run);
    // Over a directory that is gone nobody can mount.
    let gone = tempfile::tempdir().unwrap();
    let usr = dir(gone.path());
    drop(gone);
    for unlock in [Unlock::Development, Unlock::Transient, Unlock::Hotfix] {
        let failed = sysroot.lock(WAIT).unwrap().unlock(unlock, &usr);
        assert!(matches!(failed, Err(Error::Io(_))), "{failed:?}");
    }
    for left in [".usr-ovl-upper", ".usr-ovl-work"] {
        assert!(!tree.join(left).exists(), "{left}");
    }
    let booted = sysroot.status().unwrap().deployments.remove(0);
    assert_eq!((booted.unlocked, booted.deployment.id), (None, first.id));
    assert_eq!(booted.deployment.origin, first.origin);
}

#[test]
fn no_entry_is_written_that_could_not_be_read_back() {
    let machine = deployed();
    let mut wordy = tree(2, "kernel 2");
    wordy.file("usr/lib/os-release", format!("PRETTY_NAME=\"{}\"\n", "long ".repeat(20_000)));
    let second = machine.commit(2, &wordy);
    machine.deploy(second, &DeployOptions::default()).unwrap();
    assert_eq!(machine.boots()[0].len(), "long ".len() * 40 + "(ostree:0)".len());

    let before = machine.boots();
    let kargs = vec![KargEdit::Append("x".repeat(70 << 10))];
    let refused = machine.deploy(second, &DeployOptions { kargs, ..DeployOptions::default() });
    let refused = refused.unwrap_err().to_string();
    assert_eq!(refused, "boot entry ostree-2.conf: line 1: the entry is longer than 64 KiB");
    assert_eq!(machine.boots(), before);
}

#[test]
fn room_is_never_made_by_removing_the_only_version_that_boots() {
    const NAME: &str = "guards::room_is_never_made_by_removing_the_only_version_that_boots";
    in_mount_namespace(NAME, || {
        let machine = Machine::new(&InitOptions::default());
        mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], &machine.path().join("boot"));
        let options = DeployOptions { merge: Merge::None, ..DeployOptions::default() };
        let first = machine.commit(1, &tree(1, &"1".repeat(600 << 10)));
        machine.deploy(first, &options).unwrap();
        let second = machine.commit(2, &tree(2, &"2".repeat(700 << 10)));
        let refused = machine.deploy(second, &options).unwrap_err();
        assert!(matches!(refused, Error::NoRoom { .. }), "{refused}");
        assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)"]);
        // With another to fall back on, room is made, and it boots.
        let small = machine.commit(3, &tree(3, "3"));
        machine.deploy(small, &options).unwrap();
        let second = machine.commit(2, &tree(2, &"2".repeat(700 << 10)));
        machine.deploy(second, &options).unwrap();
        assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)"]);
    });
}

#[test]
fn nothing_is_removed_before_a_boot_loader_that_notes_blocks_has_run() {
    let machine = deployed();
    let config = fsio::read(&machine.dir(), "ostree/repo/config", 1 << 20).unwrap();
    let config = [&config[..], b"\n[sysroot]\nbootloader=zipl\n"].concat();
    fsio::replace(&machine.dir(), "ostree/repo/config", 0o644, &config).unwrap();
    let second = machine.commit(2, &tree(2, "kernel 2"));
    // There is no zipl on this machine.
    let failed = machine.deploy(second, &DeployOptions::default()).unwrap_err();
    assert!(matches!(failed, Error::AfterSwitch { .. }), "{failed}");
    let third = machine.commit(3, &tree(3, "kernel 3"));
    let failed = machine.deploy(third, &DeployOptions::default()).unwrap_err();
    assert!(matches!(failed, Error::Program { .. }), "{failed}");
    // What the disk boots from is there: the old entries, their links, and the kernel.
    for kept in ["boot/loader.1/entries/ostree-1.conf", "ostree/boot.1/os"] {
        assert!(machine.exists(kept), "{kept}");
    }
    assert_eq!(fsio::entries(&fsio::open_dir(&machine.dir(), "boot/ostree").unwrap()).unwrap().len(), 2);
}
