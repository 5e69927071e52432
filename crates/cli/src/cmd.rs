//! The commands, one file each: `Args`, `Outcome`, `run`.

pub(crate) mod admin;
pub(crate) mod cat;
pub(crate) mod checkout;
pub(crate) mod checksum;
pub(crate) mod commit;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod create_usb;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod find_remotes;
pub(crate) mod fsck;
pub(crate) mod gpg_sign;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod pull_local;
pub(crate) mod refs;
pub(crate) mod remote;
pub(crate) mod reset;
pub(crate) mod rev_parse;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod sign;
pub(crate) mod signing;
pub(crate) mod static_delta;
pub(crate) mod summary;
pub(crate) mod trust;

use crate::args::Command;
use crate::ctx::Ctx;
use crate::ui::show as emit;

/// Runs a command and shows what came of it; gives the exit code.
pub(crate) fn run(command: Command, ctx: &Ctx) -> anyhow::Result<u8> {
    match command {
        Command::Admin(args) => admin::run(&args, ctx),
        Command::Cat(args) => emit(&cat::run(&args, ctx)?, ctx.json),
        Command::Checkout(args) => emit(&checkout::run(&args, ctx)?, ctx.json),
        Command::Checksum(args) => emit(&checksum::run(&args, ctx)?, ctx.json),
        Command::Commit(args) => emit(&commit::run(&args, ctx)?, ctx.json),
        Command::Completions(args) => emit(&completions::run(&args, ctx)?, ctx.json),
        Command::Config(args) => emit(&config::run(&args, ctx)?, ctx.json),
        Command::Convert(args) => emit(&convert::run(&args, ctx)?, ctx.json),
        Command::CreateUsb(args) => emit(&create_usb::run(&args, ctx)?, ctx.json),
        Command::Diff(args) => emit(&diff::run(&args, ctx)?, ctx.json),
        Command::Export(args) => emit(&export::run(&args, ctx)?, ctx.json),
        Command::FindRemotes(args) => emit(&find_remotes::run(&args, ctx)?, ctx.json),
        Command::Fsck(args) => emit(&fsck::run(&args, ctx)?, ctx.json),
        Command::GpgSign(args) => emit(&gpg_sign::run(&args, ctx)?, ctx.json),
        Command::Init(args) => emit(&init::run(&args, ctx)?, ctx.json),
        Command::Log(args) => emit(&log::run(&args, ctx)?, ctx.json),
        Command::Ls(args) => emit(&ls::run(&args, ctx)?, ctx.json),
        Command::Prune(args) => emit(&prune::run(&args, ctx)?, ctx.json),
        Command::Pull(args) if args.dry_run => emit(&pull::plan::run(&args, ctx)?, ctx.json),
        Command::Pull(args) => emit(&pull::run(&args, ctx)?, ctx.json),
        Command::PullLocal(args) => emit(&pull_local::run(&args, ctx)?, ctx.json),
        Command::Refs(args) => emit(&refs::run(&args, ctx)?, ctx.json),
        Command::Remote(args) => remote::run(&args, ctx),
        Command::Reset(args) => emit(&reset::run(&args, ctx)?, ctx.json),
        Command::RevParse(args) => emit(&rev_parse::run(&args, ctx)?, ctx.json),
        Command::Serve(args) => serve::run(&args, ctx),
        Command::Show(args) => emit(&show::run(&args, ctx)?, ctx.json),
        Command::Sign(args) => emit(&sign::run(&args, ctx)?, ctx.json),
        Command::StaticDelta(args) => static_delta::run(&args, ctx),
        Command::Summary(args) => emit(&summary::run(&args, ctx)?, ctx.json),
        Command::Trust(args) => trust::run(&args, ctx),
    }
}
