//! `admin config-diff`: what was changed in `/etc`, and what an upgrade would make of it.

use super::deploy::EtcPolicy;
use super::outcome::{conflict_json, conflict_text};
use super::{Machine, stateroot_or_running};
use crate::report::usage;
use crate::ui::Render;
use sapwood_etcmerge::{Change, ChangeKind, ScanOptions, diff, scan};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// List what was changed in /etc, compared with the defaults of the deployment
///
/// With --merge, list in what the /etc of a new deployment would differ from the one that there is now, and where the two
/// contradict each other. Nothing is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stateroot; that of the running system if missing
    #[arg(long, visible_alias = "stateroot", value_name = "OSNAME")]
    os: Option<String>,
    /// Show what deploying this commit would do to /etc
    #[arg(long, value_name = "COMMIT")]
    merge: Option<String>,
    #[command(flatten)]
    etc: EtcPolicy,
}

/// The differences, relative to `/etc`.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    modified: Vec<String>,
    removed: Vec<String>,
    added: Vec<String>,
    /// What a merge would come to; missing where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    merge: Option<Merge>,
}

#[derive(Debug, serde::Serialize)]
struct Merge {
    /// The directory name of the deployment whose `/etc` would be taken over.
    from: String,
    commit: String,
    conflicts: Vec<Value>,
    /// Fifos, sockets and devices that would be left behind.
    left_behind: Vec<String>,
    #[serde(skip)]
    lines: Vec<String>,
}

impl Outcome {
    /// Of a directory that was removed, what was in it is not listed.
    fn new(changes: &[Change]) -> Self {
        let removed = changes.iter().filter(|change| change.kind == ChangeKind::Removed);
        let removed: BTreeSet<&Path> = removed.map(|change| change.path.as_path()).collect();
        let mut outcome = Self::default();
        for change in changes {
            let inside = change.path.parent().is_some_and(|parent| removed.contains(parent));
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
        outcome
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for (letter, paths) in [('M', &self.modified), ('D', &self.removed), ('A', &self.added)] {
            paths.iter().try_for_each(|path| writeln!(out, "{letter}    {path}"))?;
        }
        self.merge.iter().flat_map(|merge| &merge.lines).try_for_each(|line| writeln!(out, "{line}"))
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open_to_read()?;
    let stateroot = stateroot_or_running(&sysroot, args.os.as_ref())?;
    let deployment = sysroot.merge_deployment(&stateroot)?;
    let deployment = deployment.ok_or_else(|| usage(format!("No deployment for OS '{stateroot}'")))?;
    if let Some(revision) = &args.merge {
        let commit = sysroot.repo().resolve(revision)?;
        let preview = sysroot.preview_merge(&stateroot, commit, args.etc.policy())?;
        let conflict = |conflict| format!("conflict: {}", conflict_text(conflict));
        let left_behind: Vec<_> =
            preview.skipped.iter().map(|skipped| format!("/etc/{}", skipped.path.display())).collect();
        let skipped = |path| format!("left behind: {path}: it is neither file, directory nor symlink");
        let lines = preview.conflicts.iter().map(conflict).chain(left_behind.iter().map(skipped)).collect();
        let merge = Merge {
            from: preview.from.dir_name(),
            commit: commit.to_hex(),
            conflicts: preview.conflicts.iter().map(conflict_json).collect(),
            left_behind,
            lines,
        };
        return Ok(Outcome { merge: Some(merge), ..Outcome::new(&preview.changes) });
    }
    let dir = sysroot.deployment_dir(&deployment.id)?;
    let defaults = scan(&sapwood_fsio::open_dir(&dir, "usr/etc")?, &ScanOptions::default())?;
    let local = scan(&sapwood_fsio::open_dir(&dir, "etc")?, &ScanOptions::default())?;
    Ok(Outcome::new(&diff(&defaults, &local)))
}
