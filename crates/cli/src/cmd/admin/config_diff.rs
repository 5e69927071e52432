//! `admin config-diff`: what was changed in `/etc`.

use super::{Machine, stateroot_or_running};
use crate::report::usage;
use crate::ui::Render;
use sapwood_etcmerge::{ChangeKind, ScanOptions, diff, scan};
use std::io::{self, Write};
use std::path::Path;

/// List what was changed in /etc, compared with the defaults of the deployment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stateroot; that of the running system if missing
    #[arg(long, visible_alias = "stateroot", value_name = "OSNAME")]
    os: Option<String>,
}

/// The differences, relative to `/etc`.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    modified: Vec<String>,
    removed: Vec<String>,
    added: Vec<String>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for (letter, paths) in [('M', &self.modified), ('D', &self.removed), ('A', &self.added)] {
            paths.iter().try_for_each(|path| writeln!(out, "{letter}    {path}"))?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let stateroot = stateroot_or_running(&sysroot, args.os.as_ref())?;
    let deployment = sysroot.merge_deployment(&stateroot)?;
    let deployment = deployment.ok_or_else(|| usage(format!("No deployment for OS '{stateroot}'")))?;
    let dir = sysroot.deployment_dir(&deployment.id)?;
    let defaults = scan(&sapwood_fsio::open_dir(&dir, "usr/etc")?, &ScanOptions::default())?;
    let local = scan(&sapwood_fsio::open_dir(&dir, "etc")?, &ScanOptions::default())?;
    let mut outcome = Outcome::default();
    for change in diff(&defaults, &local) {
        // Of a directory that was removed, what was in it is not listed.
        let inside = change.kind == ChangeKind::Removed
            && change.path.ancestors().skip(1).any(|at| at != Path::new("") && local.get(at).is_none());
        if inside || change.path == Path::new("") {
            continue;
        }
        let path = change.path.display().to_string();
        match change.kind {
            ChangeKind::Modified => outcome.modified.push(path),
            ChangeKind::Removed => outcome.removed.push(path),
            ChangeKind::Added => outcome.added.push(path),
        }
    }
    Ok(outcome)
}
