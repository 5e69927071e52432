//! What is refused, with what words, and that nothing changes then.

use crate::fixture::{Machine, WAIT, os, tree};
use sapwood_deploy::{
    DeployOptions, DeploymentId, Error, InitOptions, KargEdit, Locked, StaterootName, Sysroot,
};
use sapwood_fsio as fsio;
use sapwood_fsio::lock::Wait;
use sapwood_objstore::{Commit, Id, ObjectId};
use sapwood_testkit::Tree;

/// Tries to deploy, and checks that nothing is left of the attempt.
fn refused(machine: &Machine, commit: Id<Commit>, options: &DeployOptions) -> String {
    let before =
        (machine.boots(), machine.snapshot("ostree/deploy"), machine.snapshot("boot/loader/entries"));
    let error = machine.deploy(commit, options).unwrap_err();
    let after = (machine.boots(), machine.snapshot("ostree/deploy"), machine.snapshot("boot/loader/entries"));
    assert!(before == after, "{error}");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.replace(&commit.to_hex(), "COMMIT")
}

fn deployed() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel"));
    machine.deploy(commit, &DeployOptions::default()).unwrap();
    machine
}

#[test]
fn a_tree_that_cannot_be_deployed_is_refused_and_leaves_nothing() {
    let machine = deployed();
    let attempt = |change: &dyn Fn(&mut Tree)| {
        let mut tree = tree(2, "kernel 2");
        change(&mut tree);
        refused(&machine, machine.commit(2, &tree), &DeployOptions::default())
    };
    let text = attempt(&|tree| {
        tree.file("etc/passwd", "x");
    });
    assert_eq!(text, "commit COMMIT has both a non-empty /etc and a /usr/etc");
    let text = attempt(&|tree| {
        tree.nodes.remove("usr/lib/modules/6.1.0/vmlinuz");
    });
    assert_eq!(
        text,
        "no kernel to boot in os COMMIT.0: no usr/lib/modules/VERSION/vmlinuz, and no vmlinuz-VERSION-CHECKSUM in \
         usr/lib/ostree-boot or boot"
    );
    let text = attempt(&|tree| {
        tree.file("usr/lib/modules/6.2.0/vmlinuz", "x");
    });
    assert_eq!(text, "no kernel to boot in os COMMIT.0: more than one kernel: 6.1.0, 6.2.0");
}

#[test]
fn a_wrong_request_is_refused() {
    let machine = deployed();
    let commit = machine.commit(2, &tree(2, "kernel"));
    let options = DeployOptions { kargs: vec![KargEdit::Delete("nope".into())], ..DeployOptions::default() };
    assert_eq!(refused(&machine, commit, &options), "no kernel argument has the key \"nope\"");
    let missing = Id::new(ObjectId::from_bytes([9; 32]));
    assert_eq!(refused(&machine, missing, &DeployOptions::default()), "object COMMIT.commit is missing");
    machine.repo().mark_partial(commit).unwrap();
    let text = refused(&machine, commit, &DeployOptions::default());
    assert_eq!(text, "commit COMMIT is incomplete here: pull it again");
    machine.repo().clear_partial(commit).unwrap();
    let mut repo = machine.repo();
    repo.edit_config(|config| {
        config.set("sysroot", "bootloader", "aboot");
    })
    .unwrap();
    assert!(
        refused(&machine, commit, &DeployOptions::default())
            .starts_with("the boot loader aboot is not supported")
    );
}

#[test]
fn a_configuration_of_a_boot_loader_that_would_not_be_switched_is_refused() {
    let machine = deployed();
    fsio::ensure_dir(&machine.dir(), "boot/syslinux", 0o755).unwrap();
    fsio::replace(&machine.dir(), "boot/syslinux/syslinux.cfg", 0o644, b"DEFAULT x\n").unwrap();
    let commit = machine.commit(2, &tree(2, "kernel"));
    let text = refused(&machine, commit, &DeployOptions::default());
    assert_eq!(text, "boot/syslinux/syslinux.cfg should be a link to a file in ../loader");
}

#[test]
fn a_locked_sysroot_says_who_holds_it() {
    let machine = deployed();
    let (first, second) = (machine.open(), machine.open());
    let _held = first.lock(WAIT).unwrap();
    let error = second.lock(Wait::No).unwrap_err();
    assert!(error.to_string().starts_with("ostree/lock is locked by "), "{error}");
}

/// Changes the machine, and says why the list cannot be read then.
fn unreadable(change: &dyn Fn(&Machine, &str)) -> String {
    let machine = deployed();
    let deployment = machine.open().deployments().unwrap().remove(0);
    change(&machine, &deployment.path());
    let cleaned = machine.open().lock(WAIT).unwrap().cleanup(&sapwood_deploy::CleanupOptions::default());
    assert!(cleaned.is_err(), "nothing is removed by a list that is not understood");
    machine.open().deployments().unwrap_err().to_string()
}

