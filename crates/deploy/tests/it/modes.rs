//! Repositories of both formats and all modes that a machine can have.

use crate::fixture::{Machine, REF, dir, tree};
use crate::namespace::{in_mount_namespace, mount};
use sapwood_deploy::{DeployOptions, InitOptions, Origin};
use sapwood_fsio as fsio;
use sapwood_fsio::fault::{self, Op};
use sapwood_objstore::{Format, Mode};

#[test]
fn every_format_and_mode_deploys_upgrades_and_merges() {
    for format in [Format::Ostree, Format::Native] {
        for mode in [Mode::Bare, Mode::BareUser, Mode::BareUserOnly] {
            let machine = Machine::new(&InitOptions { format, mode, ..InitOptions::default() });
            let options =
                || DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() };
            for number in 1..=2 {
                let commit = machine.commit(number, &tree(number, &format!("kernel {number}")));
                machine.deploy(commit, &options()).unwrap();
                machine.write(0, "etc/changed-by-both", "mine\n");
            }
            let context = format!("{format:?} {mode:?}");
            assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"], "{context}");
            assert_eq!(machine.read(0, "etc/changed-by-both").as_deref(), Some("mine\n"), "{context}");
            assert_eq!(machine.read(0, "etc/untouched").as_deref(), Some("default 2\n"), "{context}");
            assert_eq!(machine.read(0, "usr/bin/tool").as_deref(), Some("tool 2"), "{context}");
        }
    }
}

/// As an ordinary user: a tree that belongs to somebody else cannot be held by a bare repository, but by the others.
#[test]
fn an_ordinary_user_deploys_a_tree_that_belongs_to_others() {
    if rustix::process::geteuid().is_root() {
        // Runs this very test as somebody else, on a directory of theirs.
        let home = tempfile::tempdir().unwrap();
        let nobody = 65534;
        fsio::set_owner(&dir(home.path()), nobody, nobody).unwrap();
        let program = home.path().join("it");
        std::io::copy(
            &mut std::fs::File::open(std::env::current_exe().unwrap()).unwrap(),
            &mut std::fs::File::create(&program).unwrap(),
        )
        .unwrap();
        fsio::set_mode_of(&dir(home.path()), "it", 0o755).unwrap();
        let mut command = std::process::Command::new(&program);
        std::os::unix::process::CommandExt::uid(&mut command, nobody);
        std::os::unix::process::CommandExt::gid(&mut command, nobody);
        let name = "modes::an_ordinary_user_deploys_a_tree_that_belongs_to_others";
        command.args(["--exact", name]).env("TMPDIR", home.path()).current_dir(home.path());
        let out = command.output().unwrap();
        assert!(
            out.status.success(),
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
        return;
    }
    let own = Machine::new(&InitOptions::default());
    let commit = own.commit(1, &tree(1, "kernel"));
    own.deploy(commit, &DeployOptions::default()).unwrap();
    assert_eq!(own.boots().len(), 1, "what belongs to the user can be held by a bare repository");

    let machine = Machine::new(&InitOptions { mode: Mode::BareUser, ..InitOptions::default() });
    let commit = machine.commit_as(7, 1, &tree(1, "kernel"));
    machine.deploy(commit, &DeployOptions::default()).unwrap();
    assert_eq!(machine.boots(), ["Tiny OS 1.0 (ostree:0)"]);
    let deployment = machine.open().deployments().unwrap().remove(0);
    let stat = fsio::stat(&machine.dir(), format!("{}/usr/bin/tool", deployment.path())).unwrap();
    assert_eq!((stat.uid, stat.nlink), (rustix::process::geteuid().as_raw(), 2));
}

#[test]
fn a_boot_directory_on_a_filesystem_of_its_own_gets_copies_and_is_synced() {
    let name = "modes::a_boot_directory_on_a_filesystem_of_its_own_gets_copies_and_is_synced";
    in_mount_namespace(name, || {
        let machine = Machine::new(&InitOptions::default());
        let boot = machine.path().join("boot");
        mount(&["-t", "tmpfs", "boot"], &boot);
        let commit = |number: u64| machine.commit(number, &tree(number, &format!("kernel {number}")));
        machine.deploy(commit(1), &DeployOptions::default()).unwrap();
        let second = commit(2);
        let (deployed, calls) = fault::record(|| machine.deploy(second, &DeployOptions::default()).unwrap());
        assert_eq!(deployed.index, 0);
        let deployment = machine.open().deployments().unwrap().remove(0);
        let kernel = format!("boot{}", deployment.entry.get("linux").unwrap());
        assert_eq!(fsio::read(&machine.dir(), &kernel, 100).unwrap(), b"kernel 2");
        assert_eq!(fsio::stat(&machine.dir(), &kernel).unwrap().nlink, 1);
        let renames = |call: &fault::Call| call.op == Op::Rename && call.path.to_str() == Some("loader");
        let switch = calls.iter().position(renames).unwrap();
        let before = &calls[switch - 2..switch];
        let last_two: Vec<_> = before.iter().map(|call| (call.op, call.file.map(|file| file.0))).collect();
        let dev = |dir: &fsio::Dir| Some(fsio::stat_dir(dir).unwrap().dev);
        let boot_dev = dev(&fsio::open_dir(&machine.dir(), "boot").unwrap());
        assert_eq!(last_two, [(Op::Syncfs, dev(&machine.dir())), (Op::Syncfs, boot_dev)]);
        drop(std::process::Command::new("umount").arg(&boot).status());
    });
}
