//! `admin boot-complete`: what the system runs when it is up.

use super::{Machine, PATIENCE};
use crate::ui::Render;
use std::io::{self, Write};

/// Say what came of the last shutdown, and that this boot succeeded (run when the system is up)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What was found.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    finalization_failure: Option<String>,
    staged: Option<String>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(failure) = &self.finalization_failure {
            writeln!(out, "ostree-finalize-staged.service failed on previous boot: {failure}")?;
        }
        match &self.staged {
            Some(name) => writeln!(out, "still staged: {name}"),
            None => Ok(()),
        }
    }

    fn exit_code(&self) -> u8 {
        // So that the unit that runs it shows up as failed.
        u8::from(self.finalization_failure.is_some())
    }
}

pub(crate) fn run(_args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let complete = machine.open()?.lock(PATIENCE)?.boot_complete()?;
    Ok(Outcome { finalization_failure: complete.failure, staged: complete.staged.map(|id| id.dir_name()) })
}
