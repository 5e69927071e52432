//! `admin finalize-staged`: what the system runs when it shuts down.

use super::outcome::{EtcMerge, Shown};
use super::{Machine, PATIENCE};
use crate::cmd::admin::deploy::Watch;
use crate::ctx::Ctx;
use crate::journal::{self, Entry};
use crate::ui::Render;
use sapwood_deploy::Finalization;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Put what is staged into the boot order (run at shutdown)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep /boot in use until the program is ended, so that it is not unmounted before that
    #[arg(long)]
    hold: bool,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    deployed: Option<Shown>,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "deployed": self.deployed.as_ref().map(Shown::json) }).serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.deployed {
            Some(shown) => shown.render(out),
            None => Ok(()),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        self.deployed.as_ref().map(Shown::entries).unwrap_or_default()
    }

    fn remarks(&self) -> Vec<String> {
        self.deployed.as_ref().map(Shown::remarks).unwrap_or_default()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<Outcome> {
    if args.hold {
        // In the mount namespace of the system: another one would keep a mount of its own in use.
        hold(machine)?;
        return Ok(Outcome { deployed: None });
    }
    let sysroot = machine.open_untold()?;
    let watch = Watch::new(ctx);
    let locked = sysroot.lock(PATIENCE)?;
    if let Some(staged) = locked.staged()?.filter(|staged| staged.finalization != Finalization::Held) {
        let entry = Entry::new("Finalizing staged deployment").id(journal::id::DEPLOYMENT_FINALIZING);
        journal::tell(&[entry.about(&staged.id)]);
    }
    let deployed = locked.finalize_staged(&|event| watch.see(event))?;
    let etc: Option<EtcMerge> = watch.etc();
    Ok(Outcome { deployed: deployed.map(|deployed| Shown::new(deployed, etc)) })
}

/// Keeps a directory of the boot filesystem open until SIGINT or SIGTERM.
fn hold(machine: &Machine) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let boot = crate::ctx::open_dir(&machine.path().join("boot"))?;
    crate::connect::runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        drop(boot);
        Ok(())
    })
}
