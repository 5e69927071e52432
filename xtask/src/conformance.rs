//! `cargo xtask conformance`: OSTree's own tests, run with our program in OSTree's place.
//!
//! What passes is kept in a checked-in list, `xtask/conformance.txt`. A run fails when something in it is lost; with
//! `--record` it takes in what was won. A test that seems lost is run once more, alone, before that is said: some of
//! them do not like a busy machine.

mod ledger;
mod suite;
mod tap;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::ci::scratch_folder;
use crate::peers::{self, Peer};
use crate::sh;
use ledger::{Change, Ledger, Standing};
use suite::Suite;
use tap::{Outcome, Verdict};

/// Options of `cargo xtask conformance`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ConformanceArgs {
    /// Tests to run, without `test-` and extension; `*` stands for anything [default: those that passed before]
    names: Vec<String>,
    /// Run those that did not pass before, too
    #[arg(long)]
    all: bool,
    /// Write what was won to the list of what passes
    #[arg(long)]
    record: bool,
    /// Use this program instead of building one
    #[arg(long, value_name = "PROGRAM")]
    sapwood: Option<PathBuf>,
    /// How many tests run at a time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// What the tests and their helpers need.
const PEERS: &[Peer] = &[
    Peer {
        what: "/usr/libexec/installed-tests/libostree/libtest.sh",
        package: "ostree-tests",
        lost: "OSTree's own tests",
    },
    Peer { what: "gjs", package: "gjs", lost: "tests that damage a repository with a script" },
    Peer { what: "gpg", package: "gnupg", lost: "tests of GPG signatures" },
    Peer { what: "openssl", package: "openssl", lost: "tests of ed25519 signatures" },
    Peer { what: "setfattr", package: "attr", lost: "tests of extended attributes" },
    Peer { what: "strace", package: "strace", lost: "tests of failing system calls" },
    Peer { what: "fusermount3", package: "fuse3", lost: "tests of rofiles-fuse" },
    Peer { what: "parallel", package: "parallel", lost: "a test of many builds at a time" },
    Peer { what: "ip", package: "iproute2", lost: "a network for each test alone" },
    Peer {
        what: "/usr/lib/python3/dist-packages/yaml/__init__.py",
        package: "python3-yaml",
        lost: "reading the version as tests do",
    },
];

/// Where the list of what passes is.
fn ledger_path() -> PathBuf {
    sh::root().join("xtask/conformance.txt")
}

/// Runs the tests, and compares with what passed before.
pub(crate) fn run(args: &ConformanceArgs) -> Result<()> {
    peers::set_up(PEERS, true);
    if !Suite::installed() {
        println!("skipped: OSTree's tests are not installed (Debian package ostree-tests)");
        return Ok(());
    }
    let program = sh::sapwood(args.sapwood.as_deref(), sh::Profile::Debug)?;
    let mut ledger = Ledger::read(&ledger_path())?;
    let tests: Vec<_> = Suite::names()?.into_iter().filter(|(name, _)| chosen(args, &ledger, name)).collect();
    ensure!(!tests.is_empty(), "no test has such a name");
    let suite = Suite::new(&program, scratch_folder("conformance")?, sh::root().join("target/conformance"))?;

    let began = Instant::now();
    let results = run_all(&suite, &ledger, &tests, args.jobs)?;
    let (mut passed, mut points, mut lost, mut won) = (0, 0, Vec::new(), 0);
    for (name, verdict) in &results {
        passed += u32::from(verdict.outcome == Outcome::Passed);
        points += verdict.points;
        match change(&suite, &ledger, name, verdict) {
            Change::Same => {}
            Change::Won => won += 1,
            Change::Lost => lost.push(name.as_str()),
        }
    }
    println!(
        "conformance: {passed} of {} tests pass, with {points} points in all; {won} got further than before; {:.0} s",
        results.len(),
        began.elapsed().as_secs_f64()
    );
    ensure!(
        lost.is_empty(),
        "OSTree's tests that got further before: {}; what they said is in target/conformance",
        lost.join(", ")
    );
    if args.record {
        ensure!(suite.is_complete(), "only root's results are recorded: others have to leave out too much");
        for (name, verdict) in &results {
            ledger.record(name, verdict);
        }
        std::fs::write(ledger_path(), ledger.to_text())?;
    } else if won > 0 && suite.is_complete() {
        println!("(`cargo xtask conformance --all --record` writes down what was won)");
    }
    Ok(())
}

