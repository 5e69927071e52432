//! What deploying, ordering, pinning and cleaning up do.

use crate::fixture::{Machine, REF, WAIT, dir, os, tree};
use sapwood_deploy::{
    CleanupOptions, DeployOptions, Error, InitOptions, KargEdit, Kargs, KargsFrom, Merge, Origin, Position,
    Retain, StaterootName, Undeployed,
};
use sapwood_fsio as fsio;
use std::path::Path;

fn keep() -> DeployOptions {
    DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() }
}

/// Two versions deployed, with `/etc` edited in between.
fn two() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    let first = machine.commit(1, &tree(1, "kernel 1"));
    machine.deploy(first, &keep()).unwrap();
    machine.write(0, "etc/changed-by-both", "mine\n");
    machine.write(0, "etc/sub/kept", "mine\n");
    machine.write(0, "etc/added", "mine\n");
    machine.remove(0, "etc/sub/deleted");
    let second = machine.commit(2, &tree(2, "kernel 2"));
    let deployed = machine.deploy(second, &keep()).unwrap();
    assert_eq!(deployed.conflicts.len(), 1);
    assert_eq!(deployed.conflicts[0].path.to_str(), Some("changed-by-both"));
    machine
}

#[test]
fn the_first_deployment_has_all_that_a_machine_needs() {
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel"));
    let edits = ["root=/dev/x", "q=\"a b\"", "quiet"].map(|text| KargEdit::Append(text.into()));
    let deployed = machine.deploy(commit, &DeployOptions { kargs: edits.to_vec(), ..keep() }).unwrap();
    assert_eq!((deployed.id.serial, deployed.index, deployed.merged_from), (0, 0, None));

    let root = format!("ostree/deploy/os/deploy/{commit}.0");
    // printf kernelinitrd | sha256sum
    let boot_id = "3822c8916ff94fb5cd0710581582600efdb585747470c3ef45ead0e6ed5b3982";
    let expected = [
        ("boot/boot".to_owned(), "."),
        ("boot/loader".to_owned(), "loader.1"),
        ("ostree/boot.1".to_owned(), "boot.1.1"),
        (format!("ostree/boot.1.1/os/{boot_id}/0"), &*format!("../../../deploy/os/deploy/{commit}.0")),
    ]
    .map(|(path, target)| (path, target.to_owned()));
    for (path, target) in expected {
        assert_eq!(fsio::read_link(&machine.dir(), &path).unwrap(), target.into_bytes(), "{path}");
    }
    let entry = fsio::read(&machine.dir(), "boot/loader.1/entries/ostree-1.conf", 1000).unwrap();
    let kernel = format!("/ostree/os-{boot_id}");
    assert_eq!(
        String::from_utf8(entry).unwrap(),
        format!(
            "title Tiny OS 1.0 (ostree:0)\nversion 1\n\
             options root=/dev/x q=\"a b\" quiet ostree=/ostree/boot.1/os/{boot_id}/0\n\
             linux {kernel}/vmlinuz-6.1.0\ninitrd {kernel}/initramfs-6.1.0.img\n"
        )
    );
    assert_eq!(fsio::read(&machine.dir(), format!("boot{kernel}/vmlinuz-6.1.0"), 100).unwrap(), b"kernel");
    assert_eq!(machine.snapshot(&format!("{root}/etc")), machine.snapshot(&format!("{root}/usr/etc")));
    let origin = fsio::read(&machine.dir(), format!("{root}.origin"), 1000).unwrap();
    assert_eq!(String::from_utf8(origin).unwrap(), "[origin]\nrefspec=os/main\n");
    assert!(machine.exists("ostree/repo/refs/heads/ostree/1/1/0"));

    let stat = |path: &str| fsio::stat(&machine.dir(), format!("{root}/{path}")).unwrap();
    assert!(stat("usr/bin/tool").nlink > 1, "the tree shares the files of the repository");
    assert_eq!(stat("etc/untouched").nlink, 1, "what an administrator may edit is a copy");
    assert_eq!(stat("etc/sub/kept").mode, 0o600);
}

