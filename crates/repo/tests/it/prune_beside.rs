//! Pruning beside writers: whatever they do between its steps, what they stored and rely on stays.

use crate::commit_fixture::{FORMATS, Lab, branch, on};
use crate::maintain::{assert_sound, history, objects, year};
use proptest::prelude::*;
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::{CommitOptions, Expected, ImportOptions, PruneEvent, PruneOptions, Pruned, RefEdit, Repo};
use std::sync::Mutex;
use std::time::Duration;

/// What is gone after a prune by them, once nobody interferes: all but the newest commits of refs.
fn strict(memory_bytes: u64) -> PruneOptions {
    PruneOptions { refs_only: true, depth: Some(0), memory_bytes, ..PruneOptions::default() }
}

fn run(repo: &Repo, options: &PruneOptions) -> Pruned {
    repo.plan_prune(options, &|_| ()).unwrap().apply(&|_| ()).unwrap()
}

/// Commits a tree of [`history`] again: all of its objects but the commit are there, unless they were pruned.
fn again(lab: &Lab, repo: &Repo, tree: &str, options: &CommitOptions) -> Id<Commit> {
    let dir = lab.dir(&format!("tree-{tree}"));
    repo.commit_dir(&dir, &ImportOptions::default(), options, &|_| ()).unwrap().commit
}

fn set(name: &str, target: Id<Commit>) -> RefEdit {
    RefEdit::Set { name: branch(name), expected: Expected::Any, target }
}

/// Runs `beside` with a repository in which a prune by [`strict`] was planned, applies that, and checks what is left.
fn between(beside: impl Fn(&Lab, &Repo, &[Id<Commit>]) -> Vec<Id<Commit>>) {
    for format in FORMATS {
        for memory_bytes in [0, 1 << 20] {
            let lab = Lab::in_memory();
            let repo = lab.repo("repo", format, Mode::BareUser);
            let ids = history(&lab, &repo);
            let before = objects(&repo);
            let plan = repo.plan_prune(&strict(memory_bytes), &|_| ()).unwrap();
            let planned = plan.summary();
            let kept = beside(&lab, &Repo::open(&lab.dir("repo")).unwrap(), &ids);
            let pruned = plan.apply(&|_| ()).unwrap();
            assert_sound(&repo);
            for id in &kept {
                assert!(repo.store().contains(id.name()).unwrap());
            }
            assert!(pruned.deleted_objects < planned.deleted_objects);
            assert_eq!(pruned.deleted_objects, before.difference(&objects(&repo)).count() as u64);
            assert!(!repo.store().contains(ids[0].name()).unwrap(), "nobody needed it");
            // What was spared is garbage, or needed, by the rules that the next prune goes by.
            run(&repo, &strict(memory_bytes));
            assert_sound(&repo);
            assert_eq!(run(&repo, &strict(memory_bytes)).deleted_objects, 0);
        }
    }
}

#[test]
fn what_a_writer_found_and_took_for_its_commit_stays() {
    between(|lab, repo, _| vec![again(lab, repo, "orphan", &on("new"))]);
}

#[test]
fn a_commit_without_ref_that_came_after_the_plan_stays_with_all_it_needs() {
    between(|lab, repo, _| vec![again(lab, repo, "orphan", &CommitOptions { branch: None, ..on("main") })]);
}

#[test]
fn a_commit_that_got_a_ref_after_the_plan_stays_with_all_it_needs() {
    between(|_, repo, ids| {
        repo.edit_refs(vec![set("saved", ids[5])]).unwrap();
        vec![ids[5]]
    });
}

#[test]
fn another_prune_between_plan_and_applying_does_no_harm() {
    for format in FORMATS {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let ids = history(&lab, &repo);
        let plan = repo.plan_prune(&PruneOptions::default(), &|_| ()).unwrap();
        let other = Repo::open(&lab.dir("repo")).unwrap();
        run(&other, &strict(0));
        let renewed = again(&lab, &other, "m1", &on("renewed"));
        plan.apply(&|_| ()).unwrap();
        assert_sound(&repo);
        assert!(repo.store().contains(renewed.name()).unwrap());
        assert!(!repo.store().contains(ids[0].name()).unwrap());
    }
}

#[test]
fn a_commit_that_becomes_complete_after_the_plan_stays_complete() {
    for format in FORMATS {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let ids = history(&lab, &repo);
        let tree = repo.root(ids[4]).unwrap().tree;
        let below = repo.store().load(tree).unwrap().dirs()[0].tree;
        let bytes = repo.store().load_bytes(below.name()).unwrap();
        repo.store().remove(below.name()).unwrap();
        repo.mark_partial(ids[4]).unwrap();
        let plan = repo.plan_prune(&PruneOptions::default(), &|_| ()).unwrap();
        assert!(plan.summary().deleted_objects > 0, "what only the lost directory reached");
        let mut txn = repo.begin().unwrap();
        txn.objects().put_bytes(below.name(), &bytes).unwrap();
        txn.complete(ids[4]);
        txn.commit().unwrap();
        assert_eq!(plan.apply(&|_| ()).unwrap().deleted_objects, 0);
        assert_sound(&repo);
        assert!(!repo.is_partial(ids[4]).unwrap());
    }
}

