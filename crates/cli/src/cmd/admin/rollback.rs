//! `admin rollback`: back to the version before.

use super::{Machine, PATIENCE, outcome};
use crate::journal::Entry;
use crate::ui::Render;
use sapwood_deploy::{DeploymentId, RolledBack};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Boot the deployment that comes after the default one
///
/// It is the next of the same stateroot in the boot order, and its /etc is as it was when it was last used. What is
/// staged is forgotten. Going back twice changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Restart the machine when it is done
    #[arg(long, short = 'r')]
    reboot: bool,
}

/// From where to where.
#[derive(Debug)]
pub(crate) struct Outcome(RolledBack);

fn named(id: &DeploymentId) -> Value {
    json!({ "stateroot": id.stateroot.as_str(), "commit": id.commit.to_hex(), "serial": id.serial })
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "from": named(&self.0.from), "to": named(&self.0.to) }).serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        outcome::written(&self.0.written, out)?;
        writeln!(out, "Default deployment is now {}", self.0.to)
    }

    fn entries(&self) -> Vec<Entry> {
        let RolledBack { from, to, written } = &self.0;
        let back = Entry::new(format!("Default deployment is now {to}, and no longer {from}")).about(to);
        std::iter::once(back).chain(outcome::written_entry(written)).collect()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let rolled_back = machine.open()?.lock(PATIENCE)?.rollback()?;
    if args.reboot {
        super::reboot()?;
    }
    Ok(Outcome(rolled_back))
}
