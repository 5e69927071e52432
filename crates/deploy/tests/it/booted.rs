//! A machine that runs, and two programs on it: what one of them stages, the other holds, changes and puts into the boot order.

use crate::fixture::{Machine, REF, WAIT, os, tree};
use sapwood_deploy::{
    CleanupOptions, DeployOptions, Error, Finalization, InitOptions, KargEdit, Kargs, Locked, Origin, Result,
    Sysroot,
};
use sapwood_fsio as fsio;
use sapwood_testkit::{Ostree, Tree, skipped};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

/// Runs a script of the shell as the running system would: `$D` is the root of the deployment, `$S` the disk.
const BOOT: &str = r#"
mount --bind "$D" "$D"
mount --bind /usr "$D/usr"
mount --bind "$S" "$D/sysroot"
mount --bind "$S/boot" "$D/boot"
mount --bind "$S/ostree/deploy/os/var" "$D/var"
mount -t proc proc "$D/proc"
mount --bind /dev "$D/dev"
mount -t tmpfs tmpfs "$D/tmp"
mount -t tmpfs tmpfs "$D/run"
mkdir "$D/run/ostree"
mount --bind "$S/run" "$D/run/ostree"
touch "$D/run/ostree-booted"
exec chroot "$D" sh -euc "$SCRIPT"
"#;

/// What it starts with.
const ARGUMENTS: &str = "root=/dev/x quiet";

/// A system in which the programs of this machine can be seen.
fn system(number: u64) -> Tree {
    let mut tree = tree(number, &format!("kernel {number}"));
    for empty in ["run", "sys", "dev", "var"] {
        tree.dir(empty);
    }
    for link in ["lib", "lib64", "sbin"] {
        tree.symlink(link, &format!("usr/{link}"));
    }
    tree
}

/// A machine that runs version 1 and has a commit of version 2, where the real program can be run in it.
struct Running(Machine);

impl Running {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || Ostree::find().is_none() {
            skipped("the real ostree admin is not here, or not allowed");
            return None;
        }
        let machine = Machine::new(&InitOptions::default());
        fsio::ensure_dir(&machine.dir(), "run", 0o755).unwrap();
        let commit = machine.commit(1, &system(1));
        let kargs = ARGUMENTS.split(' ').map(|text| KargEdit::Append(text.to_owned())).collect();
        let origin = Some(Origin::from_refspec(REF));
        machine.deploy(commit, &DeployOptions { origin, kargs, ..DeployOptions::default() }).unwrap();
        machine.commit(2, &system(2));
        let running = Self(machine);
        let enters = running.script("true").is_some();
        if !enters {
            skipped("mount namespaces are not allowed here");
        }
        enters.then_some(running)
    }

    /// Runs a script in it. `None` where it fails.
    fn script(&self, script: &str) -> Option<String> {
        let booted = self.0.path().join(self.sysroot().deployments().unwrap().last().unwrap().path());
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "-p", "--fork", "sh", "-euc", BOOT]).env("LC_ALL", "C.UTF-8");
        let out = unshare.env("D", booted).env("S", self.0.path()).env("SCRIPT", script).output().unwrap();
        let mut said = std::io::stderr();
        said.write_all(&out.stderr).unwrap();
        out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
    }

    /// Runs the real program in it.
    fn admin(&self, line: &str) -> String {
        self.script(&format!("ostree admin {line}")).unwrap_or_else(|| panic!("{line}"))
    }

    /// The sysroot as our program sees it in there: the oldest deployment runs.
    fn sysroot(&self) -> Sysroot {
        let path = self.0.open().deployments().unwrap().pop().unwrap().path();
        let root = std::fs::metadata(self.0.path().join(path)).unwrap();
        let run = fsio::open_dir(&self.0.dir(), "run").unwrap();
        self.0.open().with_running_root(root.dev(), root.ino()).with_run(run)
    }

    fn locked<T>(&self, act: impl FnOnce(&Locked<'_>) -> Result<T>) -> Result<T> {
        let sysroot = self.sysroot();
        let locked = sysroot.lock(WAIT)?;
        act(&locked)
    }

    fn stage(&self, options: &DeployOptions, finalization: Finalization) {
        let commit = self.0.repo().resolve(REF).unwrap();
        self.locked(|locked| locked.stage(&os(), commit, options, finalization, &|_| {})).unwrap();
    }

    fn hold(&self, finalization: Finalization) -> bool {
        self.locked(|locked| locked.set_finalization(finalization)).unwrap()
    }

    fn boot_complete(&self) {
        self.sysroot().lock(WAIT).unwrap().boot_complete().unwrap();
    }

    /// Whether there was something that our program put into the boot order.
    fn finalize(&self) -> Result<bool> {
        self.locked(|locked| locked.finalize_staged(&|_| {})).map(|deployed| deployed.is_some())
    }

    fn append(&self, argument: &str) -> bool {
        let edit = [KargEdit::AppendIfMissing(argument.to_owned())];
        let change = |mut kargs: Kargs| kargs.edit(&edit).map(|()| Some(kargs)).map_err(Error::from);
        self.locked(|locked| locked.change_kargs(&|_, kargs| change(kargs))).unwrap().staged
    }

    /// The arguments in the entry of version 2, which is the default now, without the one that OSTree fills in.
    fn arguments(&self) -> String {
        let deployments = self.sysroot().deployments().unwrap();
        assert_eq!(deployments.len(), 2);
        let title = deployments[0].entry.get("title").unwrap();
        assert!(title.starts_with("Tiny OS 2"), "{title}");
        let kargs = deployments[0].entry.kargs();
        let own = kargs.iter().filter(|argument| !argument.starts_with("ostree="));
        own.collect::<Vec<_>>().join(" ")
    }

    fn is_held(&self) -> bool {
        self.sysroot().staged().unwrap().unwrap().finalization == Finalization::Held
    }

    fn overlays(&self) -> Vec<String> {
        let entry = self.sysroot().deployments().unwrap().remove(0).entry;
        entry.all("initrd").skip(1).map(str::to_owned).collect()
    }
}

