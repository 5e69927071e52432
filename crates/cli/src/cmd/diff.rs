//! `diff`: what differs between two commits.

use crate::ctx::Ctx;
use crate::report::Advised;
use crate::ui::{Render, human};
use sapwood_objstore::{Commit, Id, ObjectName};
use sapwood_repo::{ChangeKind, DiffOptions, Repo, WalkEntry, diff_trees};
use std::collections::HashSet;
use std::io::{self, Write};

/// List what differs between two commits
///
/// With one revision it is compared with its parent.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Count the objects of each and those they share
    #[arg(long)]
    stats: bool,
    /// List the differing files even with --stats
    #[arg(long)]
    fs_diff: bool,
    /// The commit before, or the only one
    #[arg(value_name = "REV")]
    from: String,
    /// The commit after
    #[arg(value_name = "REV")]
    to: Option<String>,
}

/// The differences.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

#[derive(Debug, Default, serde::Serialize)]
struct Changes {
    modified: Vec<String>,
    removed: Vec<String>,
    added: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Stats {
    from_objects: usize,
    to_objects: usize,
    common_objects: usize,
    common_bytes: u64,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(changes) = &self.changes {
            for (letter, paths) in [('M', &changes.modified), ('D', &changes.removed), ('A', &changes.added)]
            {
                paths.iter().try_for_each(|path| writeln!(out, "{letter}    {path}"))?;
            }
        }
        if let Some(stats) = &self.stats {
            writeln!(out, "[A] Object Count: {}", stats.from_objects)?;
            writeln!(out, "[B] Object Count: {}", stats.to_objects)?;
            writeln!(out, "Common Object Count: {}", stats.common_objects)?;
            writeln!(out, "Common Object Size: {}", human::size(stats.common_bytes))?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    for side in [Some(&args.from), args.to.as_ref()].into_iter().flatten() {
        if side.starts_with(['/', '.']) {
            let hint = format!("commit it (`sapwood commit --orphan {side}`) and compare the commits");
            let message = format!("{side}: comparing with a directory is not supported");
            return Err(Advised { kind: "unsupported", message, hint }.into());
        }
    }
    let (from, to) = match &args.to {
        Some(to) => (repo.resolve(&args.from)?, repo.resolve(to)?),
        None => (repo.resolve(&format!("{}^", args.from))?, repo.resolve(&args.from)?),
    };
    let changes = (args.fs_diff || !args.stats).then(|| changes(&repo, from, to)).transpose()?;
    let stats = args.stats.then(|| stats(&repo, from, to)).transpose()?;
    Ok(Outcome { changes, stats })
}

fn changes(repo: &Repo, from: Id<Commit>, to: Id<Commit>) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    for change in diff_trees(repo, repo.root(from)?, repo.root(to)?, &DiffOptions::default())? {
        match change.kind {
            ChangeKind::Modified => changes.modified.push(change.path),
            ChangeKind::Removed => changes.removed.push(change.path),
            ChangeKind::Added => changes.added.push(change.path),
        }
    }
    // What goes with a directory that is removed is not listed.
    let mut gone: Option<String> = None;
    changes.removed.retain(|path| {
        let inside = gone
            .as_ref()
            .is_some_and(|dir| path.strip_prefix(dir.as_str()).is_some_and(|p| p.starts_with('/')));
        if !inside {
            gone = Some(path.clone());
        }
        !inside
    });
    Ok(changes)
}

/// Counts objects as OSTree does: the commit, and each object it reaches once.
fn stats(repo: &Repo, from: Id<Commit>, to: Id<Commit>) -> anyhow::Result<Stats> {
    let (from, to) = (reachable(repo, from)?, reachable(repo, to)?);
    let mut common_bytes = 0;
    let mut common_objects = 0;
    for name in from.intersection(&to) {
        common_objects += 1;
        common_bytes += repo.store().stored_size(*name)?;
    }
    Ok(Stats { from_objects: from.len(), to_objects: to.len(), common_objects, common_bytes })
}

fn reachable(repo: &Repo, commit: Id<Commit>) -> anyhow::Result<HashSet<ObjectName>> {
    let root = repo.root(commit)?;
    let mut names = HashSet::from([commit.name(), root.tree.name(), root.meta.name()]);
    for entry in repo.walk(root) {
        match entry? {
            WalkEntry::Dir { entry, .. } => names.extend([entry.tree.name(), entry.meta.name()]),
            WalkEntry::File { entry, .. } => _ = names.insert(entry.id.name()),
        }
    }
    Ok(names)
}
