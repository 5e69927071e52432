//! `admin switch`: follows another ref from now on.

use super::deploy::How;
use super::upgrade::{self, Outcome};
use super::{Machine, PATIENCE, reboot, stateroot};
use crate::args::Persona;
use crate::ctx::Ctx;
use sapwood_deploy::{Followed, When};
use sapwood_repo::{Expected, RefEdit};

/// Follow another ref from now on: pull its newest commit, and deploy it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stateroot; that of the running system, or the only one that has deployments, if missing
    #[arg(long, visible_alias = "stateroot", value_name = "OSNAME")]
    os: Option<String>,
    #[command(flatten)]
    how: How,
    /// Restart the machine when it is done
    #[arg(long, short = 'r')]
    reboot: bool,
    /// REMOTE:REF, or a ref of the remote that is followed now; a commit's whole id instead of a ref follows that alone
    #[arg(value_name = "REFSPEC")]
    refspec: String,
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let name = args.os.as_deref().map(stateroot).transpose()?;
    let plan = locked.plan_switch(name.as_ref(), &args.refspec)?;
    let pulled = upgrade::fetch(ctx, &locked, &plan, None)?;
    // Another ref may well be older.
    let result = upgrade::deploy(ctx, &locked, &plan, &args.how, true, When::Now)?;
    // What was pulled of the old ref is kept by the deployments that need it.
    let old = plan.from.origin.refspec().and_then(|text| Followed::parse(&text).ok());
    let old = old.filter(|old| old.remote().is_some() && *old != plan.follows);
    // OSTree says so of one that is not there, too.
    let mut deleted_ref = old.as_ref().filter(|_| ctx.persona == Persona::Ostree).map(ToString::to_string);
    if let Some(Followed::Ref(old)) = old
        && locked.repo().ref_target(&old)?.is_some()
    {
        deleted_ref = Some(old.to_string());
        locked.repo().edit_refs(vec![RefEdit::Delete { name: old, expected: Expected::Any }])?;
    }
    if args.reboot {
        reboot()?;
    }
    Ok(Outcome { pulled, result, ended: Vec::new(), deleted_ref, persona: ctx.persona })
}
