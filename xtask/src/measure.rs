//! How long a program takes, what processor time and how much memory.
//!
//! The kernel's accounting of ended children is exact, but sums over all children of a process and keeps their highest
//! memory use. So each measured program gets a parent of its own: this program again, as `cargo xtask measured`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::relay::Traffic;
use crate::sh;

/// What one run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) wall: Duration,
    /// Processor time of all its threads, in user and kernel mode.
    pub(crate) cpu: Duration,
    /// The most memory it had at any moment, in bytes.
    pub(crate) peak_bytes: u64,
    /// What went over the wire, where that was counted.
    pub(crate) traffic: Option<Traffic>,
}

/// Arguments of the parent of a measured program.
#[derive(Debug, clap::Args)]
pub(crate) struct MeasuredArgs {
    /// Where to write what it cost, as JSON
    #[arg(long)]
    to: PathBuf,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

/// Runs the command to its end and returns what it cost.
///
/// Its standard output is thrown away; on failure the error has its standard error output.
pub(crate) fn measure(command: &Command) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("cost.json");
    let mut parent = Command::new(std::env::current_exe().context("finding this program")?);
    parent
        .args(["measured", "--to"])
        .arg(&report)
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => parent.env(name, value),
            None => parent.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        parent.current_dir(folder);
    }
    let out = parent.stdout(Stdio::null()).output().context("starting the parent of a measured program")?;
    let line = sh::shown(command);
    ensure!(out.status.success(), "`{line}` failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    let cost: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let number = |key: &str| cost[key].as_u64().with_context(|| format!("no {key} in the report"));
    Ok(Cost {
        wall: Duration::from_micros(number("wall_us")?),
        cpu: Duration::from_micros(number("cpu_us")?),
        peak_bytes: number("peak_bytes")?,
        traffic: None,
    })
}

/// The parent of a measured program.
pub(crate) fn measured(args: &MeasuredArgs) -> Result<()> {
    let (program, rest) = args.command.split_first().context("no program given")?;
    let start = Instant::now();
    let status = Command::new(program).args(rest).status().context("starting it")?;
    let wall = start.elapsed();
    ensure!(status.success(), "{status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let report = json!({
        "wall_us": u64::try_from(wall.as_micros())?,
        "cpu_us": micros(usage.user_time()) + micros(usage.system_time()),
        // Linux counts in KiB.
        "peak_bytes": usage.max_rss() * 1024,
    });
    std::fs::write(&args.to, report.to_string())?;
    Ok(())
}
