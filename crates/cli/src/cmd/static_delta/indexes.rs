//! `static-delta indexes`.

use crate::ctx::Ctx;
use crate::ui::Render;
use std::io::{self, Write};

/// List the commits that have an index of the deltas to them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The commits.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commits: Vec<String>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.commits.is_empty() {
            writeln!(out, "(No static deltas indexes)")?;
        }
        self.commits.iter().try_for_each(|commit| writeln!(out, "{commit}"))
    }
}

pub(crate) fn run(_args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    Ok(Outcome {
        commits: ctx.open_repo()?.delta_indexes()?.iter().map(sapwood_objstore::Id::to_hex).collect(),
    })
}
