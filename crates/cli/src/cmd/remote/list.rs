//! `remote list`.

use crate::ctx::Ctx;
use crate::ui::Render;
use std::io::{self, Write};

/// List remotes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List also their addresses
    #[arg(long, short = 'u')]
    show_urls: bool,
}

/// The remotes.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    remotes: Vec<Remote>,
    #[serde(skip)]
    show_urls: bool,
}

#[derive(Debug, serde::Serialize)]
struct Remote {
    name: String,
    url: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.remotes.iter().map(|remote| remote.name.len()).max().unwrap_or(0);
        for Remote { name, url } in &self.remotes {
            if self.show_urls { writeln!(out, "{name:width$}  {url}")? } else { writeln!(out, "{name}")? }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let remotes = ctx.open_repo()?.remotes()?;
    let remotes = remotes.into_iter().map(|remote| Remote { name: remote.name.to_string(), url: remote.url });
    Ok(Outcome { remotes: remotes.collect(), show_urls: args.show_urls })
}
