//! `completions`: scripts that complete command lines, and the manual.

use crate::args;
use crate::ctx::Ctx;
use crate::ui::Render;
use std::io::{self, Write};

/// Print a completion script for a shell, or the manual page
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell, or `man`
    #[arg(value_name = "SHELL", value_parser = ["bash", "elvish", "fish", "powershell", "zsh", "man"])]
    shell: String,
}

/// The text.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    text: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut command = args::command(ctx.persona);
    let mut bytes = Vec::new();
    match args.shell.parse::<clap_complete::Shell>() {
        Ok(shell) => clap_complete::generate(shell, &mut command, ctx.persona.name(), &mut bytes),
        Err(_) => clap_mangen::Man::new(command).render(&mut bytes)?,
    }
    Ok(Outcome { text: String::from_utf8_lossy(&bytes).into_owned() })
}
