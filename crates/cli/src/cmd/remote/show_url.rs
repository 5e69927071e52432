//! `remote show-url`.

use crate::ctx::Ctx;
use crate::ui::Render;
use std::io::{self, Write};

/// Print the address of a remote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
}

/// Its address.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    name: String,
    url: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.url)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let remote = ctx.open_repo()?.remote(&args.name)?;
    if remote.url.is_empty() {
        return Err(crate::connect::no_url(&remote));
    }
    Ok(Outcome { name: args.name.clone(), url: remote.url })
}
