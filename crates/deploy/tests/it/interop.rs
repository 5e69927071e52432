//! One machine, two programs: what we deploy the real `ostree admin` manages, and the other way round.

use crate::fixture::{Machine, REF, WAIT, os, tree};
use sapwood_deploy::{
    CleanupOptions, DeployEvent, DeployOptions, InitOptions, KargEdit, Merge, Origin, Position, Retain,
    StaterootName, Sysroot, UpgradeOptions, UpgradeOutcome,
};
use sapwood_fsio as fsio;
use sapwood_testkit::{Ostree, Tree, skipped};

/// `ostree`, where it is installed and can manage a sysroot that is not running: as root.
fn ostree() -> Option<Ostree> {
    if !rustix::process::geteuid().is_root() {
        skipped("the real ostree admin needs root");
        return None;
    }
    let found = Ostree::find();
    if found.is_none() {
        skipped("the real ostree is not installed");
    }
    found
}

fn admin(ostree: &Ostree, machine: &Machine, args: &[&str]) -> String {
    let sysroot = format!("--sysroot={}", machine.path().display());
    let (verb, rest) = args.split_first().unwrap();
    ostree.run(["admin", verb, &sysroot].iter().chain(rest)).unwrap()
}

fn options() -> DeployOptions {
    let kargs = ["root=/dev/x", "q=\"a b\"", "quiet"].map(|text| KargEdit::Append(text.into()));
    DeployOptions {
        origin: Some(Origin::from_refspec(REF)),
        kargs: kargs.to_vec(),
        ..DeployOptions::default()
    }
}

fn upgrade(machine: &Machine) -> UpgradeOutcome {
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    let plan = locked.plan_upgrade(None).unwrap();
    locked.upgrade(&plan, &UpgradeOptions::default(), &|_| {}).unwrap()
}

/// The entries in the current set, by number, without their file names (which the two versions form differently).
fn entries(machine: &Machine) -> Vec<String> {
    let loader = String::from_utf8(fsio::read_link(&machine.dir(), "boot/loader").unwrap()).unwrap();
    machine.snapshot(&format!("boot/{loader}/entries")).into_values().collect()
}

/// All of the sysroot that both programs should make alike.
fn layout(machine: &Machine) -> Vec<String> {
    let mut all = machine.snapshot(".");
    let own = |path: &str| {
        path.starts_with("ostree/repo")
            || path.starts_with("ostree/lock")
            || path.contains("/entries/")
            // A note that labels were assigned, which 2022.7 makes without assigning any.
            || path.ends_with("var/.ostree-selabeled")
    };
    all.retain(|path, _| !own(path.to_str().unwrap()));
    // What was in conflict is noted in the origin, in a group that OSTree does not take over.
    let plain =
        |what: String| what.split("\n[libostree-transient]\nsapwood-").next().map(str::to_owned).unwrap();
    all.into_iter().map(|(path, what)| format!("{} {}", path.display(), plain(what))).collect()
}

#[test]
fn the_disk_is_laid_out_as_ostree_lays_it_out() {
    let Some(ostree) = ostree() else { return };
    let (ours, theirs) = (Machine::new(&InitOptions::default()), Machine::empty());
    let run = |args: &[&str]| admin(&ostree, &theirs, args);
    ostree.run(["admin", "init-fs", theirs.path().to_str().unwrap()]).unwrap();
    run(&["os-init", "os"]);
    assert_eq!(layout(&ours), layout(&theirs), "after os-init");
    for number in 1..=3 {
        let tree = tree(number, if number == 1 { "kernel 1" } else { "kernel 2" });
        let commit = ours.commit(number, &tree);
        assert_eq!(theirs.commit(number, &tree), commit);
        if number == 1 {
            ours.deploy(commit, &options()).unwrap();
            run(&["deploy", "--os=os", "--karg=root=/dev/x", "--karg=q=\"a b\"", "--karg=quiet", REF]);
        } else {
            let plain = DeployOptions { kargs: Vec::new(), ..options() };
            ours.deploy(commit, &plain).unwrap();
            run(&["deploy", "--os=os", REF]);
        }
        for machine in [&ours, &theirs] {
            machine.write(0, "etc/changed-by-both", "mine\n");
            machine.write(0, &format!("etc/added-{number}"), "mine\n");
        }
        assert_eq!(entries(&ours), entries(&theirs), "entries of list {number}");
        assert_eq!(layout(&ours), layout(&theirs), "list {number}");
    }
    // Another stateroot: titles name it.
    ours.open().lock(WAIT).unwrap().init_stateroot(&StaterootName::new("two").unwrap()).unwrap();
    run(&["os-init", "two"]);
    let commit = ours.repo().resolve(REF).unwrap();
    let sysroot = ours.open();
    let two = StaterootName::new("two").unwrap();
    let plain = DeployOptions { kargs: Vec::new(), ..options() };
    sysroot.lock(WAIT).unwrap().deploy(&two, commit, &plain, &|_| {}).unwrap();
    run(&["deploy", "--os=two", REF]);
    assert_eq!(entries(&ours), entries(&theirs), "entries with two stateroots");
    assert_eq!(layout(&ours), layout(&theirs), "two stateroots");
}

