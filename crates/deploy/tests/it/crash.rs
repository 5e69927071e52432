//! Whatever fails at whatever moment, the machine boots the old set or the new one, each complete, and a retry succeeds.

use crate::fixture::{Machine, REF, WAIT, os, tree};
use sapwood_deploy::{
    CleanupOptions, DeployOptions, Error, InitOptions, Locked, Origin, Result, UpgradeOptions,
};
use sapwood_fsio::fault::{self, Call, Failure, Op};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// All that matters when the machine boots: each deployment in order with its place, kernel, tree and `/etc`, and `/var`.
#[derive(Debug, PartialEq)]
struct Bootable {
    deployments: Vec<One>,
    var: BTreeMap<PathBuf, String>,
}

#[derive(Debug, PartialEq)]
struct One {
    name: String,
    title: String,
    pinned: bool,
    kernel: String,
    initramfs: String,
    tree: BTreeMap<PathBuf, String>,
}

fn bootable(machine: &Machine) -> Bootable {
    let boot_file = |path: Option<&str>| {
        let bytes = fsio::read(&machine.dir(), format!("boot{}", path.unwrap()), 1 << 20).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let one = |deployment: sapwood_deploy::Deployment| {
        // What the boot loader and the initramfs do: follow `ostree=`.
        let kargs = deployment.entry.kargs();
        let link = kargs.get("ostree").unwrap().trim_start_matches('/');
        let target = machine.dir().canonicalize(link).unwrap();
        assert_eq!(target, Path::new(&deployment.path()));
        One {
            name: deployment.id.to_string(),
            title: deployment.entry.get("title").unwrap().to_owned(),
            pinned: deployment.pinned(),
            kernel: boot_file(deployment.entry.get("linux")),
            initramfs: boot_file(deployment.entry.get("initrd")),
            tree: machine.snapshot(&deployment.path()),
        }
    };
    check_configuration(machine);
    crate::flat::check_order(machine);
    Bootable {
        deployments: machine.open().deployments().unwrap().into_iter().map(one).collect(),
        var: machine.snapshot("ostree/deploy/os/var"),
    }
}

/// What a boot loader of its own configuration boots, it boots in the order of the entries, with their arguments.
fn check_configuration(machine: &Machine) {
    let deployments = machine.open().deployments().unwrap();
    let entries: Vec<_> =
        deployments.iter().map(|d| d.entry.kargs().get("ostree").unwrap().to_owned()).collect();
    for file in ["syslinux/syslinux.cfg", "uEnv.txt", "grub2/grub.cfg"] {
        let Ok(path) = machine.dir().canonicalize(format!("boot/{file}")) else { continue };
        let text = String::from_utf8(fsio::read(&machine.dir(), path, 1 << 20).unwrap()).unwrap();
        let links = text.split_ascii_whitespace().filter_map(|word| Some(word.split_once("ostree=")?.1));
        assert_eq!(links.collect::<Vec<_>>(), entries, "{text}");
    }
}

/// Everything on the disk but times and what the repository has of its own to remember.
fn disk(machine: &Machine) -> BTreeMap<PathBuf, String> {
    let mut all = machine.snapshot(".");
    let own = [
        "ostree/repo/tmp",
        "ostree/repo/.lock",
        "ostree/lock",
        "ostree/repo/extensions",
        "ostree/repo/state",
    ];
    all.retain(|path, _| !own.iter().any(|own| path.starts_with(own)));
    // Nor do empty directories of refs matter.
    all.retain(|path, what| !(path.starts_with("ostree/repo/refs") && what.ends_with(" Dir")));
    all
}

pub(crate) type Operation = dyn Fn(&Locked<'_>) -> Result<()>;

pub(crate) fn run(machine: &Machine, operation: &Operation) -> Result<()> {
    operation(&machine.open().lock(WAIT)?)
}

/// Runs it again, and cleans up.
fn retry(machine: &Machine, operation: &Operation) {
    run(machine, operation).unwrap();
    machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default()).unwrap();
}

/// Ends the process at each write operation of `operation`, which must be one that can be run twice.
pub(crate) fn survives_every_crash(before: &Machine, operation: &Operation) {
    let done = before.copy();
    retry(&done, operation);
    let (old, new, clean) = (bootable(before), bootable(&done), disk(&done));
    assert_ne!(old, new);
    for step in 1.. {
        let machine = before.copy();
        let crashed = fault::crash_at(step, || run(&machine, operation));
        let after = bootable(&machine);
        assert!(after == old || after == new, "crash at step {step} left {after:#?}");
        retry(&machine, operation);
        assert_eq!(bootable(&machine), new, "retry after a crash at step {step}");
        let (now, expected) = (disk(&machine), &clean);
        let differing: Vec<_> = now.iter().filter(|(p, v)| expected.get(*p) != Some(v)).collect();
        assert!(
            differing.is_empty() && now.len() == expected.len(),
            "crash at step {step} left {differing:#?}"
        );
        if !crashed.fired {
            assert!(crashed.value.is_ok());
            assert!(step > 20, "only {step} operations");
            return;
        }
    }
}

/// What the boot directory has of kernels.
fn kernels(machine: &Machine) -> BTreeMap<PathBuf, String> {
    if machine.exists("boot/ostree") { machine.snapshot("boot/ostree") } else { BTreeMap::new() }
}

/// Fails each write operation in turn; afterwards, all from there on.
pub(crate) fn survives_every_failure(before: &Machine, operation: &Operation) {
    let done = before.copy();
    run(&done, operation).unwrap();
    let (old, new, installed) = (bootable(before), bootable(&done), kernels(before));
    for failure in [Failure::NoSpace, Failure::Io] {
        for from_there_on in [false, true] {
            for step in 1.. {
                let machine = before.copy();
                let act = || run(&machine, operation);
                let failed = if from_there_on {
                    fault::fail_from(step, failure, act)
                } else {
                    fault::fail_at(step, failure, act)
                };
                let after = bootable(&machine);
                let context = format!("{failure:?} at step {step} ({from_there_on}): {:?}", failed.value);
                match &failed.value {
                    // Some things may fail: a link where a copy does as well.
                    Ok(()) | Err(Error::AfterSwitch { .. }) => assert!(after == new, "{context}"),
                    Err(_) => {
                        assert!(after == old, "{context}");
                        assert!(from_there_on || kernels(&machine) == installed, "{context}");
                    }
                }
                if let (Failure::NoSpace, Err(error)) = (failure, &failed.value) {
                    assert!(error.is_no_space(), "{context}");
                }
                retry(&machine, operation);
                assert!(bootable(&machine) == new, "retry after {context}");
                if !failed.fired {
                    break;
                }
            }
        }
    }
}

fn options() -> DeployOptions {
    DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() }
}

