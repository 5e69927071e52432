//! The boot programs, on a disk that is mounted as an initramfs has it, in a namespace where mounting is allowed.

use crate::fixture::{Machine, REF, WAIT, dir, os, tree};
use crate::namespace::{in_mount_namespace, mount};
use sapwood_deploy::{
    BootConfig, BootError, BootRecord, BootTarget, DeployOptions, Error, Finalization, InitOptions, OpenUp,
    OwnMounts, Remounted, Sysroot, boot_units, is_closed, open_up, prepare_root, remount,
};
use sapwood_fsio::mount::Access;
use sapwood_fsio::{self as fsio, Dir};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::path::PathBuf;
use std::process::Command;

/// An initramfs with the disk of a machine mounted at `sysroot`, and one deployment on it.
pub(crate) struct Initramfs {
    pub(crate) machine: Machine,
    root: PathBuf,
    _temporary: tempfile::TempDir,
}

/// With the directories that are mounted on.
fn bootable() -> Tree {
    let mut os = tree(1, "kernel");
    os.dir("var");
    os.dir("run");
    os
}

impl Initramfs {
    pub(crate) fn new() -> Self {
        let machine = Machine::new(&InitOptions::default());
        machine.deploy(machine.commit(1, &bootable()), &DeployOptions::default()).unwrap();
        Self::of(machine)
    }

    fn of(machine: Machine) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().to_owned();
        mount(&["-t", "tmpfs", "initramfs"], &root);
        for path in ["run", "sysroot"] {
            fsio::create_dir(&dir(&root), path, 0o755).unwrap();
        }
        mount(&["--bind", machine.path().to_str().unwrap()], &root.join("sysroot"));
        Self { machine, root, _temporary: temporary }
    }

    fn root(&self) -> Dir {
        dir(&self.root)
    }

    /// Mounts a copy of the machine in its place: a filesystem of its own, read-only.
    fn put_on_read_only_disk(&self) {
        let disk = self.root.join("sysroot");
        let from = self.machine.path().join(".");
        mount(&["-t", "tmpfs", "disk"], &disk);
        assert!(Command::new("cp").arg("-a").args([&from, &disk]).status().unwrap().success());
        mount(&["-o", "remount,ro"], &disk);
    }

    /// What the kernel is told by the boot entry.
    fn target(&self) -> BootTarget {
        let deployment = self.machine.open().deployments().unwrap().remove(0);
        BootTarget::parse(deployment.entry.get("options").unwrap().as_bytes()).unwrap()
    }

    pub(crate) fn deployment(&self) -> String {
        self.machine.open().deployments().unwrap().remove(0).path()
    }

    /// Boots; returns the new root.
    pub(crate) fn boot(&self, config: &BootConfig, var: OwnMounts) -> Dir {
        let prepared = prepare_root(&self.root(), "sysroot", &self.target(), config, var).unwrap();
        assert_eq!(BootRecord::read(&self.root()).unwrap().unwrap(), prepared.record);
        assert!(fsio::stat_optional(&self.root(), "sysroot.tmp").unwrap().is_none());
        fsio::open_dir(&self.root(), "sysroot").unwrap()
    }
}

fn writable(root: &Dir, path: &str) -> bool {
    let written = fsio::replace(root, format!("{path}/probe"), 0o644, b"x");
    if written.is_ok() {
        fsio::remove_file(root, format!("{path}/probe")).unwrap();
    }
    written.is_ok()
}

#[test]
fn the_root_is_the_deployment_with_usr_read_only_and_the_disk_at_sysroot() {
    in_mount_namespace(
        "early::the_root_is_the_deployment_with_usr_read_only_and_the_disk_at_sysroot",
        || {
            let boot = Initramfs::new();
            let own = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
            let root = boot.boot(&BootConfig::default(), OwnMounts::BySystemd);
            let seen = fsio::stat_dir(&root).unwrap();
            assert_eq!((seen.dev, seen.ino), (own.dev, own.ino));
            assert_eq!(fsio::read(&root, "usr/bin/tool", 100).unwrap(), b"tool 1");
            assert_eq!(fsio::read(&root, "etc/untouched", 100).unwrap(), b"default 1\n");
            assert!(!writable(&root, "usr") && writable(&root, "etc") && writable(&root, "sysroot/ostree"));
            assert!(fsio::open_dir(&root, "sysroot/ostree/repo/objects").is_ok());
            assert_eq!(
                fsio::entries(&fsio::open_dir(&root, "var").unwrap()).unwrap(),
                [],
                "systemd mounts it"
            );
            let units = boot_units(&root, &boot.target()).unwrap();
            assert_eq!(units.iter().map(|unit| unit.name).collect::<Vec<_>>(), ["var.mount", "boot.mount"]);
        },
    );
}

