//! `static-delta reindex`.

use crate::ctx::Ctx;
use crate::ui::Render;
use std::io::{self, Write};

/// Write the indexes of deltas anew
///
/// Pullers find deltas through them. `summary -u` writes them too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the index of the deltas to this commit
    #[arg(long, value_name = "REV")]
    to: Option<String>,
}

/// The deltas that are in the indexes.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    deltas: Vec<String>,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let to = args.to.as_deref().map(|to| repo.resolve(to)).transpose()?;
    let deltas = repo.reindex_deltas(to)?;
    Ok(Outcome { deltas: deltas.iter().map(ToString::to_string).collect() })
}
