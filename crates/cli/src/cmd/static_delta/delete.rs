//! `static-delta delete`.

use crate::ctx::Ctx;
use crate::ui::Render;
use anyhow::bail;
use sapwood_repo::{DeltaError, Error};
use std::io::{self, Write};

/// Delete a delta
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The delta: FROM-TO or TO
    #[arg(value_name = "DELTA")]
    delta: String,
}

/// What was deleted.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    delta: String,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let name = super::delta_name(&args.delta)?;
    match repo.delete_delta(&name) {
        Ok(()) => Ok(Outcome { delta: args.delta.clone() }),
        Err(Error::Delta(DeltaError::Missing { name })) => bail!("Can't find delta {name}"),
        Err(error) => Err(error.into()),
    }
}
