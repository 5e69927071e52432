//! Following a ref: what is planned, what is deployed, and when nothing is.

use crate::fixture::{Machine, REF, WAIT, os, tree};
use crate::staged::running;
use sapwood_deploy::{
    DeployOptions, Downgrade, Error, Finalization, InitOptions, Origin, Result, StaterootName,
    UpgradeOptions, UpgradeOutcome, UpgradePlan, When,
};
use sapwood_fsio as fsio;

fn options() -> DeployOptions {
    DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() }
}

fn following() -> Machine {
    let machine = Machine::new(&InitOptions::default());
    let commit = machine.commit(5, &tree(5, "kernel"));
    machine.deploy(commit, &options()).unwrap();
    machine
}

fn upgrade(machine: &Machine, downgrade: Downgrade) -> Result<UpgradeOutcome> {
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT)?;
    let plan = locked.plan_upgrade(None)?;
    let options = UpgradeOptions { downgrade, ..UpgradeOptions::default() };
    locked.upgrade(&plan, &options, &|_| {})
}

fn switch(machine: &Machine, refspec: &str) -> Result<UpgradePlan> {
    machine.open().plan_switch(None, refspec)
}

#[test]
fn a_newer_commit_is_deployed_with_the_same_origin_and_then_nothing_is_left_to_do() {
    let machine = following();
    assert!(matches!(upgrade(&machine, Downgrade::Refuse).unwrap(), UpgradeOutcome::Unchanged { .. }));
    assert_eq!(machine.boots().len(), 1);
    machine.open().lock(WAIT).unwrap().set_pinned(0, true).unwrap();
    let commit = machine.commit(6, &tree(6, "kernel"));
    let UpgradeOutcome::Deployed(deployed) = upgrade(&machine, Downgrade::Refuse).unwrap() else { panic!() };
    assert_eq!((deployed.id.commit, deployed.index), (commit, 0));
    let deployments = machine.open().deployments().unwrap();
    assert_eq!(deployments[0].origin.refspec().as_deref(), Some(REF));
    assert_eq!((deployments[0].pinned(), deployments[1].pinned()), (false, true), "pinning is not inherited");
    assert!(matches!(upgrade(&machine, Downgrade::Refuse).unwrap(), UpgradeOutcome::Unchanged { .. }));
}

#[test]
fn what_is_staged_is_staged_again_only_to_let_it_go_and_does_not_keep_it_from_being_deployed_at_once() {
    let machine = following();
    machine.commit(6, &tree(6, "kernel"));
    let upgrade = |when| {
        let sysroot = running(&machine);
        let locked = sysroot.lock(WAIT).unwrap();
        let options = UpgradeOptions { when, ..UpgradeOptions::default() };
        locked.upgrade(&locked.plan_upgrade(None).unwrap(), &options, &|_| {}).unwrap()
    };
    let (at_shutdown, held) = (When::Staged(Finalization::AtShutdown), When::Staged(Finalization::Held));
    assert!(matches!(upgrade(held), UpgradeOutcome::Staged(_)));
    assert!(matches!(upgrade(at_shutdown), UpgradeOutcome::Staged(_)));
    assert!(matches!(upgrade(at_shutdown), UpgradeOutcome::StagedBefore(_)));
    assert_eq!(machine.boots().len(), 1);
    assert!(matches!(upgrade(When::Now), UpgradeOutcome::Deployed(_)));
    assert_eq!(machine.boots().len(), 2);
    assert_eq!(machine.open().staged().unwrap(), None);
}

#[test]
fn an_older_commit_is_refused_unless_allowed() {
    let machine = following();
    machine.commit(4, &tree(4, "kernel"));
    let error = upgrade(&machine, Downgrade::Refuse).unwrap_err();
    assert!(
        matches!(error, Error::Downgrade { new_time: 1_700_000_004, current_time: 1_700_000_005, .. }),
        "{error}"
    );
    assert!(matches!(upgrade(&machine, Downgrade::Allow).unwrap(), UpgradeOutcome::Deployed(_)));
    assert_eq!(machine.boots()[0], "Tiny OS 4.0 (ostree:0)");
}