#[test]
fn what_ostree_staged_without_arguments_takes_those_of_the_running_deployment_over() {
    let Some(machine) = Running::new() else { return };
    machine.admin("upgrade --stage");
    let staged = machine.sysroot().staged().unwrap().unwrap();
    assert_eq!(staged.kargs, machine.sysroot().deployments().unwrap()[0].entry.kargs());
    assert!(!machine.append("new"), "it takes over what it was appended to");
    assert!(machine.finalize().unwrap());
    assert_eq!(machine.arguments(), format!("{ARGUMENTS} new"));
}

#[test]
fn what_ostree_staged_is_the_same_to_it_after_we_wrote_the_record_again() {
    for by_ostree in [true, false] {
        let Some(machine) = Running::new() else { return };
        machine.admin("upgrade --stage");
        assert!(machine.hold(Finalization::Held) && machine.hold(Finalization::AtShutdown));
        machine.boot_complete();
        if by_ostree {
            machine.admin("finalize-staged");
        } else {
            assert!(machine.finalize().unwrap());
        }
        assert_eq!(machine.arguments(), ARGUMENTS);
    }
}

#[test]
fn what_ostree_staged_with_arguments_of_its_own_has_them() {
    for (options, expected) in [("--karg-append=new", "root=/dev/x quiet new"), ("--karg-none", "")] {
        let Some(machine) = Running::new() else { return };
        machine.admin(&format!("deploy --stage {options} {REF}"));
        assert!(machine.finalize().unwrap());
        assert_eq!(machine.arguments(), expected, "{options}");
    }
}

#[test]
fn arguments_are_edited_in_what_either_program_staged_and_either_finalises() {
    for (ours, by_ostree) in [(true, true), (true, false), (false, true), (false, false)] {
        let Some(machine) = Running::new() else { return };
        if ours {
            let kargs = vec![KargEdit::Append("own".to_owned())];
            machine.stage(&DeployOptions { kargs, ..DeployOptions::default() }, Finalization::AtShutdown);
        } else {
            machine.admin(&format!("deploy --stage --karg-append=own {REF}"));
        }
        assert!(machine.append("edited"));
        assert!(!machine.append("edited"), "it is there");
        if by_ostree {
            machine.admin("finalize-staged");
        } else {
            assert!(machine.finalize().unwrap());
        }
        assert_eq!(machine.arguments(), format!("{ARGUMENTS} own edited"), "{ours} {by_ostree}");
        let running = machine.sysroot().deployments().unwrap().pop().unwrap();
        assert!(running.entry.kargs().iter().any(|argument| argument == "edited"));
    }
}