#[test]
fn ostree_manages_what_we_deployed() {
    let Some(ostree) = ostree() else { return };
    let machine = Machine::new(&InitOptions::default());
    let run = |args: &[&str]| admin(&ostree, &machine, args);
    let first = machine.commit(1, &tree(1, "kernel 1"));
    machine.deploy(first, &options()).unwrap();
    let status = run(&["status"]);
    assert_eq!(status, format!("  os {first}.0\n    Version: 1.0\n    origin refspec: os/main\n"));
    machine.write(0, "etc/changed-by-both", "mine\n");

    let second = machine.commit(2, &tree(2, "kernel 2"));
    run(&["deploy", "--os=os", REF]);
    assert_eq!(machine.boots(), ["Tiny OS 2.0 (ostree:0)", "Tiny OS 1.0 (ostree:1)"]);
    assert_eq!(machine.read(0, "etc/changed-by-both").as_deref(), Some("mine\n"));
    assert_eq!(machine.open().deployments().unwrap()[0].id.commit, second);
    run(&["pin", "1"]);
    assert!(machine.open().deployments().unwrap()[1].pinned());

    // And we go on with what it left.
    machine.commit(3, &tree(3, "kernel 3"));
    assert!(matches!(upgrade(&machine), UpgradeOutcome::Deployed(_)));
    assert_eq!(machine.boots().len(), 3);
    assert!(run(&["status"]).contains("Pinned: yes"));
    run(&["undeploy", "2"]);
    machine.open().lock(WAIT).unwrap().set_default(1).unwrap();
    assert!(run(&["status"]).starts_with(&format!("  os {second}.0\n")));
    run(&["cleanup"]);
    ostree.run(["fsck", &format!("--repo={}/ostree/repo", machine.path().display())]).unwrap();
}

/// A server, a machine whose remote it is, and the option that names the machine's repository.
fn with_server(ostree: &Ostree) -> (Machine, Machine, String) {
    let (server, machine) = (Machine::new(&InitOptions::default()), Machine::new(&InitOptions::default()));
    let repo = format!("--repo={}/ostree/repo", machine.path().display());
    let url = format!("file://{}/ostree/repo", server.path().display());
    ostree.run(["remote", "add", "--no-gpg-verify", &repo, "server", &url]).unwrap();
    (server, machine, repo)
}

#[test]
fn ostree_upgrades_what_we_deployed_from_a_remote() {
    let Some(ostree) = ostree() else { return };
    let (server, machine, repo) = with_server(&ostree);
    let first = server.commit(1, &tree(1, "kernel 1"));
    ostree.run(["pull", &repo, "server", REF]).unwrap();
    let followed = DeployOptions { origin: Some(Origin::from_refspec("server:os/main")), ..options() };
    machine.deploy(first, &followed).unwrap();
    machine.write(0, "etc/changed-by-both", "mine\n");

    let second = server.commit(2, &tree(2, "kernel 2"));
    admin(&ostree, &machine, &["upgrade", "--os=os"]);
    let deployments = machine.open().deployments().unwrap();
    assert_eq!(deployments[0].id.commit, second);
    assert_eq!(deployments[0].origin.refspec().as_deref(), Some("server:os/main"));
    assert_eq!(machine.read(0, "etc/changed-by-both").as_deref(), Some("mine\n"));
    assert!(matches!(upgrade(&machine), UpgradeOutcome::Unchanged { .. }));
}

