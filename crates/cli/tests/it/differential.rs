//! Random sequences of commands, run by the real `ostree` and by ours on equal folders: after each step exit codes,
//! standard output, refs, objects, configuration and checked-out files agree.
//!
//! Which options are used is what `docs/compatibility.md` says is the same: what it calls later or different is left
//! out of the sequences. 500 sequences are run, or as many as `SAPWOOD_DIFFERENTIAL` says; a failing one is made as short
//! as can be and printed as a shell script.

mod model;
mod script;
mod world;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sapwood_testkit::{Ostree, skipped};

use crate::compatibility::Table;
use world::World;

/// Sequences of each of the four modes.
fn cases() -> u32 {
    let all = std::env::var("SAPWOOD_DIFFERENTIAL").ok().and_then(|number| number.parse().ok());
    all.unwrap_or(500_u32).div_ceil(4)
}

fn agree(mode: &str) {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let table = Table::read();
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&model::sequences(8), |sequence| {
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