const ENTRY: &str = "boot/loader.1/entries/ostree-1.conf";

#[test]
fn entries_and_links_that_make_no_sense_are_errors_that_name_them() {
    let entry = |text: &'static [u8]| {
        move |machine: &Machine, _: &str| fsio::replace(&machine.dir(), ENTRY, 0o644, text).unwrap()
    };
    let relink = |path: &'static str, target: &'static str| {
        move |machine: &Machine, _: &str| fsio::replace_symlink(target, &machine.dir(), path).unwrap()
    };
    let starts = |text: String, with: &str| assert!(text.starts_with(with), "{text}");
    starts(unreadable(&entry(b"title x\n")), "boot entry ostree-1.conf: it has no argument ostree=");
    starts(
        unreadable(&entry(b"options ostree=/etc\n")),
        "boot entry ostree-1.conf: \"/etc\" is not /ostree/boot.N/",
    );
    starts(unreadable(&entry(b"title \xff\n")), "boot entry ostree-1.conf: line 1: not UTF-8");
    starts(
        unreadable(&relink("boot/loader", "elsewhere")),
        "boot/loader should be a link to loader.0 or loader.1",
    );
    starts(
        unreadable(&relink("ostree/boot.1", "boot.0.1")),
        "ostree/boot.1 should be a link to boot.1.0 or boot.1.1",
    );
    starts(
        unreadable(&|machine, _| fsio::remove_tree(&machine.dir(), "ostree/boot.1.1").unwrap()),
        "boot entry ostree-1.conf: ostree/boot.1/os/",
    );
    starts(
        unreadable(&|machine, path| fsio::remove_tree(&machine.dir(), path).unwrap()),
        "boot entry ostree-1.conf: ostree/deploy/os/deploy/",
    );
    starts(
        unreadable(&|machine, path| {
            fsio::replace(&machine.dir(), format!("{path}.origin"), 0o644, b"x").unwrap();
        }),
        "cannot read the origin of os ",
    );
    starts(
        unreadable(&|machine, _| {
            fsio::remove_file(&machine.dir(), "boot/loader").unwrap();
            fsio::create_dir(&machine.dir(), "boot/loader", 0o755).unwrap();
        }),
        "no boot entry is there, though ostree/boot.1 leads to deployments",
    );
}

#[test]
fn names_of_stateroots_and_deployments_are_checked() {
    for good in ["os", "fedora-41", "a.b_c+d@e", "größe"] {
        assert!(StaterootName::new(good).is_ok(), "{good}");
    }
    let long = "x".repeat(121);
    for bad in ["", ".", "..", ".hidden", "a/b", "a b", "a\"b", "a\nb", "a'b", "a\\b", "a\u{a0}b", &long] {
        assert!(StaterootName::new(bad).is_err(), "{bad}");
    }
    let id = "a".repeat(64);
    assert_eq!(DeploymentId::parse_dir_name(format!("{id}.12").as_bytes()).unwrap().1, 12);
    for bad in ["", ".", &id, &format!("{id}."), &format!("{id}.x"), &format!("{id}.01"), &format!("{id}.-1")]
    {
        assert!(DeploymentId::parse_dir_name(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in [format!("{id}.4294967296"), format!("{id}.1.origin"), format!("{}.1", id.to_uppercase())] {
        assert!(DeploymentId::parse_dir_name(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(DeploymentId::parse_dir_name(b"\xff.0").is_err());
}

#[test]
fn a_directory_that_is_a_link_out_of_the_sysroot_is_not_followed() {
    let machine = deployed();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc", outside.path().join("x")).unwrap();
    fsio::remove_tree(&machine.dir(), "boot/ostree").unwrap();
    fsio::symlink(outside.path(), &machine.dir(), "boot/ostree").unwrap();
    let commit = machine.commit(2, &tree(2, "kernel 2"));
    assert!(machine.deploy(commit, &DeployOptions::default()).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)"]);
}

#[test]
fn without_a_stateroot_nothing_can_be_deployed() {
    let machine = Machine::empty();
    Sysroot::init_fs(&machine.dir(), &InitOptions::default()).unwrap();
    let commit = machine.commit(1, &tree(1, "kernel"));
    let sysroot = machine.open();
    let locked: Locked<'_> = sysroot.lock(WAIT).unwrap();
    let error = locked.deploy(&os(), commit, &DeployOptions::default(), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::UnknownStateroot { .. }), "{error}");
}
