//! `checksum`: the id that a file would get.

use crate::args::Persona;
use crate::ctx::{Ctx, open_parent};
use crate::report::OrUsage as _;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_objstore::Format;
use sapwood_repo::{Modifiers, id_on_disk};
use std::io::{self, Write};
use std::path::PathBuf;

/// Print the id that a commit would give to a file
///
/// For a directory it is that of its owner, mode and attributes; what is in it does not count. No repository is needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave extended attributes out
    #[arg(long)]
    ignore_xattrs: bool,
    /// The format whose ids are meant: native or ostree [default: native; ostree under that name]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The file or directory; a symbolic link is not followed
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// The id.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    id: String,
    format: &'static str,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.id)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let format = match args.format.as_deref() {
        None if ctx.persona == Persona::Ostree => Format::Ostree,
        None => Format::Native,
        Some(text) => [Format::Native, Format::Ostree]
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or(())
            .or_usage(|| format!("Invalid format '{text}': native or ostree"))?,
    };
    let (dir, name) = open_parent(&args.path)?;
    let modifiers = Modifiers { no_xattrs: args.ignore_xattrs, ..Modifiers::default() };
    let id = id_on_disk(&dir, &name, format, &modifiers)
        .with_context(|| format!("cannot read {}", args.path.display()))?;
    Ok(Outcome { id: id.to_hex(), format: format.name() })
}
