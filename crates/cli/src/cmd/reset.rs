//! `reset`: moves a ref back.

use crate::ctx::Ctx;
use crate::report::{OrUsage, usage};
use crate::ui::Render;
use sapwood_repo::{Expected, RefEdit, Refspec};
use std::io::{self, Write};

/// Move a ref to another commit
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ref
    #[arg(value_name = "REF")]
    name: String,
    /// Where it shall point to
    #[arg(value_name = "COMMIT")]
    commit: String,
}

/// The ref and where it points now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    name: String,
    old: String,
    new: String,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let name = Refspec::parse(&args.name).or_usage(|| format!("Invalid refspec {}", args.name))?;
    let old = repo.ref_target(&name)?.ok_or_else(|| usage(format!("Invalid ref '{}'", args.name)))?;
    let new = repo.resolve(&args.commit)?;
    repo.store().load(new)?;
    repo.edit_refs(vec![RefEdit::Set { name, expected: Expected::At(old), target: new }])?;
    Ok(Outcome { name: args.name.clone(), old: old.to_hex(), new: new.to_hex() })
}
