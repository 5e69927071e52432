//! `remote delete`.

use crate::ctx::Ctx;
use crate::ui::Render;
use sapwood_repo::RemoteName;
use std::io::{self, Write};
use std::path::PathBuf;

/// Delete a remote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do nothing if there is none of that name
    #[arg(long)]
    if_exists: bool,
    /// Delete it from the repository of this sysroot
    #[arg(long, value_name = "PATH")]
    sysroot: Option<PathBuf>,
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
}

/// Whether it was there.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    name: String,
    deleted: bool,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut repo = super::open(ctx, args.sysroot.as_ref())?;
    let deleted = match repo.delete_remote(&RemoteName::new(&args.name)?) {
        Ok(()) => true,
        Err(sapwood_repo::Error::UnknownRemote { .. }) if args.if_exists => false,
        Err(error) => return Err(error.into()),
    };
    Ok(Outcome { name: args.name.clone(), deleted })
}