#[test]
fn we_manage_what_ostree_deployed() {
    let Some(ostree) = ostree() else { return };
    let machine = Machine::empty();
    let run = |args: &[&str]| admin(&ostree, &machine, args);
    ostree.run(["admin", "init-fs", machine.path().to_str().unwrap()]).unwrap();
    run(&["os-init", "os"]);
    let first = machine.commit(1, &tree(1, "kernel 1"));
    run(&["deploy", "--os=os", "--karg=root=/dev/x", REF]);
    machine.write(0, "etc/changed-by-both", "mine\n");
    machine.write(0, "etc/added", "mine\n");

    let status = machine.open().status().unwrap();
    assert_eq!(status.deployments.len(), 1);
    assert_eq!(status.deployments[0].version.as_deref(), Some("1.0"));
    assert_eq!(status.deployments[0].deployment.id.commit, first);
    assert_eq!(status.deployments[0].deployment.origin.refspec().as_deref(), Some(REF));

    let second = machine.commit(2, &tree(2, "kernel 2"));
    let UpgradeOutcome::Deployed(deployed) = upgrade(&machine) else { panic!("there is a new commit") };
    assert_eq!(deployed.conflicts.len(), 1);
    assert_eq!(machine.read(0, "etc/added").as_deref(), Some("mine\n"));
    assert!(run(&["status"]).starts_with(&format!("  os {second}.0\n")));
    // Its old entry file, named in another way, is not taken for one of somebody else.
    assert_eq!(machine.boots().len(), 2);
    assert!(!machine.exists("boot/loader/entries/ostree-1-os.conf"));

    let locked = machine.open();
    let locked = locked.lock(WAIT).unwrap();
    locked.set_default(1).unwrap();
    locked.undeploy(1, &CleanupOptions::default()).unwrap();
    drop(locked);
    assert!(run(&["status"]).starts_with(&format!("  os {first}.0\n")));
    run(&["deploy", "--os=os", REF]);
    assert_eq!(machine.boots().len(), 2);
    ostree.run(["fsck", &format!("--repo={}/ostree/repo", machine.path().display())]).unwrap();
}

/// Upgrades, conflicts in `/etc`, removals, pins and clean-ups of either program after the other, on one disk.
#[test]
fn the_two_programs_manage_one_machine_in_turn() {
    let Some(ostree) = ostree() else { return };
    let (server, machine, repo) = with_server(&ostree);
    let pull = || ostree.run(["pull", &repo, "server", REF]).unwrap();
    let first = server.commit(1, &tree(1, "kernel 1"));
    pull();
    let followed = DeployOptions { origin: Some(Origin::from_refspec("server:os/main")), ..options() };
    machine.deploy(first, &followed).unwrap();
    let retain = || UpgradeOptions {
        deploy: DeployOptions { retain: Retain::All, ..Default::default() },
        ..Default::default()
    };
    for round in 1..=10 {
        // Two rounds have a kernel in common, so that links alone are switched as well as entries.
        let version = |half: u64| 2 * round + half;
        let next =
            |half: u64| server.commit(version(half), &tree(version(half), &format!("kernel {}", round / 2)));
        let conflict =
            |half: u64| machine.write(0, "etc/changed-by-both", &format!("mine {}\n", version(half)));

        conflict(0);
        let theirs = next(0);
        admin(&ostree, &machine, &["upgrade", "--os=os"]);
        let deployments = machine.open().deployments().unwrap();
        assert_eq!(deployments[0].id.commit, theirs, "round {round}");
        assert!(deployments[0].origin.etc_conflicts().is_empty(), "it does not tell, nor pass ours on");
        assert_eq!(machine.read(0, "etc/changed-by-both").unwrap(), format!("mine {}\n", version(0)));

        conflict(1);
        let ours = next(1);
        pull();
        let sysroot = machine.open();
        let locked = sysroot.lock(WAIT).unwrap();
        let plan = locked.plan_upgrade(None).unwrap();
        locked.upgrade(&plan, &retain(), &|_| {}).unwrap();
        locked.set_pinned(1, round % 2 == 0).unwrap();
        drop(locked);
        assert_eq!(machine.open().deployments().unwrap()[0].origin.etc_conflicts().listed.len(), 1);
        assert_eq!(machine.read(0, "etc/changed-by-both").unwrap(), format!("mine {}\n", version(1)));

        // Both see the same list, in order.
        let seen = || -> Vec<String> {
            let all = machine.open().deployments().unwrap();
            all.iter().map(|d| format!("  {} {}", d.id.stateroot, d.id.dir_name())).collect()
        };
        let status = admin(&ostree, &machine, &["status"]);
        let told: Vec<&str> = status
            .lines()
            .filter(|line| line.starts_with("  os "))
            .map(|line| line.split(" (").next().unwrap())
            .collect();
        assert_eq!(told, seen(), "round {round}");
        assert_eq!(told[0], format!("  os {ours}.0"));
        assert_eq!(status.contains("Pinned: yes"), round % 2 == 0 || round > 2, "{status}");

        let last = machine.boots().len() - 1;
        if round % 2 == 0 {
            admin(&ostree, &machine, &["undeploy", &last.to_string()]);
        } else {
            machine.open().lock(WAIT).unwrap().undeploy(last, &CleanupOptions::default()).unwrap();
        }
        assert_eq!(machine.boots().len(), last, "round {round}");
        admin(&ostree, &machine, &["cleanup"]);
        let cleaned = machine.open().lock(WAIT).unwrap().cleanup(&CleanupOptions::default()).unwrap();
        assert_eq!((cleaned.deployments, cleaned.kernels, cleaned.refs), (0, 0, 0), "round {round}");
        ostree.run(["fsck", &repo]).unwrap();
    }
}

