//! `admin instutil`: what installers and boot loader scripts call.

mod grub2_generate;
mod selinux;
mod set_kargs;

use super::Machine;
use crate::ctx::Ctx;
use crate::ui::show as emit;

/// For installers and the scripts of boot loaders
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(name = "grub2-generate")]
    Grub2Generate(grub2_generate::Args),
    SelinuxEnsureLabeled(selinux::Args),
    SetKargs(set_kargs::Args),
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<u8> {
    match &args.command {
        Command::Grub2Generate(args) => emit(&grub2_generate::run(args, machine)?, ctx.json),
        Command::SelinuxEnsureLabeled(args) => emit(&selinux::run(args, machine)?, ctx.json),
        Command::SetKargs(args) => emit(&set_kargs::run(args, machine)?, ctx.json),
    }
}
