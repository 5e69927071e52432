//! `remote`: where to pull from.

pub(crate) mod add;
pub(crate) mod cookies;
pub(crate) mod delete;
pub(crate) mod gpg_import;
pub(crate) mod gpg_list_keys;
pub(crate) mod list;
pub(crate) mod refs;
pub(crate) mod show_url;
pub(crate) mod summary;

use crate::ctx::Ctx;
use crate::ui::show as emit;
use sapwood_repo::Repo;
use std::path::PathBuf;

/// Add, delete and look at remotes
#[derive(Debug, clap::Args)]
#[command(subcommand_help_heading = "Builtin \"remote\" Commands")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(add::Args),
    AddCookie(cookies::AddArgs),
    Delete(delete::Args),
    DeleteCookie(cookies::DeleteArgs),
    GpgImport(gpg_import::Args),
    GpgListKeys(gpg_list_keys::Args),
    List(list::Args),
    ListCookies(cookies::ListArgs),
    Refs(refs::Args),
    ShowUrl(show_url::Args),
    Summary(summary::Args),
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<u8> {
    match &args.command {
        Command::Add(args) => emit(&add::run(args, ctx)?, ctx.json),
        Command::AddCookie(args) => emit(&cookies::add(args, ctx)?, ctx.json),
        Command::DeleteCookie(args) => emit(&cookies::delete(args, ctx)?, ctx.json),
        Command::ListCookies(args) => emit(&cookies::list(args, ctx)?, ctx.json),
        Command::Delete(args) => emit(&delete::run(args, ctx)?, ctx.json),
        Command::GpgImport(args) => emit(&gpg_import::run(args, ctx)?, ctx.json),
        Command::GpgListKeys(args) => emit(&gpg_list_keys::run(args, ctx)?, ctx.json),
        Command::List(args) => emit(&list::run(args, ctx)?, ctx.json),
        Command::Refs(args) => emit(&refs::run(args, ctx)?, ctx.json),
        Command::ShowUrl(args) => emit(&show_url::run(args, ctx)?, ctx.json),
        Command::Summary(args) => emit(&summary::run(args, ctx)?, ctx.json),
    }
}

/// The repository, or that of a sysroot, with its drop-in files.
fn open(ctx: &Ctx, sysroot: Option<&PathBuf>) -> anyhow::Result<Repo> {
    match sysroot {
        Some(path) => {
            let mut repo = crate::ctx::open_repo_at(&path.join("ostree/repo"))?;
            crate::ctx::use_drop_ins(&mut repo, path)?;
            Ok(repo)
        }
        None => ctx.open_repo(),
    }
}
