//! What is changed of deployments that are there: arguments, overlays, kernels in the boot directory, a writable `/usr`.

use crate::fixture::{Machine, REF, WAIT, dir, os, tree};
use crate::namespace::in_mount_namespace;
use sapwood_deploy::{
    Change, CleanupOptions, DeployOptions, Downgrade, Error, InitOptions, KargEdit, KargsOf, Origin, Unlock,
    UpgradeOptions, UpgradeOutcome,
};
use sapwood_fsio as fsio;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

fn options() -> DeployOptions {
    DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() }
}

/// Two versions, the newer one first.
fn machine() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    for number in 1..=2 {
        let commit = machine.commit(number, &tree(number, &format!("kernel {number}")));
        machine.deploy(commit, &options()).unwrap();
    }
    machine
}

fn arguments(machine: &Machine) -> Vec<String> {
    let shown = |deployment: &sapwood_deploy::Deployment| {
        let kargs = deployment.entry.kargs();
        let own = kargs.iter().filter(|argument| !argument.starts_with("ostree="));
        own.collect::<Vec<_>>().join(" ")
    };
    machine.open().deployments().unwrap().iter().map(shown).collect()
}

#[test]
fn arguments_are_changed_in_place_and_only_where_that_is_asked() {
    let machine = machine();
    let change = |edit: KargEdit, only: Option<usize>| {
        let sysroot = machine.open();
        let changed = sysroot.lock(WAIT).unwrap().change_kargs(&|whose, mut kargs| {
            let KargsOf::Listed(deployment) = whose else { panic!("nothing is staged") };
            kargs.edit(std::slice::from_ref(&edit))?;
            Ok(only.is_none_or(|only| only == deployment.index).then_some(kargs))
        })?;
        assert!(!changed.staged);
        Ok::<_, Error>(changed.written)
    };
    let trees = machine.snapshot("ostree/deploy");
    assert!(matches!(change(KargEdit::Append("quiet".into()), None).unwrap().change, Change::Entries { .. }));
    change(KargEdit::Append("a=1".into()), Some(1)).unwrap();
    assert_eq!(arguments(&machine), ["quiet", "quiet a=1"]);
    let written = change(KargEdit::AppendIfMissing("quiet".into()), None).unwrap();
    assert_eq!(written.change, Change::Nothing);
    assert!(change(KargEdit::Delete("a=1".into()), None).is_err(), "one of them has it not");
    assert_eq!(arguments(&machine), ["quiet", "quiet a=1"]);
    assert_eq!(machine.snapshot("ostree/deploy"), trees);
}

#[test]
fn an_overlay_of_the_initramfs_is_kept_as_long_as_an_entry_names_it() {
    let machine = machine();
    let overlays = || machine.snapshot("boot").keys().filter(|path| path.ends_with(overlay())).count();
    let mut temporary = tempfile::tempfile().unwrap();
    temporary.write_all(b"overlay").unwrap();
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    let name = locked.add_overlay(&temporary).unwrap();
    assert_eq!(name, overlay());
    let commit = locked.repo().resolve(REF).unwrap();
    let with = DeployOptions { overlays: vec![name.clone()], ..options() };
    locked.deploy(&os(), commit, &with, &|_| {}).unwrap();
    let first = locked.deployments().unwrap().remove(0);
    let initrds: Vec<_> = first.entry.all("initrd").collect();
    assert_eq!(initrds.len(), 2);
    assert_eq!(initrds[1], format!("/ostree/initramfs-overlays/{}", overlay()));
    assert_eq!(overlays(), 1);
    locked.undeploy(0, &CleanupOptions::default()).unwrap();
    assert_eq!(overlays(), 0);
    locked.add_overlay(&temporary).unwrap();
    locked.cleanup(&CleanupOptions::default()).unwrap();
    assert_eq!(overlays(), 0, "it was never used");
}

/// `printf overlay | sha256sum`
fn overlay() -> &'static str {
    "b4b33d2441645d4dd0a0694b5989a0a14a5cc22fe9865e6b7b7eae966e0de36c.img"
}

#[test]
fn what_the_boot_directory_lost_of_a_kernel_comes_back_with_the_next_deployment() {
    let machine = machine();
    let initrd = machine.open().deployments().unwrap()[0].entry.get("initrd").unwrap().to_owned();
    fsio::remove_file(&machine.dir(), format!("boot{initrd}")).unwrap();
    let commit = machine.commit(3, &tree(3, "kernel 3"));
    machine.deploy(commit, &options()).unwrap();
    assert_eq!(fsio::read(&machine.dir(), format!("boot{initrd}"), 100).unwrap(), b"initrd");
}