#[test]
fn a_second_version_gets_a_merged_etc_and_leaves_the_first_as_it_was() {
    let machine = two();
    assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
    let new = |path: &str| machine.read(0, path);
    assert_eq!(new("etc/changed-by-both").as_deref(), Some("mine\n"));
    assert_eq!(new("etc/untouched").as_deref(), Some("default 2\n"));
    assert_eq!(new("etc/sub/kept").as_deref(), Some("mine\n"));
    assert_eq!(new("etc/added").as_deref(), Some("mine\n"));
    assert_eq!(new("etc/sub/deleted"), None);
    assert_eq!(machine.read(1, "etc/untouched").as_deref(), Some("default 1\n"));
    assert_eq!(machine.read(1, "usr/bin/tool").as_deref(), Some("tool 1"));
    assert_eq!(new("usr/bin/tool").as_deref(), Some("tool 2"));
}

#[test]
fn going_back_finds_etc_as_it_was() {
    let machine = two();
    let etc = format!("{}/etc", machine.open().deployments().unwrap()[1].path());
    let before = machine.snapshot(&etc);
    let id = machine.open().lock(WAIT).unwrap().set_default(1).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)", "Tiny OS 2.0 (ostree:1)"]);
    assert_eq!(machine.open().deployments().unwrap()[0].id, id);
    assert_eq!(machine.snapshot(&etc), before);
    // The kernels differ, so a whole new set of entries was written, and the old one is gone.
    assert!(machine.exists("boot/loader.1") && !machine.exists("boot/loader.0"));
}

#[test]
fn rolling_back_takes_the_next_of_the_same_stateroot_and_twice_is_not_at_all() {
    let machine = two();
    let other = StaterootName::new("other").unwrap();
    {
        let sysroot = machine.open();
        let locked = sysroot.lock(WAIT).unwrap();
        locked.init_stateroot(&other).unwrap();
        let commit = locked.repo().resolve(REF).unwrap();
        let last = DeployOptions { position: Position::Default, ..DeployOptions::default() };
        locked.deploy(&other, commit, &last, &|_| {}).unwrap();
        // In order: os 2, other, os 1.
        locked.set_default(1).unwrap();
    }
    let ids = || machine.open().deployments().unwrap().into_iter().map(|d| d.id).collect::<Vec<_>>();
    let before = ids();
    let rolled_back = machine.open().lock(WAIT).unwrap().rollback().unwrap();
    assert_eq!((&rolled_back.from, &rolled_back.to), (&before[0], &before[2]));
    assert_eq!(ids(), [&before[2], &before[0], &before[1]].map(Clone::clone));
    machine.open().lock(WAIT).unwrap().rollback().unwrap();
    assert_eq!(ids(), before[..1].iter().chain([&before[2], &before[1]]).cloned().collect::<Vec<_>>());
}

#[test]
fn where_there_is_nothing_to_go_back_to_rolling_back_says_so_and_changes_nothing() {
    let machine = Machine::new(&InitOptions::default());
    let refused = machine.open().lock(WAIT).unwrap().rollback();
    assert!(matches!(refused, Err(Error::NothingToBoot)), "{refused:?}");
    let commit = machine.commit(1, &tree(1, "kernel 1"));
    let id = machine.deploy(commit, &keep()).unwrap().id;
    let before = machine.snapshot("boot");
    let refused = machine.open().lock(WAIT).unwrap().rollback();
    assert!(matches!(&refused, Err(Error::NoRollback { deployment }) if *deployment == id), "{refused:?}");
    assert_eq!(machine.snapshot("boot"), before);
}

#[test]
fn without_a_merge_nothing_is_taken_over() {
    let machine = two();
    let third = machine.commit(3, &tree(3, "kernel 3"));
    machine.deploy(third, &DeployOptions { merge: Merge::None, ..keep() }).unwrap();
    assert_eq!(machine.read(0, "etc/changed-by-both").as_deref(), Some("default 3\n"));
    assert_eq!(machine.read(0, "etc/added"), None);
}