#[test]
fn writers_go_on_while_it_is_found_out_what_is_needed_and_in_each_pause() {
    for format in FORMATS {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", format, Mode::BareUser);
        history(&lab, &repo);
        let options = PruneOptions { hold: Duration::ZERO, pause: Duration::from_millis(1), ..strict(0) };
        let other = Repo::open(&lab.dir("repo")).unwrap();
        let written = Mutex::new(Vec::new());
        let write = |event: PruneEvent| {
            let mut written = written.lock().unwrap();
            if matches!(event, PruneEvent::Marked | PruneEvent::Paused) && written.len() < 4 {
                let at = written.len();
                let tree = ["orphan", "m1", "m2", "m3"][at];
                let refs = CommitOptions { branch: (at % 2 == 0).then(|| branch(tree)), ..on("main") };
                written.push(again(&lab, &other, tree, &refs));
            }
        };
        let plan = repo.plan_prune(&options, &write).unwrap();
        assert_eq!(written.lock().unwrap().len(), 1);
        plan.apply(&write).unwrap();
        let written = written.into_inner().unwrap();
        assert_eq!(written.len(), 4, "it did not pause");
        assert_sound(&repo);
        for id in written {
            assert!(repo.store().contains(id.name()).unwrap());
        }
    }
}

#[test]
fn young_commits_stay_if_they_are_given_time() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    history(&lab, &repo);
    let patient = PruneOptions { grace: Duration::from_hours(1), ..strict(0) };
    assert_eq!(run(&repo, &patient).deleted_objects, 0);
    assert_sound(&repo);
    assert!(run(&repo, &strict(0)).deleted_commits > 0);
}

/// Something that happens beside a prune.
#[derive(Debug, Clone)]
enum Step {
    /// One of the trees is committed on one of the branches.
    Commit(usize, usize),
    /// It is committed, and no ref leads to it.
    Orphan(usize),
    /// A branch goes.
    Delete(usize),
    /// A branch gets whatever commit is there.
    Point(usize, usize),
    /// Another prune.
    Prune,
}

const TREES: [&str; 6] = ["m1", "m2", "m3", "m4", "other", "orphan"];
const BRANCHES: [&str; 3] = ["main", "other", "third"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..TREES.len(), 0..BRANCHES.len()).prop_map(|(tree, branch)| Step::Commit(tree, branch)),
        (0..TREES.len()).prop_map(Step::Orphan),
        (0..BRANCHES.len()).prop_map(Step::Delete),
        (0..BRANCHES.len(), 0..100_usize).prop_map(|(branch, commit)| Step::Point(branch, commit)),
        Just(Step::Prune),
    ];
    prop::collection::vec(step, 0..3)
}

fn take(step: &Step, lab: &Lab, repo: &Repo, time: &mut u64) {
    *time += 1;
    let options =
        CommitOptions { timestamp: Some(year(9) + *time), branch: None, ..CommitOptions::default() };
    match step {
        Step::Commit(tree, name) => {
            again(
                lab,
                repo,
                TREES[*tree],
                &CommitOptions { branch: Some(branch(BRANCHES[*name])), ..options },
            );
        }
        Step::Orphan(tree) => _ = again(lab, repo, TREES[*tree], &options),
        Step::Delete(name) => repo
            .edit_refs(vec![RefEdit::Delete { name: branch(BRANCHES[*name]), expected: Expected::Any }])
            .unwrap(),
        Step::Point(name, commit) => {
            let stored: Vec<_> = (0..=u8::MAX).flat_map(|s| repo.store().shard_commits(s).unwrap()).collect();
            if let Some(target) = stored.get(commit % stored.len().max(1)) {
                repo.edit_refs(vec![set(BRANCHES[*name], *target)]).unwrap();
            }
        }
        Step::Prune => _ = run(repo, &strict(0)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_beside_a_prune_no_commit_loses_anything_and_no_ref_its_commit(
        marked in steps(),
        planned in steps(),
        paused in prop::collection::vec(steps(), 3),
        refs_only: bool,
        depth in prop::option::of(0..2_u32),
        memory_bytes in prop_oneof![Just(0_u64), Just(1 << 20)],
    ) {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
        history(&lab, &repo);
        let other = Repo::open(&lab.dir("repo")).unwrap();
        let options = PruneOptions { refs_only, depth, memory_bytes, hold: Duration::ZERO, pause: Duration::from_millis(1), ..PruneOptions::default() };
        let state = Mutex::new((0_u64, paused.into_iter()));
        let beside = |steps: &[Step]| {
            let mut state = state.lock().unwrap();
            for step in steps {
                take(step, &lab, &other, &mut state.0);
            }
        };
        let plan = repo.plan_prune(&options, &|event| {
            // Another prune would wait for this one, which holds the shared lock.
            let others: Vec<_> = marked.iter().filter(|step| !matches!(step, Step::Prune)).cloned().collect();
            if event == PruneEvent::Marked {
                beside(&others);
            }
        }).unwrap();
        beside(&planned);
        plan.apply(&|event| {
            let steps = if event == PruneEvent::Paused { state.lock().unwrap().1.next() } else { None };
            beside(&steps.unwrap_or_default());
        }).unwrap();
        assert_sound(&repo);
        let refs = repo.refs().unwrap();
        prop_assert!(refs.iter().all(|entry| repo.store().contains(entry.target.name()).unwrap()));
    }
}
