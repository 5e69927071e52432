//! `prune`: deletes what nothing needs.

use crate::ctx::Ctx;
use crate::report::{OrUsage, usage};
use crate::time;
use crate::ui::{Render, human};
use sapwood_objstore::{Id, ObjectId};
use sapwood_repo::{PruneEvent, PruneOptions, PruneScope, Pruned, Refspec, Repo};
use std::io::{self, Write};
use std::time::Duration;

/// Delete objects that nothing needs
///
/// Without options every commit that is stored keeps what it reaches; with --refs-only refs and their history alone do.
///
/// Others can commit, pull and set refs meanwhile: they wait only while objects are being deleted, about a second at a
/// time, and nothing goes that they came to need.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    no_prune: bool,
    /// Keep only what refs reach
    #[arg(long)]
    refs_only: bool,
    /// How many parents of each ref's commit are kept; -1 is all
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    depth: i64,
    /// Delete this commit first
    #[arg(long, value_name = "COMMIT")]
    delete_commit: Option<String>,
    /// Keep commits that are younger, and those of refs
    #[arg(long, value_name = "DATE")]
    keep_younger_than: Option<String>,
    /// With --delete-commit: keep the commit, and delete the static deltas that lead to it
    #[arg(long)]
    static_deltas_only: bool,
    /// How many parents of this branch's commit are kept, whatever else is said; -1 is all, 0 is no different from not
    /// naming it
    #[arg(long, value_name = "BRANCH=DEPTH")]
    retain_branch_depth: Vec<String>,
    /// Shorten the history of this branch alone
    #[arg(long, value_name = "BRANCH")]
    only_branch: Vec<String>,
    /// Look at commits only; what they leave behind is for another prune
    #[arg(long)]
    commit_only: bool,
    /// Keep what was stored less than this many seconds ago, though no ref leads to it yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    grace: u64,
}

/// What was deleted, or would be.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    applied: bool,
    commit_only: bool,
    total_objects: u64,
    deleted_objects: u64,
    deleted_commits: u64,
    freed_bytes: u64,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { deleted_objects: objects, freed_bytes, .. } = self;
        let size = human::size(*freed_bytes);
        let what = if self.commit_only { " (commit only)" } else { "" };
        writeln!(out, "Total{what} objects: {}", self.total_objects)?;
        match (objects, self.applied) {
            (0, _) => writeln!(out, "No unreachable objects"),
            (_, true) => writeln!(out, "Deleted {objects} objects, {size} freed"),
            (_, false) => writeln!(out, "Would delete: {objects} objects, freeing {size}"),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    if args.no_prune && args.delete_commit.is_some() {
        return Err(usage("Cannot specify both --delete-commit and --no-prune"));
    }
    if args.static_deltas_only && args.delete_commit.is_none() {
        return Err(usage(
            "--static-deltas-only requires --delete-commit; see https://github.com/ostreedev/ostree/issues/1479",
        ));
    }
    let mut repo = ctx.open_repo()?;
    let options = options(args, &repo)?;
    if let Some(text) = &args.delete_commit {
        let id = ObjectId::from_hex(text)
            .or_usage(|| format!("Invalid commit '{text}': the whole id is needed"))?;
        if args.static_deltas_only {
            repo.delete_deltas_to(Id::new(id))?;
        } else {
            repo.delete_commit(Id::new(id))?;
        }
    }
    let progress = ctx.progress();
    progress.note("looking for what is needed".to_owned());
    let plan = repo.plan_prune(&options, &|_| ())?;
    let planned = plan.summary();
    let on_event = |event: PruneEvent| match event {
        PruneEvent::Deleted { objects } => {
            progress.count("deleting objects", objects, planned.deleted_objects);
        }
        PruneEvent::Paused => progress.note("letting others go on".to_owned()),
        _ => {}
    };
    let pruned: Pruned = if args.no_prune { planned } else { plan.apply(&on_event)? };
    Ok(Outcome {
        applied: !args.no_prune,
        commit_only: args.commit_only,
        total_objects: pruned.total_objects,
        deleted_objects: pruned.deleted_objects,
        deleted_commits: pruned.deleted_commits,
        freed_bytes: pruned.freed_bytes,
    })
}

fn options(args: &Args, repo: &Repo) -> anyhow::Result<PruneOptions> {
    let keep_younger_than = match &args.keep_younger_than {
        Some(text) => Some(time::parse(text)?.cast_signed()),
        None => None,
    };
    let mut options = PruneOptions {
        depth: depth(args.depth)?,
        refs_only: args.refs_only,
        keep_younger_than,
        grace: Duration::from_secs(args.grace),
        scope: if args.commit_only { PruneScope::Commits } else { PruneScope::Everything },
        ..Default::default()
    };
    let mut named = Vec::new();
    for text in &args.retain_branch_depth {
        let (branch, count) = text
            .split_once('=')
            .ok_or_else(|| usage(format!("Invalid value {text}, must specify BRANCH=DEPTH")))?;
        let count: i64 = count.parse().or_usage(|| format!("Invalid depth {count}"))?;
        options.refs_only = true;
        let Ok(branch) = Refspec::parse(branch) else { continue };
        if count == 0 {
            // As OSTree has it, such a branch goes by the other options.
            named.push(branch);
        } else {
            options.branch_depths.insert(branch, depth(count)?);
        }
    }
    for text in &args.only_branch {
        let unknown = || sapwood_repo::Error::UnknownRevision { text: text.clone() };
        let branch = Refspec::parse(text).ok().ok_or_else(unknown)?;
        if repo.ref_target(&branch)?.is_none() {
            return Err(unknown().into());
        }
        options.only_branches.insert(branch);
    }
    if !options.only_branches.is_empty() {
        options.only_branches.extend(named);
    }
    Ok(options)
}

/// How many parents; a negative number is all.
fn depth(number: i64) -> anyhow::Result<Option<u32>> {
    match number {
        ..0 => Ok(None),
        number => Ok(Some(u32::try_from(number).or_usage(|| format!("--depth {number} is too large"))?)),
    }
}