#[test]
fn a_read_only_sysroot_leaves_etc_and_var_writable() {
    in_mount_namespace("early::a_read_only_sysroot_leaves_etc_and_var_writable", || {
        let boot = Initramfs::new();
        let config = BootConfig { sysroot_read_only: true, ..BootConfig::default() };
        let root = boot.boot(&config, OwnMounts::Now);
        assert!(!writable(&root, "sysroot/ostree") && !writable(&root, "usr"));
        assert!(
            writable(&root, "etc")
                && writable(&root, "var")
                && writable(&root, "sysroot/ostree/deploy/os/var")
        );
        assert!(fsio::stat(&root, "boot/loader").unwrap().kind == fsio::Kind::Symlink);
        fsio::replace(&root, "var/kept", 0o644, b"x").unwrap();
        assert!(boot.machine.exists("ostree/deploy/os/var/kept"), "it is the stateroot's");
        fsio::mount::bind(&fsio::open_dir(&boot.root(), "run").unwrap(), &root, "run").unwrap();
        assert_eq!(boot_units(&root, &boot.target()).unwrap(), [], "/var is there, and so is /boot");
    });
}

/// An initramfs without systemd leaves to the system what its table mounts.
#[test]
fn what_the_fstab_of_the_deployment_mounts_is_left_to_it() {
    in_mount_namespace("early::what_the_fstab_of_the_deployment_mounts_is_left_to_it", || {
        for (fstab, mounted) in [
            ("UUID=1 /var ext4 defaults 0 2\n", [false, true]),
            ("# UUID=1 /var ext4\nUUID=2 /boot ext4 ro\n", [true, false]),
            ("UUID=3 /var/log ext4\n", [true, true]),
        ] {
            let boot = Initramfs::new();
            boot.machine.write(0, "etc/fstab", fstab);
            let root = boot.boot(&BootConfig::default(), OwnMounts::Now);
            let is_mounted =
                |path| fsio::mount::is_mount_point(&fsio::open_dir(&root, path).unwrap()).unwrap();
            assert_eq!(["var", "boot"].map(is_mounted), mounted, "{fstab}");
        }
    });
}

#[test]
fn what_is_transient_does_not_reach_the_deployment() {
    in_mount_namespace("early::what_is_transient_does_not_reach_the_deployment", || {
        let boot = Initramfs::new();
        let config = BootConfig { etc_transient: true, root_transient: true, ..BootConfig::default() };
        for (path, mode) in [("", 0o711), ("usr/etc", 0o750)] {
            fsio::set_mode_of(&boot.machine.dir(), format!("{}/{path}", boot.deployment()), mode).unwrap();
        }
        let own = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
        let root = boot.boot(&config, OwnMounts::Now);
        assert_eq!(fsio::stat_dir(&root).unwrap().mode & 0o7777, 0o711, "it looks as what is below");
        assert_eq!(fsio::stat(&root, "etc").unwrap().mode & 0o7777, 0o750);
        fsio::replace(&root, "etc/new", 0o644, b"x").unwrap();
        fsio::replace(&root, "top", 0o644, b"x").unwrap();
        assert!(!writable(&root, "usr"));
        assert!(!boot.machine.exists(&format!("{}/etc/new", boot.deployment())));
        assert!(!boot.machine.exists(&format!("{}/top", boot.deployment())));
        let record = BootRecord::read(&boot.root()).unwrap().unwrap();
        assert_eq!(record.backing_root, Some((own.dev, own.ino)), "the root directory does not show it");
        assert_ne!(fsio::stat_dir(&root).unwrap().ino, own.ino);
    });
}

#[test]
fn a_hotfix_is_laid_over_usr() {
    in_mount_namespace("early::a_hotfix_is_laid_over_usr", || {
        let boot = Initramfs::new();
        let own = fsio::open_dir(&boot.machine.dir(), boot.deployment()).unwrap();
        for path in [".usr-ovl-upper", ".usr-ovl-work"] {
            fsio::create_dir(&own, path, 0o755).unwrap();
        }
        let root = boot.boot(&BootConfig::default(), OwnMounts::Now);
        fsio::replace(&root, "usr/bin/tool", 0o755, b"fixed").unwrap();
        assert_eq!(fsio::read(&own, "usr/bin/tool", 100).unwrap(), b"tool 1");
        assert_eq!(fsio::read(&own, ".usr-ovl-upper/bin/tool", 100).unwrap(), b"fixed");
    });
}

