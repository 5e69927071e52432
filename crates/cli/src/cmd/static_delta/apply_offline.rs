//! `static-delta apply-offline`.

use super::verify::Trusted;
use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::Render;
use std::io::{self, Write};
use std::path::PathBuf;

/// Add the commit of a delta that is on a disk
///
/// Refs are not moved.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The delta: its directory, or the file that is its superblock
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    trusted: Trusted,
}

/// What was added.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    delta: String,
    commit: String,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let delta = super::open_files(&args.path)?;
    // What is no boolean must not pass for "no".
    let must_be_signed = match repo.config().keyfile.get_bool("core", "sign-verify-deltas") {
        None => false,
        Some(Ok(answer)) => answer,
        Some(Err(text)) => {
            return Err(usage(format!("core.sign-verify-deltas is {text:?}, and must be true or false")));
        }
    };
    if args.trusted.is_any() || must_be_signed {
        if !args.trusted.is_any() {
            return Err(usage("Key is mandatory to check delta signature"));
        }
        args.trusted.check(&delta)?.map_err(usage)?;
    }
    repo.apply_delta(&delta)?;
    let name = delta.superblock.name;
    Ok(Outcome { delta: name.to_string(), commit: name.to.to_hex() })
}