#[test]
fn what_came_to_its_end_goes_on_as_it_says() {
    let machine = machine();
    machine.commit_ending("os/main", 3, "os/next");
    let next = machine.commit_to("os/next", 1, &tree(4, "kernel 4"));
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    let mut plan = locked.plan_upgrade(None).unwrap();
    let end = locked.end_of_life(&plan).unwrap().unwrap();
    assert_eq!((end.reason.as_str(), end.rebase.as_deref()), ("enough", Some("os/next")));
    plan.rebase("os/next").unwrap();
    assert_eq!(locked.end_of_life(&plan).unwrap(), None);
    let refused = locked.upgrade(&plan, &UpgradeOptions::default(), &|_| {});
    assert!(matches!(refused, Err(Error::Downgrade { .. })), "{refused:?}");
    let options = UpgradeOptions { downgrade: Downgrade::Allow, ..UpgradeOptions::default() };
    let upgraded = locked.upgrade(&plan, &options, &|_| {}).unwrap();
    let UpgradeOutcome::Deployed(deployed) = upgraded else { panic!("{upgraded:?}") };
    assert_eq!(deployed.id.commit, next);
    assert_eq!(locked.deployments().unwrap()[0].origin.refspec().as_deref(), Some("os/next"));
}

#[test]
fn an_unlocked_usr_can_be_written_once_and_a_hotfix_keeps_a_copy_to_go_back_to() {
    in_mount_namespace(
        "changes::an_unlocked_usr_can_be_written_once_and_a_hotfix_keeps_a_copy_to_go_back_to",
        || {
            for unlock in [Unlock::Development, Unlock::Hotfix] {
                let machine = machine();
                let first = machine.open().deployments().unwrap().remove(0);
                let root = std::fs::metadata(machine.path().join(first.path())).unwrap();
                let run = fsio::ensure_dir(&machine.dir(), "run", 0o755).unwrap();
                let sysroot = machine.open().with_running_root(root.dev(), root.ino()).with_run(run);
                let usr = machine.path().join(first.path()).join("usr");
                let locked = sysroot.lock(WAIT).unwrap();
                locked.unlock(unlock, &dir(&usr)).unwrap();
                let again = locked.unlock(Unlock::Transient, &dir(&usr));
                assert!(matches!(again, Err(Error::Unlocked { .. })));
                // Not through the directory that was opened before.
                fsio::replace(&dir(&usr), "bin/new", 0o644, b"x").unwrap();
                fsio::remove_file(&dir(&usr), "bin/tool").unwrap();
                let now = locked.status().unwrap().deployments;
                assert_eq!(now[0].unlocked, Some(unlock));
                let below = std::process::Command::new("umount").arg(&usr).status().unwrap();
                assert!(below.success());
                assert!(usr.join("bin/tool").exists() && !usr.join("bin/new").exists());
                let upper = machine.path().join(first.path()).join(".usr-ovl-upper/bin/new");
                assert_eq!(upper.exists(), unlock == Unlock::Hotfix);
                assert_eq!(now.len(), if unlock == Unlock::Hotfix { 3 } else { 2 });
                if unlock == Unlock::Hotfix {
                    assert_eq!(now[1].deployment.id.commit, first.id.commit);
                    assert_eq!(now[1].unlocked, None);
                }
            }
        },
    );
}

#[test]
fn a_usr_that_cannot_be_told_to_be_writable_is_not_made_so() {
    in_mount_namespace("changes::a_usr_that_cannot_be_told_to_be_writable_is_not_made_so", || {
        let machine = machine();
        let first = machine.open().deployments().unwrap().remove(0);
        let root = std::fs::metadata(machine.path().join(first.path())).unwrap();
        let run = fsio::ensure_dir(&machine.dir(), "run", 0o755).unwrap();
        fsio::replace(&run, "deployment-state", 0o644, b"in the way").unwrap();
        let sysroot = machine.open().with_running_root(root.dev(), root.ino()).with_run(run);
        let usr = machine.path().join(first.path()).join("usr");
        assert!(sysroot.lock(WAIT).unwrap().unlock(Unlock::Development, &dir(&usr)).is_err());
        assert!(!fsio::mount::is_mount_point(&dir(&usr)).unwrap());
    });
}