#[test]
fn the_two_programs_lock_each_other_out() {
    let Some(ostree) = ostree() else { return };
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(1, &tree(1, "kernel 1"));
    machine.deploy(commit, &options()).unwrap();
    let sysroot: Sysroot = machine.open();
    let held = sysroot.lock(WAIT).unwrap();
    let mut command = ostree.command();
    command.args(["admin", "undeploy", "0"]).arg(format!("--sysroot={}", machine.path().display()));
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(held.deployments().unwrap()[0].id.stateroot, os());
    drop(held);
    assert!(child.wait().unwrap().success());
    assert!(machine.boots().is_empty());
}

/// `ostree admin deploy` says how many files of `/etc` were changed; so does our event.
#[test]
fn changes_of_etc_are_counted_as_ostree_counts_them() {
    let Some(ostree) = ostree() else { return };
    let (ours, theirs) = (Machine::new(&InitOptions::default()), Machine::new(&InitOptions::default()));
    let mut commits = Vec::new();
    for machine in [&ours, &theirs] {
        let first = machine.commit(1, &tree(1, "kernel"));
        machine.deploy(first, &options()).unwrap();
        machine.write(0, "etc/changed-by-both", "mine\n");
        machine.write(0, "etc/added", "mine\n");
        let etc = format!("{}/etc", machine.open().deployments().unwrap()[0].path());
        fsio::remove_tree(&machine.dir(), format!("{etc}/sub")).unwrap();
        fsio::create_dir(&machine.dir(), format!("{etc}/new"), 0o755).unwrap();
        machine.write(0, "etc/new/file", "mine\n");
        commits.push(machine.commit(2, &tree(2, "kernel")));
    }
    let said = admin(&ostree, &theirs, &["deploy", "--os=os", REF]);
    let counted = std::sync::Mutex::new(String::new());
    let sysroot = ours.open();
    let see = |event: DeployEvent<'_>| {
        if let DeployEvent::MergingEtc { modified, removed, added, .. } = event {
            *counted.lock().unwrap() =
                format!("Copying /etc changes: {modified} modified, {removed} removed, {added} added\n");
        }
    };
    sysroot.lock(WAIT).unwrap().deploy(&os(), commits[0], &options(), &see).unwrap();
    let counted = counted.lock().unwrap();
    assert!(!counted.is_empty() && said.contains(&*counted), "{said:?} {counted:?}");
}

type Edit<'a> = dyn Fn(&mut Tree) + 'a;

