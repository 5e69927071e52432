//! `prune`: deletes what nothing needs.

use crate::ctx::Ctx;
use crate::report::{OrUsage, usage};
use crate::time;
use crate::ui::{Render, human};
use sapwood_objstore::{Id, ObjectId};
use sapwood_repo::{PruneOptions, Pruned};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Delete objects that nothing needs
///
/// Without options every commit that is stored keeps what it reaches; with --refs-only refs and their history alone do.
#[derive(Debug, clap::Args)]
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
}

/// What was deleted, or would be.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    applied: bool,
    total_objects: u64,
    deleted_objects: u64,
    deleted_commits: u64,
    freed_bytes: u64,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { deleted_objects: objects, freed_bytes, .. } = self;
        let size = human::size(*freed_bytes);
        writeln!(out, "Total objects: {}", self.total_objects)?;
        match (objects, self.applied) {
            (0, _) => writeln!(out, "No unreachable objects"),
            (_, true) => writeln!(out, "Deleted {objects} objects, {size} freed"),
            (_, false) => writeln!(out, "Would delete: {objects} objects, freeing {size}"),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut repo = ctx.open_repo()?;
    // As OSTree does, so that those who pull can tell what was deleted from what is missing.
    if !args.no_prune
        && (args.delete_commit.is_some() || args.keep_younger_than.is_some())
        && !repo.config().tombstones
    {
        repo.edit_config(|file| _ = file.set("core", "tombstone-commits", "true"))?;
    }
    if let Some(text) = &args.delete_commit {
        if args.no_prune {
            return Err(usage("Cannot specify both --delete-commit and --no-prune"));
        }
        let id = ObjectId::from_hex(text)
            .or_usage(|| format!("Invalid commit '{text}': the whole id is needed"))?;
        repo.delete_commit(Id::new(id))?;
    }
    let keep_younger_than = match &args.keep_younger_than {
        Some(text) => Some(SystemTime::UNIX_EPOCH + Duration::from_secs(time::parse(text)?)),
        None => None,
    };
    let depth = match args.depth {
        ..0 => None,
        depth => Some(u32::try_from(depth).or_usage(|| format!("--depth {depth} is too large"))?),
    };
    let plan = repo.plan_prune(&PruneOptions { depth, refs_only: args.refs_only, keep_younger_than })?;
    let pruned: Pruned = if args.no_prune { plan.summary() } else { plan.apply()? };
    Ok(Outcome {
        applied: !args.no_prune,
        total_objects: pruned.total_objects,
        deleted_objects: pruned.deleted_objects,
        deleted_commits: pruned.deleted_commits,
        freed_bytes: pruned.freed_bytes,
    })
}
