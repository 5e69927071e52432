//! `rev-parse`: the ids that revisions name.

use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::Render;
use sapwood_objstore::ObjectKind;
use std::io::{self, Write};

/// Print the id of the commit that a revision names
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the repository's only commit
    #[arg(long, short = 'S')]
    single: bool,
    /// A ref, REMOTE:REF, an id, the beginning of one; each `^` behind it steps to the parent
    #[arg(value_name = "REV", required_unless_present = "single")]
    revisions: Vec<String>,
}

/// The ids, in the order asked for.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commits: Vec<String>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        self.commits.iter().try_for_each(|id| writeln!(out, "{id}"))
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    if !args.single {
        let commits = args.revisions.iter().map(|rev| repo.resolve(rev).map(|id| id.to_hex()));
        return Ok(Outcome { commits: commits.collect::<Result<_, _>>()? });
    }
    if !args.revisions.is_empty() {
        return Err(usage("Cannot specify arguments with --single"));
    }
    let mut commits = Vec::new();
    repo.store().for_each(&mut |object| {
        if object.kind == ObjectKind::Commit {
            commits.push(object.id.to_hex());
        }
        Ok(())
    })?;
    match commits.len() {
        1 => Ok(Outcome { commits }),
        0 => Err(usage("No commit objects found")),
        _ => Err(usage("Multiple commit objects found")),
    }
}
