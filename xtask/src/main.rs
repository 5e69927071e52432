//! The workspace's own commands, run as `cargo xtask NAME`: the demonstration, the tests, what CI runs, the
//! conventions no compiler checks, and the measurements.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these commands talk to whoever runs them")]
#![allow(
    clippy::disallowed_methods,
    reason = "a developer's tool works on ordinary paths and needs no crash safety"
)]

mod bench;
mod ci;
mod conformance;
mod demo;
mod docs;
mod entries;
mod lab;
mod measure;
mod memory;
mod peers;
mod powercut;
mod relay;
mod server;
mod sh;
mod tidy;
mod torture;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// Commands of the Sapwood workspace
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Show the main job step by step: build, serve, install, upgrade, roll back
    Demo(demo::DemoArgs),
    /// Run everything CI runs: formatting, lints, tidy, the command reference, all tests
    Ci,
    /// Run all tests, and set up the programs they compare with
    Test(ci::TestArgs),
    /// Run OSTree's own tests with our program in OSTree's place
    Conformance(conformance::ConformanceArgs),
    /// Check the conventions no compiler checks
    Tidy,
    /// Write the command reference and the map of the code
    Docs(docs::DocsArgs),
    /// Compare with the real ostree: time, processor time, memory
    Bench(bench::BenchArgs),
    /// Measure the memory that trees of many files need, and how it grows
    Memory(memory::MemoryArgs),
    /// Kill the program at random moments of a pull and of an upgrade, and check what is left
    Torture(torture::TortureArgs),
    /// Cut the power at every flush of an upgrade, and at random, and check what is on the disk
    Powercut(powercut::PowercutArgs),
    /// Boot virtual machines that are installed and upgraded by our tools
    Vm(vm::VmArgs),
    /// Run a program and report what it cost (used by `bench`)
    #[command(hide = true)]
    Measured(measure::MeasuredArgs),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Demo(args) => demo::run(&args),
        Command::Ci => ci::ci(),
        Command::Test(args) => ci::test(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Tidy => tidy::run(),
        Command::Docs(args) => docs::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Torture(args) => torture::run(&args),
        Command::Powercut(args) => powercut::run(&args),
        Command::Vm(args) => vm::run(&args),
        Command::Measured(args) => measure::measured(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `{:?}`: that adds a backtrace when the environment asks for one.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