/// Most kernels are told to mount the disk read-only.
#[test]
fn a_hotfix_and_a_transient_root_are_laid_over_what_is_on_a_read_only_disk() {
    let name = "early::a_hotfix_and_a_transient_root_are_laid_over_what_is_on_a_read_only_disk";
    in_mount_namespace(name, || {
        for root_transient in [false, true] {
            let boot = Initramfs::new();
            let deployment = boot.deployment();
            if !root_transient {
                for path in [".usr-ovl-upper", ".usr-ovl-work"] {
                    fsio::create_dir(&boot.machine.dir(), format!("{deployment}/{path}"), 0o755).unwrap();
                }
            }
            boot.put_on_read_only_disk();
            let config = BootConfig { root_transient, ..BootConfig::default() };
            let root = boot.boot(&config, OwnMounts::Now);
            assert_eq!(writable(&root, "usr"), !root_transient);
            assert!(writable(&root, if root_transient { "etc" } else { "usr/bin" }));
        }
        // Where nothing is laid over it, it stays as it was.
        let boot = Initramfs::new();
        boot.put_on_read_only_disk();
        let root = boot.boot(&BootConfig::default(), OwnMounts::Now);
        assert!(!writable(&root, "etc") && !writable(&root, "sysroot/ostree"));
    });
}

#[test]
fn a_boot_that_fails_leaves_the_disk_mounted_as_it_was() {
    in_mount_namespace("early::a_boot_that_fails_leaves_the_disk_mounted_as_it_was", || {
        let boot = Initramfs::new();
        let target = boot.target();
        // A deployment without the place where the disk is to be seen: the failure comes after the first mounts.
        let own = fsio::open_dir(&boot.machine.dir(), boot.deployment()).unwrap();
        fsio::remove_dir(&own, "sysroot").unwrap();
        let config = BootConfig::default();
        let failed = prepare_root(&boot.root(), "sysroot", &target, &config, OwnMounts::Now);
        assert!(matches!(failed, Err(BootError::Io(_))), "{failed:?}");
        let disk = fsio::open_dir(&boot.root(), "sysroot").unwrap();
        assert!(fsio::open_dir(&disk, "ostree/repo").is_ok());
        assert!(!fsio::mount::is_mount_point(&fsio::open_dir(&boot.root(), "sysroot.tmp").unwrap()).unwrap());
        // Once it is mended the boot succeeds.
        fsio::create_dir(&own, "sysroot", 0o755).unwrap();
        drop((disk, own));
        prepare_root(&boot.root(), "sysroot", &target, &config, OwnMounts::Now).unwrap();
        // A link that leads nowhere.
        let lost = BootTarget::parse(b"ostree=/ostree/boot.1/os/none/0").unwrap();
        let again = Initramfs::new();
        let failed = prepare_root(&again.root(), "sysroot", &lost, &config, OwnMounts::Now);
        assert!(matches!(failed, Err(BootError::BadLink { .. })), "{failed:?}");
    });
}

#[test]
fn remounting_restores_what_was_decided_and_respects_a_read_only_root() {
    in_mount_namespace("early::remounting_restores_what_was_decided_and_respects_a_read_only_root", || {
        let boot = Initramfs::new();
        let config = BootConfig { sysroot_read_only: true, ..BootConfig::default() };
        let root = boot.boot(&config, OwnMounts::Now);
        assert_eq!(remount(&root).unwrap(), Remounted::NotBooted, "its /run is elsewhere yet");
        let record = fsio::read(&boot.root(), "run/ostree-booted", 1000).unwrap();
        fsio::mount::tmpfs(&root, "run", 0o755).unwrap();
        fsio::replace(&root, "run/ostree-booted", 0o644, &record).unwrap();
        let at = |path: &str| fsio::open_dir(&root, path).unwrap();
        fsio::mount::set_access(&at("sysroot"), Access::ReadWrite).unwrap();
        fsio::mount::set_access(&at("etc"), Access::ReadOnly).unwrap();
        for _ in 0..2 {
            assert_eq!(remount(&root).unwrap(), Remounted::Done);
            let state = ["sysroot", "etc", "var", "usr"].map(|path| fsio::mount::access(&at(path)).unwrap());
            assert_eq!(state, [Access::ReadOnly, Access::ReadWrite, Access::ReadWrite, Access::ReadOnly]);
        }
        // Whoever administers the system gets a writable disk, and nobody else does.
        let written = std::thread::scope(|scope| {
            let path = boot.root.join("sysroot");
            assert!(is_closed(&root).unwrap());
            let other = scope.spawn(move || {
                fsio::mount::unshare().unwrap();
                open_up(&dir(&path), OpenUp::Filesystems).unwrap();
                (is_closed(&dir(&path)).unwrap(), writable(&dir(&path), "sysroot/ostree"))
            });
            other.join().unwrap()
        });
        assert_eq!(written, (false, true));
        assert!(!writable(&root, "sysroot/ostree"));
        fsio::mount::set_access(&root, Access::ReadOnly).unwrap();
        fsio::mount::set_access(&at("etc"), Access::ReadOnly).unwrap();
        assert_eq!(remount(&root).unwrap(), Remounted::ReadOnlyRoot);
        assert_eq!(fsio::mount::access(&at("etc")).unwrap(), Access::ReadOnly);
    });
}

