//! Crashes and failures at every step.

use crate::TestResult;
use crate::tree::Tree;
use sapwood_etcmerge::{Policy, ScanOptions, Sides, apply, merged, plan, scan};
use sapwood_fsio::fault::{self, Failure};
use sapwood_fsio::{self as fsio, Dir};

/// Runs the merge in a fresh place under each injected fault; the trees it reads stay as they were, and running it again
/// ends where it would have without the fault.
fn survive<E>(fault: impl Fn(u64, &dyn Fn() -> Result<(), E>) -> fault::Run<Result<(), E>>) -> TestResult
where
    E: From<sapwood_etcmerge::Error> + std::fmt::Debug,
{
    let trees = [
        Tree::parse(&[
            "a file 1",
            "b/c file 1",
            "b/d file 1",
            "e/f file 1",
            "g file 1",
            "l link 1",
            "d/dir file 1",
        ]),
        Tree::parse(&[
            "a file:600 L",
            "b dir:700",
            "b/c file L",
            "e file L",
            "h/i/j file L",
            "l link L",
            "d dir:700",
            "d/dir file 1",
        ]),
        Tree::parse(&[
            "a file 2",
            "b/c file 1",
            "b/d file 2",
            "e/f file 2",
            "g/k file 2",
            "l link 2",
            "d/dir file 1",
        ]),
    ];
    let options = ScanOptions::default();
    for step in 1.. {
        let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority())?;
        let make = |name, tree: &Tree| -> Result<Dir, fsio::Error> {
            let made = fsio::create_dir(&dir, name, 0o755)?;
            tree.write(&made)?;
            Ok(made)
        };
        let [base, local, new] = &trees;
        let (base, local, target, new) =
            (make("base", base)?, make("local", local)?, make("target", new)?, make("new", new)?);
        let (a, b, c) = (scan(&base, &options)?, scan(&local, &options)?, scan(&new, &options)?);
        let sides = Sides { base: &a, ours: &b, theirs: &c };
        let plan = plan(sides, Policy::KeepBoth);

        let run = fault(step, &|| Ok(apply(&plan, &local, &target, &new).map(|_| ())?));
        for (dir, before) in [(&base, &trees[0]), (&local, &trees[1]), (&new, &trees[2])] {
            assert_eq!(&Tree::read(dir)?, before, "step {step}");
        }
        if !run.fired {
            assert!(run.value.is_ok());
            assert!(step > 20, "the example is too simple: {step} steps");
            return Ok(());
        }
        apply(&plan, &local, &target, &new)?;
        let found = scan(&target, &options)?;
        assert_eq!(found, merged(sides, Policy::KeepBoth), "step {step}");
    }
    Ok(())
}

#[test]
fn a_crash_at_any_step_harms_no_source_and_a_retry_ends_where_it_should() -> TestResult {
    survive::<sapwood_etcmerge::Error>(|step, merge| fault::crash_at(step, merge))
}

#[test]
fn a_full_disk_at_any_step_harms_no_source_and_a_retry_ends_where_it_should() -> TestResult {
    survive::<sapwood_etcmerge::Error>(|step, merge| fault::fail_from(step, Failure::NoSpace, merge))
}