/// A machine that follows the ref, with an edited `/etc`, and a new commit to upgrade to. With the first upgrade there
/// is a third, so that an old deployment goes.
fn upgradable(upgrades: u64) -> Machine {
    upgradable_with(upgrades, None)
}

/// The same with a boot loader, whose configuration in the boot directory is a link.
fn upgradable_with(upgrades: u64, configuration: Option<&str>) -> Machine {
    let machine = Machine::new(&InitOptions::default());
    prepare(&machine, upgrades, configuration);
    machine
}

/// Makes a new machine such a one.
pub(crate) fn prepare(machine: &Machine, upgrades: u64, configuration: Option<&str>) {
    if let Some(path) = configuration {
        let (up, name) = path.rsplit_once('/').map_or(("", path), |(_, name)| ("../", name));
        let link = format!("boot/{path}");
        let parent = Path::new(&link).parent().unwrap().to_owned();
        let parent = fsio::ensure_dir(&machine.dir(), parent, 0o755).unwrap();
        fsio::symlink(format!("{up}loader/{name}"), &parent, name).unwrap();
    }
    for number in 1..=upgrades {
        let mut tree = tree(number, &format!("kernel {number}"));
        if number == 1 {
            tree.file("var/lib/app/state", "shipped");
        }
        let commit = machine.commit(number, &tree);
        machine.deploy(commit, &options()).unwrap();
        machine.write(0, "etc/changed-by-both", &format!("mine {number}\n"));
    }
    let next = upgrades + 1;
    machine.commit(next, &tree(next, &format!("kernel {next}")));
}