fn chosen(args: &ConformanceArgs, ledger: &Ledger, name: &str) -> bool {
    let standing = ledger.entries.get(name).map(|entry| entry.standing);
    if standing == Some(Standing::Out) {
        return false;
    }
    if args.names.is_empty() {
        args.all || matches!(standing, Some(Standing::Passes(_)))
    } else {
        args.names.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether the name is the pattern, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(tail, rest)))
        }),
    }
}

/// How the verdict compares with what was recorded. Who is not root, or cannot have namespaces, has to leave out points.
fn change(suite: &Suite, ledger: &Ledger, name: &str, verdict: &Verdict) -> Change {
    match ledger.compare(name, verdict) {
        Change::Lost if !suite.is_complete() && !matches!(verdict.outcome, Outcome::Failed(_)) => {
            Change::Same
        }
        change => change,
    }
}

fn run_all(
    suite: &Suite,
    ledger: &Ledger,
    tests: &[(String, PathBuf)],
    jobs: Option<usize>,
) -> Result<Vec<(String, Verdict)>> {
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let queue = Mutex::new(tests.iter());
    let results = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        loop {
            let Some((name, script)) = queue.lock().ok().and_then(|mut queue| queue.next()) else {
                return Ok(());
            };
            let began = Instant::now();
            let verdict = suite.run(name, script)?;
            report(suite, ledger, name, &verdict, began);
            if let Ok(mut results) = results.lock() {
                results.push((name.clone(), verdict));
            }
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().ok().context("a thread panicked")?)
    })?;
    let mut results = results.into_inner().unwrap_or_default();
    for (name, verdict) in &mut results {
        if change(suite, ledger, name, verdict) == Change::Lost
            && let Some((_, script)) = tests.iter().find(|(of, _)| of == name)
        {
            println!("{name} once more, alone:");
            let began = Instant::now();
            *verdict = suite.run(name, script)?;
            report(suite, ledger, name, verdict, began);
        }
    }
    results.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(results)
}

/// One line on one test.
fn report(suite: &Suite, ledger: &Ledger, name: &str, verdict: &Verdict, began: Instant) {
    let entry = ledger.entries.get(name);
    let (word, said) = match &verdict.outcome {
        Outcome::Passed => ("passes", ""),
        Outcome::Skipped(why) => ("skipped", why.as_str()),
        Outcome::Failed(why) => ("fails", why.as_str()),
    };
    let change = match change(suite, ledger, name, verdict) {
        Change::Same => "",
        Change::Won => " (won)",
        Change::Lost => " (LOST)",
    };
    let known = entry.map(|entry| entry.note.as_str()).filter(|note| !note.is_empty() && word != "passes");
    let said: String = said.chars().take(120).collect();
    println!(
        "{word:<7} {:>3}  {name}{change}  {:.1} s  {said}{}",
        verdict.points,
        began.elapsed().as_secs_f64(),
        known.map(|note| format!(" [{note}]")).unwrap_or_default()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(
            matches("basic*", "basic") && matches("*-user*", "basic-user-only") && matches("prune", "prune")
        );
        assert!(!matches("basic", "basic-user") && !matches("*-root", "basic-user"));
    }

    #[test]
    fn the_list_of_what_passes_is_in_order_and_says_why_tests_are_left_out() {
        let ledger = Ledger::read(&ledger_path()).unwrap();
        assert_eq!(ledger.to_text(), std::fs::read_to_string(ledger_path()).unwrap());
        let silent: Vec<_> = ledger
            .entries
            .iter()
            .filter(|(_, entry)| entry.standing == Standing::Out && entry.note.is_empty())
            .collect();
        assert!(silent.is_empty(), "left out without a reason: {silent:?}");
    }
}
