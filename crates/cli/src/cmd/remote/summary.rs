//! `remote summary`.

use crate::cmd::summary::{Outcome, Shown};
use crate::connect::{self, Overrides, Source};
use crate::ctx::Ctx;
use crate::report::usage;
use crate::trust::{self, Asked};
use sapwood_transport::remote_summary;

/// View the summary of a remote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let format = repo.store().format();
    let configured = repo.remote(&args.name)?;
    let policy = trust::policy(&repo, &configured, Asked::default())?;
    let remote = match connect::source(&repo, &configured, &Overrides::default())? {
        Source::Files(remote) => remote,
        Source::Local(path) => connect::as_files(&path)?,
    };
    let summary = connect::runtime()?.block_on(remote_summary(&*remote, format, &policy))?;
    let (summary, _) = summary.ok_or_else(|| usage("Remote server has no summary file"))?;
    Ok(Outcome { summary, format, shown: Shown::Readable })
}