#[test]
fn a_sysroot_stays_read_only_where_a_stamp_alone_says_so_or_nothing_does() {
    in_mount_namespace(
        "early::a_sysroot_stays_read_only_where_a_stamp_alone_says_so_or_nothing_does",
        || {
            let boot = Initramfs::new();
            let config = BootConfig { sysroot_read_only: true, ..BootConfig::default() };
            let root = boot.boot(&config, OwnMounts::Now);
            let run = fsio::mount::tmpfs(&root, "run", 0o755).unwrap();
            fsio::replace(&run, "ostree-booted", 0o644, b"").unwrap();
            let sysroot = fsio::open_dir(&root, "sysroot").unwrap();
            // The program of OSTree that remounts was there first, and took the stamp away.
            assert_eq!(remount(&root).unwrap(), Remounted::Done);
            assert_eq!(fsio::mount::access(&sysroot).unwrap(), Access::ReadOnly);
            fsio::mount::set_access(&sysroot, Access::ReadWrite).unwrap();
            fsio::replace(&run, "ostree-sysroot-ro.stamp", 0o644, b"").unwrap();
            assert_eq!(remount(&root).unwrap(), Remounted::Done);
            assert_eq!(fsio::mount::access(&sysroot).unwrap(), Access::ReadOnly);
        },
    );
}

/// As `ro` in `/etc/fstab` has it.
#[test]
fn a_boot_filesystem_that_is_read_only_is_written_by_who_administers_the_system_or_nothing_is_staged() {
    let name = "early::a_boot_filesystem_that_is_read_only_is_written_by_who_administers_the_system_or_nothing_is_staged";
    in_mount_namespace(name, || {
        let boot = Initramfs::new();
        let running = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
        let second = boot.machine.commit(2, &tree(2, "kernel"));
        let root = boot.boot(&BootConfig::default(), OwnMounts::BySystemd);
        fsio::mount::tmpfs(&root, "run", 0o755).unwrap();
        fsio::replace(&root, "run/ostree-booted", 0o644, b"").unwrap();
        let path = boot.root.join("sysroot");
        mount(&["-t", "tmpfs", "boot"], &path.join("boot"));
        let from = boot.machine.path().join("boot/.");
        assert!(Command::new("cp").arg("-a").args([&from, &path.join("boot")]).status().unwrap().success());
        mount(&["-o", "remount,ro"], &path.join("boot"));
        let stage = |path: &std::path::Path| {
            let sysroot = Sysroot::open(&dir(path)).unwrap().with_running_root(running.dev, running.ino);
            let options = DeployOptions::default();
            let locked = sysroot.lock(WAIT).unwrap();
            locked.stage(&os(), second, &options, Finalization::AtShutdown, &|_| {}).map(drop)
        };
        assert!(matches!(stage(&path), Err(Error::ReadOnlyBoot)));
        std::thread::scope(|scope| {
            let path = path.clone();
            let other = scope.spawn(move || {
                fsio::mount::unshare().unwrap();
                open_up(&dir(&path), OpenUp::Filesystems).unwrap();
                stage(&path).unwrap();
            });
            other.join().unwrap();
        });
        assert!(!writable(&dir(&path), "boot"), "nobody else can");
    });
}

