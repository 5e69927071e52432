//! `admin boot-complete`: what the system runs when it is up.

use super::{Machine, PATIENCE};
use crate::ui::Render;
use std::io::{self, Write};

/// Say what came of the last shutdown (run when the system is up)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say that this boot succeeded, where boots are counted
    #[arg(long)]
    bless: bool,
}

/// What was found.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    finalization_failure: Option<String>,
    staged: Option<String>,
    /// What was staged while another deployment ran.
    forgotten: Option<String>,
    /// Why it is not known what was staged.
    unreadable: Option<String>,
    /// The deployment whose boots are not counted any more.
    blessed: Option<String>,
    given_up: Vec<GivenUp>,
}

/// A deployment that the boot loader tried in vain.
#[derive(Debug, serde::Serialize)]
struct GivenUp {
    deployment: String,
    tries: u32,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(failure) = &self.finalization_failure {
            writeln!(out, "ostree-finalize-staged.service failed on previous boot: {failure}")?;
        }
        for GivenUp { deployment, tries } in &self.given_up {
            writeln!(out, "{deployment} did not come up in {tries} boots: the boot loader went back")?;
        }
        if let Some(name) = &self.blessed {
            writeln!(out, "this boot succeeded: {name} is not counted any more")?;
        }
        if let Some(name) = &self.forgotten {
            writeln!(out, "not staged any more: {name} was made from a deployment that does not run now")?;
        }
        if let Some(reason) = &self.unreadable {
            writeln!(out, "not staged any more, whatever it was: {reason}")?;
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

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open_untold()?;
    let locked = sysroot.lock(PATIENCE)?;
    if args.bless {
        let blessed = locked.bless()?.map(|id| id.to_string());
        return Ok(Outcome { blessed, ..Outcome::default() });
    }
    let complete = locked.boot_complete()?;
    let given_up =
        |(id, tries): (sapwood_deploy::DeploymentId, u32)| GivenUp { deployment: id.to_string(), tries };
    Ok(Outcome {
        finalization_failure: complete.failure,
        staged: complete.staged.map(|id| id.dir_name()),
        forgotten: complete.forgotten.map(|id| id.to_string()),
        unreadable: complete.unreadable,
        blessed: None,
        given_up: complete.given_up.into_iter().map(given_up).collect(),
    })
}
