//! Random sequences of commands, run by the real `ostree` and by ours on equal folders: after each step exit codes,
//! standard output, refs, objects, configuration and checked-out files agree.
//!
//! Which options are used is what `docs/compatibility.md` says is the same: what it calls later or different is left
//! out of the sequences. The same 500 sequences are run each time, so that a change is judged by itself; with
//! `SAPWOOD_DIFFERENTIAL=N`, N others, never the same again. A failing one is made as short as can be and printed as a
//! shell script.

mod model;
mod script;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sapwood_testkit::{Ostree, skipped};

use crate::compatibility::Table;
use world::World;

/// How many sequences there are of each of the four modes, and where they come from.
fn runner() -> TestRunner {
    let config = |all: u32| Config { cases: all.div_ceil(4), failure_persistence: None, ..Config::default() };
    match std::env::var("SAPWOOD_DIFFERENTIAL").ok().and_then(|number| number.parse().ok()) {
        Some(number) => TestRunner::new(config(number)),
        None => TestRunner::new_with_rng(config(500), TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}

fn agree(mode: &str) {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let table = Table::read();
    let outcome = runner().run(&model::sequences(8), |sequence| {
        let mut world = World::new(&ostree, mode, &sequence.trees).map_err(TestCaseError::fail)?;
        let steps = sequence.steps.iter().try_for_each(|step| world.step(step, &table));
        steps.and_then(|()| world.sound()).map_err(|why| {
            TestCaseError::fail(format!("{why}\n\nin an empty folder:\n\n{}", world.script.join("\n")))
        })
    });
    if let Err(proptest::test_runner::TestError::Fail(why, _)) = outcome {
        panic!("the programs do not agree:\n{}", why.message());
    }
}

#[test]
fn ours_does_what_ostree_does_in_archive_repositories() {
    agree("archive");
}

#[test]
fn ours_does_what_ostree_does_in_bare_user_repositories() {
    agree("bare-user");
}

#[test]
fn ours_does_what_ostree_does_in_bare_user_only_repositories() {
    agree("bare-user-only");
}

#[test]
fn ours_does_what_ostree_does_in_bare_repositories() {
    if rustix::process::geteuid().is_root() {
        agree("bare");
    } else {
        skipped("files of bare repositories belong to others: not root");
    }
}
