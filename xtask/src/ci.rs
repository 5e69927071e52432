//! `cargo xtask ci` and `cargo xtask test`.
//!
//! The tests compare with real programs. What is missing is installed where that is possible without asking anyone
//! (root on a system with apt), else it is said what the tests will skip. The last line of a run counts what
//! passed, failed and was ignored, taken from the test programs' own output.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::conformance::ConformanceArgs;
use crate::docs::DocsArgs;
use crate::{peers, sh};

/// Options of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TestArgs {
    /// Do not install missing programs, even where that is possible
    #[arg(long)]
    no_setup: bool,
    /// Let the tests write to the disk, not to memory
    #[arg(long)]
    on_disk: bool,
    /// Passed to `cargo test`; the whole workspace is tested unless this names packages
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Everything that must hold before a change goes in.
pub(crate) fn ci() -> Result<()> {
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;
    sh::run(sh::cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    sh::run(sh::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    sh::run(
        sh::cargo().args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    sh::run(sh::cargo().args(["check", "--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml"]))?;
    crate::tidy::run()?;
    test(&TestArgs::default())?;
    // All of these use the program that the tests have just built.
    crate::docs::run(&DocsArgs { check: true })?;
    crate::conformance::run(&ConformanceArgs::default())?;
    crate::memory::ci()?;
    crate::vm::ci()?;
    crate::powercut::ci()?;
    sh::run(sh::cargo().args(["xtask", "demo", "--debug"]))
}

#[derive(Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Passed tests that left something out for want of a program, a privilege or a file system.
    partial: u64,
    /// What they said of it, and how often.
    skips: BTreeMap<String, u64>,
}

impl Tally {
    /// Takes in a line a test program printed.
    fn count(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Where files are kept in memory.
const MEMORY: &str = "/dev/shm";

/// Whether the folder takes files with extended attributes, and a gigabyte of them.
fn holds_xattrs(folder: &str) -> bool {
    use rustix::fs::{XattrFlags, fsetxattr, fstatvfs};

    tempfile::tempfile_in(folder).is_ok_and(|file| {
        fsetxattr(&file, "user.sapwood", b"1", XattrFlags::empty()).is_ok()
            && fstatvfs(&file).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) >= 1 << 30)
    })
}

/// A temporary folder in memory where that keeps attributes, else where the user's temporary files go.
pub(crate) fn scratch_folder(purpose: &str) -> Result<tempfile::TempDir> {
    let prefix = format!("sapwood-{purpose}-");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    let in_memory = std::env::var_os("TMPDIR").is_none() && holds_xattrs(MEMORY);
    Ok(if in_memory { builder.tempdir_in(MEMORY) } else { builder.tempdir() }?)
}

/// Runs all tests of the workspace, and the examples in its documentation.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    peers::set_up(peers::FOR_TESTS, !args.no_setup);
    let (cargo_args, test_args) = match args.args.iter().position(|arg| arg == "--") {
        Some(at) => (&args.args[..at], &args.args[at + 1..]),
        None => (&args.args[..], &[][..]),
    };
    let mut command = sh::cargo();
    command.arg("test");
    let chosen = |arg: &String| arg == "-p" || arg.starts_with("--package") || arg.starts_with("-p=");
    if !cargo_args.iter().any(chosen) {
        command.arg("--workspace");
    }
    // All test programs run, whatever the first says.
    command.arg("--no-fail-fast").args(cargo_args).args(["--", "--show-output"]).args(test_args);
    command.env_remove("RUST_BACKTRACE").stdout(Stdio::piped());
    // The crash tests sync thousands of times. What they prove is in the order of calls, not in the disk.
    if !args.on_disk && std::env::var_os("TMPDIR").is_none() && holds_xattrs(MEMORY) {
        println!("(the tests write below {MEMORY}; with --on-disk, to the disk)");
        command.env("TMPDIR", MEMORY);
    }
    println!("+ {}", sh::shown(&command));
    let mut child = command.spawn().context("cannot run cargo test")?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        let mut passing = false;
        let mut counted = false;
        for line in BufReader::new(stdout).lines() {
            let line = line.context("reading the tests' output")?;
            // What passing tests print is for whoever runs them alone; here only what they skipped counts.
            match line.as_str() {
                "successes:" => passing = true,
                "failures:" => passing = false,
                _ if line.starts_with("test result: ") => passing = false,
                _ if passing => {
                    counted &= !line.starts_with("---- ");
                    if line.starts_with("skip") {
                        *tally.skips.entry(line).or_default() += 1;
                        tally.partial += u64::from(!counted);
                        counted = true;
                    }
                    continue;
                }
                _ => {}
            }
            if !passing {
                tally.count(&line);
                println!("{line}");
            }
        }
    }
    let status = child.wait().context("waiting for cargo test")?;
    for (reason, times) in &tally.skips {
        println!("{times} × {reason}");
    }
    println!(
        "{} passed ({} of them skipped all or a part), {} failed, {} ignored",
        tally.passed, tally.partial, tally.failed, tally.ignored
    );
    if !status.success() {
        bail!("cargo test failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_programs_add_up() {
        let mut tally = Tally::default();
        tally.count(
            "test result: ok. 26 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.28s",
        );
        tally.count(
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        );
        tally.count("test something ... ok");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (29, 2, 1));
    }
}
