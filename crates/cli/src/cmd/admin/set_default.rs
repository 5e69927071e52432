//! `admin set-default`.

use super::{Machine, PATIENCE, count, index};
use crate::journal::Entry;
use crate::ui::Render;
use sapwood_deploy::DeploymentId;
use std::io::{self, Write};

/// Boot another deployment by default
///
/// Its /etc is as it was when it was last used. `admin rollback` does this with the next in order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its place in the boot order, from 0
    #[arg(value_name = "INDEX")]
    index: String,
}

/// What boots now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    stateroot: String,
    commit: String,
    serial: u32,
    #[serde(skip)]
    id: DeploymentId,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Default deployment is now {} {}.{}", self.stateroot, self.commit, self.serial)
    }

    fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(format!("Default deployment is now {}", self.id)).about(&self.id)]
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let id = locked.set_default(index(&args.index, count(&locked)?)?)?;
    Ok(Outcome { stateroot: id.stateroot.to_string(), commit: id.commit.to_hex(), serial: id.serial, id })
}