#[test]
fn only_the_deployment_to_go_back_to_and_pinned_ones_stay() {
    let machine = two();
    let locked = |f: &dyn Fn(&sapwood_deploy::Locked<'_>)| f(&machine.open().lock(WAIT).unwrap());
    locked(&|l| assert!(l.set_pinned(1, true).unwrap()));
    locked(&|l| assert!(!l.set_pinned(1, true).unwrap()));
    let third = machine.commit(3, &tree(3, "kernel 3"));
    machine.deploy(third, &keep()).unwrap();
    let expected = ["Tiny OS 3.0 (ostree:0)", "Tiny OS 2.0 (ostree:1)", "Tiny OS 1.0 (ostree:2)"];
    assert_eq!(machine.boots(), expected);
    let deployments = machine.open().deployments().unwrap();
    assert_eq!(
        deployments.iter().map(sapwood_deploy::Deployment::pinned).collect::<Vec<_>>(),
        [false, false, true]
    );

    locked(&|l| assert!(l.set_pinned(2, false).unwrap()));
    let fourth = machine.commit(4, &tree(4, "kernel 4"));
    machine.deploy(fourth, &keep()).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 4.0 (ostree:0)", "Tiny OS 3.0 (ostree:1)"]);
    assert!(!machine.exists(&deployments[2].path()));
    assert!(!machine.exists(&format!("{}.origin", deployments[2].path())));
    let kernels = machine.snapshot("boot/ostree").keys().filter(|p| p.components().count() == 1).count();
    assert_eq!(kernels, 2, "kernels that nothing boots are gone");
    let commit = deployments[2].id.commit;
    assert!(!machine.repo().store().contains(commit.name()).unwrap(), "and their commits");
}

#[test]
fn a_commit_deployed_again_gets_the_next_number_and_needs_new_links_only() {
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel"));
    for _ in 0..2 {
        machine.deploy(commit, &keep()).unwrap();
    }
    let entries = machine.snapshot("boot/loader/entries");
    let deployed = machine.deploy(commit, &keep()).unwrap();
    assert_eq!(deployed.id.serial, 2);
    assert!(
        matches!(deployed.written.change, sapwood_deploy::Change::Links { .. }),
        "{:?}",
        deployed.written
    );
    assert_eq!(machine.snapshot("boot/loader/entries"), entries);
    let serials: Vec<_> =
        machine.open().deployments().unwrap().iter().map(|d| (d.id.serial, d.boot_serial)).collect();
    assert_eq!(serials, [(2, 0), (1, 1)]);
    assert!(
        machine.exists("ostree/repo/refs/heads/ostree/0/0/1")
            && !machine.exists("ostree/repo/refs/heads/ostree/0/1")
    );
}

#[test]
fn undeploying_removes_tree_entry_kernel_and_commit() {
    let machine = two();
    let old = machine.open().deployments().unwrap().remove(1);
    let locked = machine.open();
    let locked = locked.lock(WAIT).unwrap();
    let Undeployed { id, cleaned, .. } = locked.undeploy(1, &CleanupOptions::default()).unwrap();
    assert_eq!(id, old.id);
    assert_eq!((cleaned.deployments, cleaned.kernels), (1, 1));
    assert!(cleaned.pruned.unwrap().deleted_commits == 1);
    assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)"]);
    assert!(!machine.exists(&old.path()));
    assert!(matches!(
        locked.undeploy(1, &CleanupOptions::default()),
        Err(Error::NoSuchDeployment { index: 1, count: 1 })
    ));
    locked.undeploy(0, &CleanupOptions::default()).unwrap();
    assert!(machine.boots().is_empty());
    assert!(machine.exists("ostree/deploy/os/var/log"), "the stateroot stays");
}

