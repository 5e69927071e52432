//! Run by systemd when it starts or reloads: writes the units that mount `/var` and `/boot` of a deployed system.
//!
//! `sapwood-system-generator NORMAL EARLY LATE`; units go to `NORMAL`. See systemd.generator(7).

use anyhow::Context as _;
use cap_std::ambient_authority;
use sapwood_deploy::{BootError, BootRecord, BootTarget};
use sapwood_fsio::{self as fsio, Dir};
use std::process::ExitCode;

fn main() -> ExitCode {
    match generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sapwood-system-generator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn generate() -> anyhow::Result<()> {
    let normal = std::env::args_os().nth(1).context("no directory for units was given")?;
    let root = Dir::open_ambient_dir("/", ambient_authority()).context("opening /")?;
    if BootRecord::read(&root)?.is_none() {
        return Ok(());
    }
    let target = match BootTarget::parse(&std::fs::read("/proc/cmdline").context("reading /proc/cmdline")?) {
        Err(BootError::NotAsked) => return Ok(()),
        other => other?,
    };
    let units = Dir::open_ambient_dir(&normal, ambient_authority())
        .with_context(|| format!("opening {}", normal.display()))?;
    for unit in sapwood_deploy::boot_units(&root, &target)? {
        fsio::replace(&units, unit.name, 0o644, unit.text.as_bytes())?;
        let wants = fsio::ensure_dir(&units, format!("{}.requires", unit.required_by), 0o755)?;
        fsio::replace_symlink(format!("../{}", unit.name), &wants, unit.name)?;
    }
    Ok(())
}
