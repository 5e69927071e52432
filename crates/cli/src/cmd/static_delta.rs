//! `static-delta`: what one commit has more than another, in few files to be downloaded instead of many.

pub(crate) mod apply_offline;
pub(crate) mod delete;
pub(crate) mod generate;
pub(crate) mod indexes;
pub(crate) mod list;
pub(crate) mod reindex;
pub(crate) mod show;
pub(crate) mod verify;

use crate::ctx::{Ctx, open_dir, open_parent};
use crate::report::usage;
use crate::ui::show as emit;
use anyhow::Context as _;
use sapwood_repo::{DeltaFiles, DeltaName};
use std::path::Path;

/// Make, apply and look at static deltas
#[derive(Debug, clap::Args)]
#[command(subcommand_help_heading = "Builtin \"static-delta\" Commands")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    ApplyOffline(apply_offline::Args),
    Delete(delete::Args),
    Generate(generate::Args),
    Indexes(indexes::Args),
    List(list::Args),
    Reindex(reindex::Args),
    Show(show::Args),
    Verify(verify::Args),
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<u8> {
    match &args.command {
        Command::ApplyOffline(args) => emit(&apply_offline::run(args, ctx)?, ctx.json),
        Command::Delete(args) => emit(&delete::run(args, ctx)?, ctx.json),
        Command::Generate(args) => emit(&generate::run(args, ctx)?, ctx.json),
        Command::Indexes(args) => emit(&indexes::run(args, ctx)?, ctx.json),
        Command::List(args) => emit(&list::run(args, ctx)?, ctx.json),
        Command::Reindex(args) => emit(&reindex::run(args, ctx)?, ctx.json),
        Command::Show(args) => emit(&show::run(args, ctx)?, ctx.json),
        Command::Verify(args) => emit(&verify::run(args, ctx)?, ctx.json),
    }
}

/// Reads the name of a delta.
fn delta_name(text: &str) -> anyhow::Result<DeltaName> {
    DeltaName::parse(text).ok_or_else(|| usage(format!("Invalid rev {text}")))
}

/// Opens a delta that is anywhere: its superblock, or the directory that has it.
fn open_files(path: &Path) -> anyhow::Result<DeltaFiles> {
    let (dir, file) = if path.is_dir() { (open_dir(path)?, "superblock".into()) } else { open_parent(path)? };
    let shown = path.display();
    let file = file.to_str().with_context(|| format!("{shown} is not text"))?;
    DeltaFiles::open(dir, file)?.with_context(|| format!("{shown} holds no delta"))
}