#[test]
fn the_running_system_is_upgraded_from_within_and_boots_the_new_version() {
    in_mount_namespace("early::the_running_system_is_upgraded_from_within_and_boots_the_new_version", || {
        let boot = Initramfs::new();
        let second = boot.machine.commit(2, &tree(2, "kernel"));
        let running = fsio::stat(&boot.machine.dir(), boot.deployment()).unwrap();
        let config = BootConfig { root_transient: true, ..BootConfig::default() };
        let root = boot.boot(&config, OwnMounts::Now);
        fsio::replace(&root, "etc/changed-by-both", 0o644, b"mine").unwrap();
        let sysroot = Sysroot::open(&root).unwrap().with_running_root(running.dev, running.ino);
        let options = DeployOptions::default();
        sysroot.lock(WAIT).unwrap().deploy(&os(), second, &options, &|_| {}).unwrap();
        assert_eq!(boot.machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
        assert_eq!(boot.machine.read(0, "etc/changed-by-both").as_deref(), Some("mine"));
        assert!(sysroot.deployments().unwrap()[1].booted);
    });
}

/// What a booted root looks like.
fn look(root: &Dir) -> Vec<String> {
    let mut seen = vec![format!("tool: {:?}", fsio::read(root, "usr/bin/tool", 100).unwrap())];
    for path in ["etc", "usr", "sysroot", "sysroot/ostree/deploy/os/var"] {
        let dir = fsio::open_dir(root, path).unwrap();
        seen.push(format!("{path}: {:?}", fsio::mount::access(&dir).unwrap()));
    }
    seen
}

/// Runs the real `ostree-prepare-root` in the initramfs, as if the kernel had been given these arguments.
fn boot_theirs(boot: &Initramfs, cmdline: &str) -> Dir {
    const PROGRAM: &str = "/usr/lib/ostree/ostree-prepare-root";
    for (link, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        fsio::symlink(target, &boot.root(), link).unwrap();
    }
    for path in ["usr", "proc"] {
        fsio::create_dir(&boot.root(), path, 0o755).unwrap();
        mount(&["--rbind", &format!("/{path}")], &boot.root.join(path));
    }
    fsio::replace(&boot.root(), "cmdline", 0o644, cmdline.as_bytes()).unwrap();
    mount(&["--bind", boot.root.join("cmdline").to_str().unwrap()], &boot.root.join("proc/cmdline"));
    let out = Command::new("chroot").arg(&boot.root).args([PROGRAM, "/sysroot"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    fsio::open_dir(&boot.root(), "sysroot").unwrap()
}

#[test]
fn either_boot_program_boots_what_either_program_deployed() {
    if Ostree::find().is_none() || !std::path::Path::new("/usr/lib/ostree/ostree-prepare-root").is_file() {
        return skipped("the real ostree and ostree-prepare-root are not installed");
    }
    in_mount_namespace("early::either_boot_program_boots_what_either_program_deployed", || {
        let ostree = Ostree::find().unwrap();
        let by_theirs = || {
            let machine = Machine::empty();
            let path = machine.path();
            ostree.run(["admin", "init-fs", path.to_str().unwrap()]).unwrap();
            let sysroot = format!("--sysroot={}", path.display());
            ostree.run(["admin", "os-init", &sysroot, "os"]).unwrap();
            machine.commit(1, &bootable());
            ostree.run(["admin", "deploy", &sysroot, "--os=os", REF]).unwrap();
            Initramfs::of(machine)
        };
        let options = |boot: &Initramfs| {
            let deployment = boot.machine.open().deployments().unwrap().remove(0);
            deployment.entry.get("options").unwrap().to_owned()
        };
        for read_only in [false, true] {
            let ours = Initramfs::new();
            let theirs = by_theirs();
            for boot in [&ours, &theirs] {
                if read_only {
                    let repo = fsio::open_dir(&boot.machine.dir(), "ostree/repo").unwrap();
                    let mut config = fsio::read(&repo, "config", 1000).unwrap();
                    config.extend_from_slice(b"\n[sysroot]\nreadonly=true\n");
                    fsio::replace(&repo, "config", 0o644, &config).unwrap();
                }
            }
            let disk = fsio::open_dir(&theirs.root(), "sysroot").unwrap();
            let config = BootConfig::read(&theirs.root(), &disk).unwrap();
            assert_eq!(config.sysroot_read_only, read_only);
            drop(disk);
            let by_ours = look(&theirs.boot(&config, OwnMounts::Now));
            let root = boot_theirs(&ours, &options(&ours));
            assert_eq!(look(&root), by_ours);
            // What comes later understands what either program left.
            let record = BootRecord::read(&ours.root()).unwrap().unwrap();
            assert_eq!(record.sysroot_read_only, read_only);
            let stamp = |boot: &Initramfs| {
                fsio::stat_optional(&boot.root(), "run/ostree-sysroot-ro.stamp").unwrap().is_some()
            };
            assert_eq!((stamp(&theirs), stamp(&ours)), (read_only, read_only));
        }
    });
}
