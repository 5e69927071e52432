//! `admin unlock`: makes the running `/usr` writable.

use super::{Machine, PATIENCE};
use crate::ctx::open_dir;
use crate::journal::Entry;
use crate::ui::Render;
use sapwood_deploy::Unlock;
use std::io::{self, Write};

/// Make /usr of the running system writable
///
/// What is changed there is gone after the next boot, unless --hotfix keeps it. A hotfix forgets
/// what is staged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep changes as long as the deployment is there; a copy of it as it is now is kept beside it
    #[arg(long, conflicts_with = "transient")]
    hotfix: bool,
    /// Mount it read-only: it is writable only for who remounts it in a mount namespace of its own
    #[arg(long)]
    transient: bool,
}

/// How it is unlocked.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    unlocked: &'static str,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.unlocked {
            "hotfix" => writeln!(
                out,
                "Hotfix mode enabled.  A writable overlayfs is now mounted on /usr\nfor this booted deployment.  A \
                 non-hotfixed clone has been created\nas the non-default rollback target."
            ),
            "transient" => writeln!(
                out,
                "A writable overlayfs is prepared for /usr, but is mounted read-only by default.\nAll changes there \
                 will be discarded on reboot."
            ),
            _ => writeln!(
                out,
                "Development mode enabled.  A writable overlayfs is now mounted on /usr.\nAll changes there will be \
                 discarded on reboot."
            ),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(format!("Unlocked /usr of the running deployment: {}", self.unlocked))]
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let unlock = match (args.hotfix, args.transient) {
        (true, _) => Unlock::Hotfix,
        (_, true) => Unlock::Transient,
        _ => Unlock::Development,
    };
    // The whole system has to see what is mounted.
    let sysroot = machine.open_as_it_is()?;
    let usr = open_dir("/usr".as_ref())?;
    sapwood_deploy::while_open(&open_dir("/".as_ref())?, || -> anyhow::Result<()> {
        Ok(sysroot.lock(PATIENCE)?.unlock(unlock, &usr)?)
    })?;
    Ok(Outcome { unlocked: unlock.as_str() })
}