#[test]
fn what_either_program_holds_the_other_does_not_finalise() {
    let Some(machine) = Running::new() else { return };
    machine.admin(&format!("deploy --stage --lock-finalization {REF}"));
    assert!(machine.is_held());
    assert!(!machine.finalize().unwrap());
    assert!(machine.hold(Finalization::AtShutdown));
    assert!(!machine.is_held() && !machine.0.exists("run/staged-deployment-locked"));
    assert!(machine.hold(Finalization::Held));
    machine.admin("finalize-staged");
    assert_eq!(machine.0.boots().len(), 1, "it stays staged");
    assert!(machine.is_held());
    // Another one that is staged is not held because this one was.
    machine.stage(&DeployOptions::default(), Finalization::AtShutdown);
    assert!(!machine.is_held());
    machine.admin("finalize-staged");
    assert_eq!(machine.arguments(), ARGUMENTS);
}

#[test]
fn what_we_hold_is_held_after_a_power_loss_and_what_comes_after_it_is_not() {
    let Some(machine) = Running::new() else { return };
    machine.stage(&DeployOptions::default(), Finalization::Held);
    fsio::remove_tree(&machine.0.dir(), "run").unwrap();
    fsio::ensure_dir(&machine.0.dir(), "run", 0o755).unwrap();
    machine.boot_complete();
    machine.admin("finalize-staged");
    assert_eq!(machine.0.boots().len(), 1, "it stays staged");
    machine.locked(|locked| locked.undeploy(0, &CleanupOptions::default())).unwrap();
    assert!(!machine.0.exists("run/staged-deployment-locked"));
    machine.admin("upgrade --stage");
    assert!(machine.finalize().unwrap());
}

/// `printf overlay | sha256sum`
const OVERLAY: &str = "b4b33d2441645d4dd0a0694b5989a0a14a5cc22fe9865e6b7b7eae966e0de36c";

#[test]
fn overlays_of_the_initramfs_go_with_what_either_program_staged() {
    let named = format!("/ostree/initramfs-overlays/{OVERLAY}.img");
    let stage_theirs =
        format!("printf overlay > /tmp/o; ostree admin deploy --stage --overlay-initrd=/tmp/o {REF}");
    for (ours, by_ostree) in [(true, true), (false, false), (false, true)] {
        let Some(machine) = Running::new() else { return };
        if ours {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"overlay").unwrap();
            let overlays = vec![machine.locked(|locked| locked.add_overlay(&file)).unwrap()];
            machine.stage(&DeployOptions { overlays, ..DeployOptions::default() }, Finalization::AtShutdown);
            machine.admin("cleanup");
        } else {
            machine.script(&stage_theirs).unwrap();
            assert!(machine.0.exists(&format!("run/staged-initrds/{OVERLAY}")));
            machine.sysroot().status().unwrap();
        }
        machine.boot_complete();
        if by_ostree {
            machine.admin("finalize-staged");
        } else {
            assert!(machine.finalize().unwrap());
        }
        assert_eq!(machine.overlays(), [named.as_str()], "{ours} {by_ostree}");
        assert_eq!(fsio::read(&machine.0.dir(), format!("boot{named}"), 100).unwrap(), b"overlay");
    }
}

#[test]
fn an_overlay_that_is_gone_or_is_not_what_its_name_says_leaves_the_update_staged() {
    for content in [None, Some("other")] {
        let Some(machine) = Running::new() else { return };
        let overlay = format!("run/staged-initrds/{OVERLAY}");
        machine.script(&format!(
            "printf overlay > /tmp/o; ostree admin deploy --stage --overlay-initrd=/tmp/o {REF}"
        ));
        match content {
            Some(content) => fsio::replace(&machine.0.dir(), &overlay, 0o644, content.as_bytes()).unwrap(),
            None => fsio::remove_file(&machine.0.dir(), &overlay).unwrap(),
        }
        let refused = machine.finalize();
        assert!(
            matches!(&refused, Err(Error::OverlayGone { name }) if name.starts_with(OVERLAY)),
            "{refused:?}"
        );
        assert_eq!(machine.0.boots().len(), 1);
        fsio::replace(&machine.0.dir(), &overlay, 0o644, b"overlay").unwrap();
        assert!(machine.finalize().unwrap());
        assert_eq!(machine.overlays().len(), 1);
    }
}
