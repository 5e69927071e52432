//! `static-delta list`.

use crate::ctx::Ctx;
use crate::ui::Render;
use std::io::{self, Write};

/// List the deltas of the repository
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The deltas.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    deltas: Vec<String>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.deltas.is_empty() {
            writeln!(out, "(No static deltas)")?;
        }
        self.deltas.iter().try_for_each(|delta| writeln!(out, "{delta}"))
    }
}

pub(crate) fn run(_args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    Ok(Outcome { deltas: ctx.open_repo()?.deltas()?.iter().map(ToString::to_string).collect() })
}
