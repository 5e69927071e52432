//! `admin instutil set-kargs`.

use super::super::kargs::{Outcome, edits, need_deployments};
use super::super::{Machine, PATIENCE};
use crate::ctx::read_file;
use sapwood_deploy::{KargEdit, Kargs, KargsOf};

/// Set the kernel arguments of the deployment that boots by default
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin with the arguments of the running kernel
    #[arg(long)]
    import_proc_cmdline: bool,
    /// Begin with those that it has
    #[arg(long)]
    merge: bool,
    /// Set an argument, instead of those with the same name
    #[arg(long, value_name = "NAME=VALUE")]
    replace: Vec<String>,
    /// Append an argument
    #[arg(long, value_name = "NAME=VALUE")]
    append: Vec<String>,
    /// Arguments to append
    #[arg(value_name = "ARGS")]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    need_deployments(&locked)?;
    let mut running = None;
    if args.import_proc_cmdline {
        running = Some(Kargs::parse_proc_cmdline(&read_file("/proc/cmdline".as_ref(), 64 << 10)?));
    }
    let edits = [
        edits(&args.replace, KargEdit::Set),
        edits(&args.append, KargEdit::Append),
        edits(&args.words, KargEdit::Append),
    ]
    .concat();
    let changed = locked.change_kargs(&|whose, own| {
        if !matches!(whose, KargsOf::Listed(deployment) if deployment.index == 0) {
            return Ok(None);
        }
        let mut kargs = match &running {
            Some(running) => running.clone(),
            None if args.merge => own,
            None => Kargs::default(),
        };
        kargs.edit(&edits)?;
        Ok(Some(kargs))
    })?;
    Ok(Outcome { changed, is_told: true })
}