#[test]
fn the_running_system_is_never_removed() {
    let machine = two();
    let running = machine.open().deployments().unwrap().remove(1);
    let stat = fsio::stat(&machine.dir(), running.path()).unwrap();
    let open = || machine.open().with_running_root(stat.dev, stat.ino);
    let sysroot = open();
    let locked = sysroot.lock(WAIT).unwrap();
    assert!(matches!(locked.undeploy(1, &CleanupOptions::default()), Err(Error::Booted { index: 1 })));
    let status = locked.status().unwrap();
    let marks: Vec<_> =
        status.deployments.iter().map(|s| (s.pending, s.deployment.booted, s.rollback)).collect();
    assert_eq!(marks, [(true, false, false), (false, true, false)]);
    assert_eq!(status.deployments[0].version.as_deref(), Some("2.0"));
    // It is also the one whose configuration is taken over.
    let third = machine.commit(3, &tree(3, "kernel 3"));
    let deployed = locked.deploy(&os(), third, &keep(), &|_| {}).unwrap();
    assert_eq!(deployed.merged_from, Some(running.id.clone()));
    assert_eq!(machine.boots(), ["Tiny OS 3.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
}

#[test]
fn nothing_is_removed_while_the_entries_of_the_running_system_are_not_to_be_seen() {
    // One alone: of several, the links say that entries were lost, whatever runs.
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel 1"));
    machine.deploy(commit, &keep()).unwrap();
    let running = machine.open().deployments().unwrap().remove(0);
    let stat = fsio::stat(&machine.dir(), running.path()).unwrap();
    let boot = fsio::open_dir(&machine.dir(), "boot").unwrap();
    fsio::rename(&boot, "loader", &boot, "hidden").unwrap();
    let sysroot = machine.open().with_running_root(stat.dev, stat.ino);
    let locked = sysroot.lock(WAIT).unwrap();
    assert!(matches!(locked.cleanup(&CleanupOptions::default()), Err(Error::BadEntry { .. })));
    fsio::rename(&boot, "hidden", &boot, "loader").unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)"]);
}

#[test]
fn several_stateroots_boot_side_by_side() {
    let machine = two();
    let other = StaterootName::new("other").unwrap();
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    assert!(matches!(locked.init_stateroot(&os()), Err(Error::StaterootExists { .. })));
    let commit = machine.commit(3, &tree(3, "kernel 1"));
    assert!(matches!(locked.deploy(&other, commit, &keep(), &|_| {}), Err(Error::UnknownStateroot { .. })));
    locked.init_stateroot(&other).unwrap();
    let options = DeployOptions { position: Position::NotDefault, ..keep() };
    assert_eq!(locked.deploy(&other, commit, &options, &|_| {}).unwrap().index, 2);
    assert_eq!(
        machine.boots(),
        ["Tiny OS 2.0 (ostree:os:0)", "Tiny OS 1.0 (ostree:os:1)", "Tiny OS 3.0 (ostree:other:2)"]
    );
    // Kernel 1 is that of two deployments, in two directories, and they are counted together.
    let serials: Vec<_> = machine.open().deployments().unwrap().iter().map(|d| d.boot_serial).collect();
    assert_eq!(serials, [0, 0, 1]);
    assert_eq!(machine.read(2, "etc/added"), None, "configuration is taken over within a stateroot only");
    assert_eq!(locked.stateroots().unwrap(), [os(), other]);
}

#[test]
fn what_is_to_be_retained_stays() {
    let machine = two();
    let commit = machine.commit(3, &tree(3, "kernel 3"));
    machine.deploy(commit, &DeployOptions { retain: Retain::Rollback, ..keep() }).unwrap();
    assert_eq!(machine.boots().len(), 3);
    let commit = machine.commit(4, &tree(4, "kernel 4"));
    machine.deploy(commit, &DeployOptions { retain: Retain::Pending, ..keep() }).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 4.0 (ostree:0)", "Tiny OS 3.0 (ostree:1)"]);
}

#[test]
fn kernel_arguments_are_taken_over_and_changed() {
    let machine = Machine::new(&InitOptions::default());
    let options = |number: u64, from: KargsFrom, edits: &[KargEdit]| {
        let commit = machine.commit(number, &tree(number, "kernel"));
        machine.deploy(commit, &DeployOptions { kargs_from: from, kargs: edits.to_vec(), ..keep() }).unwrap();
        let mut kargs = machine.open().deployments().unwrap()[0].entry.kargs();
        kargs.set("ostree=X");
        kargs.to_string()
    };
    let add = |text: &str| KargEdit::Append(text.to_owned());
    assert_eq!(options(1, KargsFrom::Merge, &[add("root=/dev/x quiet")]), "root=/dev/x quiet ostree=X");
    assert_eq!(
        options(2, KargsFrom::Merge, &[add("a"), KargEdit::Delete("quiet".into())]),
        "root=/dev/x ostree=X a"
    );
    assert_eq!(options(3, KargsFrom::Nothing, &[add("b")]), "b ostree=X");
    let given = Kargs::parse_proc_cmdline(b"BOOT_IMAGE=/v ostree=/old c\n");
    assert_eq!(options(4, KargsFrom::Given(given), &[]), "ostree=X c");
}

#[test]
fn entries_of_others_and_unknown_files_stay() {
    let machine = two();
    fsio::replace(&machine.dir(), "boot/loader/entries/memtest.conf", 0o644, b"title Memory test\n").unwrap();
    fsio::replace(&machine.dir(), "boot/ostree/note", 0o644, b"x").unwrap();
    fsio::replace(&machine.dir(), "ostree/deploy/os/deploy/note", 0o644, b"x").unwrap();
    let commit = machine.commit(3, &tree(3, "kernel 3"));
    machine.deploy(commit, &keep()).unwrap();
    for path in ["boot/loader/entries/memtest.conf", "boot/ostree/note", "ostree/deploy/os/deploy/note"] {
        assert!(machine.exists(path), "{path}");
    }
}

#[test]
fn var_is_filled_once_from_the_first_commit_that_has_content_for_it() {
    let machine = Machine::new(&InitOptions::default());
    let with_var = |number: u64| {
        let mut tree = tree(number, "kernel");
        tree.file("var/lib/app/state", format!("shipped {number}"));
        machine.commit(number, &tree)
    };
    machine.deploy(with_var(1), &keep()).unwrap();
    let var = || machine.snapshot("ostree/deploy/os/var");
    let filled = var();
    assert_eq!(filled.get(Path::new("lib/app/state")).map(String::as_str), Some("644 shipped 1"));
    assert_eq!(filled.get(Path::new("tmp")).map(String::as_str), Some("1777 Dir"));
    assert_eq!(filled.get(Path::new("run")).map(String::as_str), Some("-> ../run"));
    machine.deploy(with_var(2), &keep()).unwrap();
    assert_eq!(var(), filled);
}

#[test]
fn a_tree_with_its_defaults_in_etc_gets_them_moved() {
    let machine = Machine::new(&InitOptions::default());
    let mut legacy = tree(1, "kernel");
    let etc: Vec<_> = legacy.nodes.keys().filter(|path| path.starts_with("usr/etc/")).cloned().collect();
    for path in etc {
        let node = legacy.nodes.remove(&path).unwrap();
        legacy.nodes.insert(path.trim_start_matches("usr/").to_owned(), node);
    }
    let commit = machine.commit(1, &legacy);
    machine.deploy(commit, &keep()).unwrap();
    for path in ["etc/untouched", "usr/etc/untouched"] {
        assert_eq!(machine.read(0, path).as_deref(), Some("default 1\n"), "{path}");
    }
}

#[test]
fn a_new_sysroot_has_the_directories_of_its_epoch() {
    use sapwood_deploy::{Epoch, Sysroot};
    let names = |epoch| {
        let machine = Machine::empty();
        let options = InitOptions { epoch, ..InitOptions::default() };
        for _ in 0..2 {
            Sysroot::init_fs(&machine.dir(), &options).unwrap();
        }
        let entries = fsio::entries(&machine.dir()).unwrap();
        let mode = |name: &str| fsio::stat(&machine.dir(), name).unwrap().mode;
        entries
            .iter()
            .map(|e| format!("{} {:o}", e.name.display(), mode(e.name.to_str().unwrap())))
            .collect::<Vec<_>>()
    };
    // As `ostree admin init-fs` makes them.
    let zero = [
        "boot 755",
        "dev 755",
        "home 755",
        "ostree 755",
        "proc 755",
        "root 700",
        "run 755",
        "sys 755",
        "tmp 1777",
    ];
    assert_eq!(names(Epoch::Zero), zero);
    assert_eq!(names(Epoch::One), ["boot 755", "ostree 755"]);
    assert_eq!(names(Epoch::Two), ["boot 755", "ostree 700"]);
    let machine = Machine::empty();
    assert!(matches!(Sysroot::open(&dir(&machine.path())), Err(Error::NotASysroot { .. })));
}