pub(crate) fn upgrade(locked: &Locked<'_>) -> Result<()> {
    let plan = locked.plan_upgrade(None)?;
    locked.upgrade(&plan, &UpgradeOptions::default(), &|_| {})?;
    Ok(())
}

/// Deploys the ref unless it is deployed.
pub(crate) fn deploy_once(locked: &Locked<'_>) -> Result<()> {
    let commit = locked.repo().resolve(REF)?;
    if locked.deployments()?.iter().all(|deployment| deployment.id.commit != commit) {
        locked.deploy(&os(), commit, &options(), &|_| {})?;
    }
    Ok(())
}

/// Goes back from what is the default now, once.
pub(crate) fn roll_back(machine: &Machine) -> Box<Operation> {
    let new = machine.open().deployments().unwrap()[0].id.clone();
    Box::new(move |locked: &Locked<'_>| {
        if locked.deployments()?.first().is_some_and(|first| first.id == new) {
            locked.rollback()?;
        }
        Ok(())
    })
}

/// Removes the only deployment.
pub(crate) fn undeploy_last(locked: &Locked<'_>) -> Result<()> {
    if locked.deployments()?.len() == 1 {
        locked.undeploy(0, &CleanupOptions::default())?;
    }
    Ok(())
}

/// Removes what comes second in the boot order now.
pub(crate) fn undeploy_second(machine: &Machine) -> Box<Operation> {
    let old = machine.open().deployments().unwrap()[1].id.clone();
    Box::new(move |locked: &Locked<'_>| {
        if let Some(at) = locked.deployments()?.iter().position(|deployment| deployment.id == old) {
            locked.undeploy(at, &CleanupOptions::default())?;
        }
        Ok(())
    })
}

fn fresh() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    machine.commit(1, &tree(1, "kernel"));
    machine
}

#[test]
fn a_crash_at_any_step_of_the_first_deployment_leaves_nothing_or_all_of_it() {
    survives_every_crash(&fresh(), &deploy_once);
}

#[test]
fn a_crash_at_any_step_of_an_upgrade_leaves_a_bootable_set() {
    survives_every_crash(&upgradable(2), &upgrade);
}

#[test]
fn a_crash_at_any_step_of_an_upgrade_leaves_each_boot_loader_a_configuration_of_the_current_entries() {
    for configuration in ["syslinux/syslinux.cfg", "uEnv.txt", "grub2/grub.cfg"] {
        let machine = upgradable_with(1, Some(configuration));
        assert!(
            machine.dir().canonicalize(format!("boot/{configuration}")).is_ok(),
            "{configuration} was written"
        );
        survives_every_crash(&machine, &upgrade);
    }
}

#[test]
fn a_crash_at_any_step_of_switching_links_leaves_a_bootable_set() {
    let machine = upgradable(1);
    let mut same_kernel = tree(2, "kernel 1");
    // With a fixed version in the title the entries are equal.
    same_kernel.file("usr/lib/os-release", "PRETTY_NAME=\"Tiny OS 1.0 2.0\"\n");
    machine.commit(2, &same_kernel);
    survives_every_crash(&machine, &upgrade);
}

#[test]
fn a_crash_at_any_step_of_going_back_leaves_a_bootable_set() {
    let machine = upgradable(2);
    let old = machine.open().deployments().unwrap()[1].id.clone();
    survives_every_crash(&machine, &move |locked: &Locked<'_>| {
        let at = locked.deployments()?.iter().position(|deployment| deployment.id == old);
        locked.set_default(at.unwrap())?;
        Ok(())
    });
}

