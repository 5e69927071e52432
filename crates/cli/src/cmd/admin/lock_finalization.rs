//! `admin lock-finalization`: holds what is staged.

use super::{Machine, PATIENCE};
use crate::journal::Entry;
use crate::ui::Render;
use sapwood_deploy::Finalization;
use std::io::{self, Write};

/// Hold what is staged: it does not get into the boot order at shutdown
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Let it go again
    #[arg(long, short = 'u')]
    unlock: bool,
}

/// What is so now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    locked: bool,
    changed: bool,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = if self.locked { "locked" } else { "unlocked" };
        let when = if self.changed { "now" } else { "already" };
        writeln!(out, "Staged deployment is {when} {state}")
    }

    fn entries(&self) -> Vec<Entry> {
        let state = if self.locked { "locked" } else { "unlocked" };
        let entry = || Entry::new(format!("Staged deployment is now {state}"));
        self.changed.then(entry).into_iter().collect()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let finalization = if args.unlock { Finalization::AtShutdown } else { Finalization::Held };
    let changed = sysroot.lock(PATIENCE)?.set_finalization(finalization)?;
    Ok(Outcome { locked: !args.unlock, changed })
}
