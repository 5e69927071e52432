//! `admin undeploy`.

use super::{Machine, PATIENCE, count, index, outcome};
use crate::journal::Entry;
use crate::ui::Render;
use sapwood_deploy::{Cleaned, CleanupOptions, DeploymentId, Written};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Delete a deployment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave in the repository what is not needed any more
    #[arg(long)]
    no_prune: bool,
    /// Its place in the boot order, from 0
    #[arg(value_name = "INDEX")]
    index: String,
}

/// What was deleted.
#[derive(Debug)]
pub(crate) struct Outcome {
    id: DeploymentId,
    written: Written,
    cleaned: Cleaned,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({
            "stateroot": self.id.stateroot.as_str(),
            "commit": self.id.commit.to_hex(),
            "serial": self.id.serial,
            "cleaned": outcome::cleaned_json(&self.cleaned),
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        outcome::written(&self.written, out)?;
        outcome::cleaned(&self.cleaned, out)?;
        writeln!(out, "Deleted deployment {}", self.id.dir_name())
    }

    fn entries(&self) -> Vec<Entry> {
        let deleted = Entry::new(format!("Deleted deployment {}", self.id)).about(&self.id);
        std::iter::once(deleted).chain(outcome::written_entry(&self.written)).collect()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let index = index(&args.index, count(&locked)?)?;
    let undeployed = locked.undeploy(index, &CleanupOptions { keep_objects: args.no_prune })?;
    Ok(Outcome { id: undeployed.id, written: undeployed.written, cleaned: undeployed.cleaned })
}