#[test]
fn trees_with_other_boot_files_are_laid_out_as_ostree_lays_them_out() {
    let Some(ostree) = ostree() else { return };
    let modules = "usr/lib/modules/6.1.0";
    let id = "a".repeat(64);
    let changes: [(&str, &Edit<'_>); 5] = [
        ("a directory of device trees", &|tree| {
            tree.file(&format!("{modules}/dtb/vendor/b.dtb"), "b");
            tree.file(&format!("{modules}/dtb/a.dtb"), "a");
            tree.file(&format!("{modules}/.vmlinuz.hmac"), "h");
        }),
        ("one device tree", &|tree| {
            tree.file(&format!("{modules}/devicetree"), "d");
        }),
        ("no initramfs", &|tree| {
            tree.nodes.remove(&format!("{modules}/initramfs.img"));
        }),
        ("a legacy layout", &|tree| {
            tree.nodes.retain(|path, _| !path.starts_with("usr/lib/modules"));
            tree.file(&format!("usr/lib/ostree-boot/vmlinuz-6.1.0-{id}"), "k");
            tree.file(&format!("usr/lib/ostree-boot/initramfs-6.1.0-{id}"), "i");
        }),
        ("no pretty name", &|tree| {
            tree.file("usr/lib/os-release", "ID=tiny\n");
        }),
    ];
    for (what, change) in changes {
        let mut tree = tree(1, "kernel");
        change(&mut tree);
        let (ours, theirs) = (Machine::new(&InitOptions::default()), Machine::new(&InitOptions::default()));
        let commit = ours.commit(1, &tree);
        theirs.commit(1, &tree);
        ours.deploy(commit, &options()).unwrap();
        let kargs = ["--karg=root=/dev/x", "--karg=q=\"a b\"", "--karg=quiet"];
        admin(&ostree, &theirs, &["deploy", "--os=os", kargs[0], kargs[1], kargs[2], REF]);
        assert_eq!(entries(&ours), entries(&theirs), "{what}");
        assert_eq!(layout(&ours), layout(&theirs), "{what}");
    }
}

/// The list is `os` twice, then `two`, all of one commit; what is deployed is one more of it.
#[test]
fn where_nothing_runs_new_deployments_have_the_place_that_ostree_gives_them() {
    let Some(ostree) = ostree() else { return };
    let two = StaterootName::new("two").unwrap();
    for (flags, merge, retain, position) in [
        (&["--no-merge", "--retain-rollback"][..], Merge::None, Retain::Rollback, Position::Default),
        (&["--no-merge", "--retain-pending"], Merge::None, Retain::Pending, Position::Default),
        (&["--no-merge"], Merge::None, Retain::Necessary, Position::Default),
        (&["--no-merge", "--not-as-default"], Merge::None, Retain::Necessary, Position::NotDefault),
        (&["--retain-rollback"], Merge::default(), Retain::Rollback, Position::Default),
        (&["--retain-pending"], Merge::default(), Retain::Pending, Position::Default),
        (&["--not-as-default"], Merge::default(), Retain::Necessary, Position::NotDefault),
        (&["--not-as-default", "--retain"], Merge::default(), Retain::All, Position::NotDefault),
    ] {
        let machine = Machine::new(&InitOptions::default());
        machine.open().lock(WAIT).unwrap().init_stateroot(&two).unwrap();
        let commit = machine.commit(1, &tree(1, "kernel"));
        for stateroot in [&two, &os(), &os()] {
            let sysroot = machine.open();
            sysroot.lock(WAIT).unwrap().deploy(stateroot, commit, &options(), &|_| {}).unwrap();
        }
        let list = |machine: &Machine| -> Vec<String> {
            let all = machine.open().deployments().unwrap();
            all.iter().map(|d| format!("{} {}", d.id.stateroot, d.id.serial)).collect()
        };
        assert_eq!(list(&machine), ["os 1", "os 0", "two 0"]);
        let theirs = machine.copy();
        admin(&ostree, &theirs, &[&["deploy", "--os=os"], flags, &[REF]].concat());
        let how = DeployOptions { merge, retain, position, ..options() };
        machine.deploy(commit, &how).unwrap();
        assert_eq!(list(&machine), list(&theirs), "{flags:?}");
    }
}
