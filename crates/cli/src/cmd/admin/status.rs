//! `admin status`.

use super::Machine;
use crate::ui::Render;
use sapwood_deploy::StatusEntry;
use std::io::{self, Write};

/// List deployments in boot order: the first boots by default
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The deployments.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    deployments: Vec<Shown>,
}

#[derive(Debug, serde::Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Shown {
    index: usize,
    stateroot: String,
    commit: String,
    serial: u32,
    version: Option<String>,
    timestamp: Option<u64>,
    booted: bool,
    pending: bool,
    rollback: bool,
    pinned: bool,
    origin: Option<String>,
    override_commit: Option<String>,
    options: String,
    path: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.deployments.is_empty() {
            return writeln!(out, "No deployments.");
        }
        for shown in &self.deployments {
            let star = if shown.booted { '*' } else { ' ' };
            let note = match (shown.pending, shown.rollback) {
                (true, _) => " (pending)",
                (_, true) => " (rollback)",
                _ => "",
            };
            writeln!(out, "{star} {} {}.{}{note}", shown.stateroot, shown.commit, shown.serial)?;
            if let Some(version) = &shown.version {
                writeln!(out, "    Version: {version}")?;
            }
            if shown.pinned {
                writeln!(out, "    Pinned: yes")?;
            }
            match &shown.origin {
                Some(refspec) => writeln!(out, "    origin refspec: {refspec}")?,
                None => writeln!(out, "    origin: <unknown origin type>")?,
            }
        }
        Ok(())
    }
}

pub(crate) fn run(_args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let status = machine.open()?.status()?;
    // What is next and what one can go back to is told of a running system only, as OSTree does.
    let runs = status.deployments.iter().any(|entry| entry.deployment.booted);
    let deployments = status.deployments.into_iter().map(|entry| {
        let StatusEntry { deployment, version, timestamp, pending, rollback } = entry;
        Shown {
            index: deployment.index,
            stateroot: deployment.id.stateroot.to_string(),
            commit: deployment.id.commit.to_hex(),
            serial: deployment.id.serial,
            version,
            timestamp,
            booted: deployment.booted,
            pending: runs && pending,
            rollback: runs && rollback,
            pinned: deployment.pinned(),
            origin: deployment.origin.refspec(),
            override_commit: deployment.origin.override_commit(),
            options: deployment.entry.get("options").unwrap_or_default().to_owned(),
            path: deployment.path(),
        }
    });
    Ok(Outcome { deployments: deployments.collect() })
}