#[test]
fn an_origin_can_hold_a_commit_or_forbid_upgrading() {
    let machine = following();
    let held = machine.commit(6, &tree(6, "kernel"));
    machine.commit(7, &tree(7, "kernel"));
    let path = format!("{}.origin", machine.open().deployments().unwrap()[0].path());
    let set = |change: &dyn Fn(&mut Origin)| {
        let mut origin = Origin::from_refspec(REF);
        change(&mut origin);
        fsio::replace(&machine.dir(), &path, 0o644, origin.to_text().as_bytes()).unwrap();
    };
    set(&|origin| {
        origin.keyfile_mut().set("origin", "unconfigured-state", "register first");
    });
    let error = upgrade(&machine, Downgrade::Refuse).unwrap_err().to_string();
    assert!(error.ends_with("cannot be upgraded yet: register first"), "{error}");
    set(&|origin| {
        origin.keyfile_mut().remove("origin", "refspec");
    });
    assert!(matches!(upgrade(&machine, Downgrade::Refuse), Err(Error::NoOrigin { .. })));
    set(&|origin| origin.set_override_commit(Some(&held.to_hex())));
    let UpgradeOutcome::Deployed(deployed) = upgrade(&machine, Downgrade::Refuse).unwrap() else { panic!() };
    assert_eq!(deployed.id.commit, held);
}

#[test]
fn switching_follows_another_ref_of_the_same_remote() {
    let machine = following();
    assert!(matches!(switch(&machine, REF), Err(Error::SameRef { .. })));
    let path = format!("{}.origin", machine.open().deployments().unwrap()[0].path());
    let origin = Origin::from_refspec("server:os/main");
    fsio::replace(&machine.dir(), path, 0o644, origin.to_text().as_bytes()).unwrap();
    assert_eq!(switch(&machine, "os/next").unwrap().follows.to_string(), "server:os/next");
    assert_eq!(switch(&machine, "other:os/main").unwrap().origin.refspec().as_deref(), Some("other:os/main"));
    assert!(matches!(switch(&machine, "server:os/main"), Err(Error::SameRef { .. })));
}

#[test]
fn switching_to_a_ref_at_an_older_commit_deploys_where_that_is_allowed() {
    let machine = following();
    machine.commit_to("os/next", 3, &tree(3, "kernel"));
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    let plan = locked.plan_switch(None, "os/next").unwrap();
    let refused = locked.upgrade(&plan, &UpgradeOptions::default(), &|_| {});
    assert!(matches!(refused, Err(Error::Downgrade { .. })), "{refused:?}");
    let options = UpgradeOptions { downgrade: Downgrade::Allow, ..UpgradeOptions::default() };
    let outcome = locked.upgrade(&plan, &options, &|_| {}).unwrap();
    assert!(matches!(outcome, UpgradeOutcome::Deployed(_)));
    assert_eq!(machine.open().deployments().unwrap()[0].origin.refspec().as_deref(), Some("os/next"));
}

#[test]
fn a_stateroot_must_be_named_unless_there_is_just_one() {
    let machine = Machine::new(&InitOptions::default());
    assert!(matches!(machine.open().plan_upgrade(None), Err(Error::StaterootNeeded { .. })));
    assert!(matches!(machine.open().plan_upgrade(Some(&os())), Err(Error::NothingDeployed { .. })));
    let commit = machine.commit(1, &tree(1, "kernel"));
    machine.deploy(commit, &options()).unwrap();
    let other = StaterootName::new("other").unwrap();
    let sysroot = machine.open();
    let locked = sysroot.lock(WAIT).unwrap();
    locked.init_stateroot(&other).unwrap();
    assert!(locked.plan_upgrade(None).is_ok());
    locked.deploy(&other, commit, &options(), &|_| {}).unwrap();
    let error = locked.plan_upgrade(None).unwrap_err().to_string();
    assert_eq!(error, "no stateroot was named, and os, other have deployments");
    assert_eq!(locked.plan_upgrade(Some(&other)).unwrap().stateroot, other);
}
