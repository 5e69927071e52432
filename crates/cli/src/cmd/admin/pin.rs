//! `admin pin`.

use super::{Machine, PATIENCE, count, index};
use crate::journal::Entry;
use crate::ui::Render;
use std::io::{self, Write};

/// Keep deployments until they are unpinned
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Unpin them
    #[arg(long, short = 'u')]
    unpin: bool,
    /// Their places in the boot order, from 0
    #[arg(value_name = "INDEX", required = true)]
    indices: Vec<String>,
}

/// What was pinned or unpinned.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    pinned: bool,
    deployments: Vec<Pinned>,
}

#[derive(Debug, serde::Serialize)]
struct Pinned {
    index: usize,
    changed: bool,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = if self.pinned { "pinned" } else { "unpinned" };
        for Pinned { index, changed } in &self.deployments {
            let when = if *changed { "now" } else { "already" };
            writeln!(out, "Deployment {index} is {when} {state}")?;
        }
        Ok(())
    }

    fn entries(&self) -> Vec<Entry> {
        let state = if self.pinned { "pinned" } else { "unpinned" };
        let changed = self.deployments.iter().filter(|deployment| deployment.changed);
        changed.map(|Pinned { index, .. }| Entry::new(format!("Deployment {index} is now {state}"))).collect()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let count = count(&locked)?;
    let indices = args.indices.iter().map(|text| index(text, count)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut deployments = Vec::new();
    for index in indices {
        deployments.push(Pinned { index, changed: locked.set_pinned(index, !args.unpin)? });
    }
    Ok(Outcome { pinned: !args.unpin, deployments })
}