#[test]
fn a_crash_at_any_step_of_rolling_back_leaves_a_bootable_set() {
    let machine = upgradable(2);
    survives_every_crash(&machine, &roll_back(&machine));
}

#[test]
fn a_crash_at_any_step_of_undeploying_leaves_a_bootable_set() {
    let machine = upgradable(2);
    survives_every_crash(&machine, &undeploy_second(&machine));
    survives_every_crash(&upgradable(1), &undeploy_last);
}

#[test]
fn a_full_or_broken_disk_at_any_step_of_an_upgrade_leaves_the_old_set_and_says_so() {
    survives_every_failure(&upgradable(1), &upgrade);
}

#[test]
fn a_crash_while_a_stateroot_is_made_leaves_none_or_all_of_it() {
    let expected = Machine::new(&InitOptions::default()).snapshot("ostree/deploy/os");
    for step in 1.. {
        let machine = Machine::empty();
        sapwood_deploy::Sysroot::init_fs(&machine.dir(), &InitOptions::default()).unwrap();
        let crashed = fault::crash_at(step, || run(&machine, &|locked| locked.init_stateroot(&os())));
        let made = machine.exists("ostree/deploy/os");
        assert!(!made || machine.snapshot("ostree/deploy/os") == expected, "crash at step {step}");
        match run(&machine, &|locked| locked.init_stateroot(&os())) {
            Ok(()) => assert!(!made),
            Err(error) => assert!(made && matches!(error, Error::StaterootExists { .. }), "{error}"),
        }
        if !crashed.fired {
            return;
        }
    }
}

/// The inodes of all that is below a path.
pub(crate) fn inodes(dir: &Dir, all: &mut BTreeSet<(u64, u64)>) {
    for entry in fsio::entries(dir).unwrap() {
        let stat = fsio::stat(dir, &entry.name).unwrap();
        all.insert((stat.dev, stat.ino));
        if entry.kind == Kind::Dir {
            inodes(&fsio::open_dir(dir, &entry.name).unwrap(), all);
        }
    }
}

/// Power loss: what is not synced may be gone, and what was removed may not come back.
#[test]
fn all_is_synced_before_the_switch_and_the_switch_before_anything_is_deleted() {
    for (machine, link) in [(upgradable(2), "loader"), (fresh(), "loader")] {
        let mut old = BTreeSet::new();
        for dir in ["boot", "ostree/deploy"] {
            inodes(&fsio::open_dir(&machine.dir(), dir).unwrap(), &mut old);
        }
        let operation: &Operation = if machine.boots().is_empty() { &deploy_once } else { &upgrade };
        let (outcome, calls) = fault::record(|| run(&machine, operation));
        outcome.unwrap();
        let is_switch = |call: &Call| call.op == Op::Rename && call.path == Path::new(link);
        let switches: Vec<_> =
            calls.iter().enumerate().filter(|(_, call)| is_switch(call)).map(|(i, _)| i).collect();
        let [switch] = switches[..] else { panic!("one switch, not {switches:?}") };
        let (before, after) = (&calls[..switch], &calls[switch + 1..]);
        assert_eq!(
            before.last().map(|call| call.op),
            Some(Op::Syncfs),
            "the switch follows a sync of everything"
        );
        assert_eq!(after.first().map(|call| call.op), Some(Op::Fsync), "and is itself synced at once");
        let removes_old = |call: &Call| {
            matches!(call.op, Op::Unlink | Op::Rmdir) && call.file.is_some_and(|file| old.contains(&file))
        };
        assert_eq!(before.iter().find(|call| removes_old(call)), None, "nothing goes before the switch");
        let first = after.iter().position(removes_old);
        let synced = after.iter().position(|call| call.op == Op::Syncfs);
        assert!(first.is_none() || synced < first, "and then only when the switch is durable");
    }
}
