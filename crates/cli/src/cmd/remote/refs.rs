//! `remote refs`.

use crate::connect::{self, Overrides};
use crate::ctx::Ctx;
use crate::report::{Advised, words::NO_REFS};
use crate::trust;
use crate::ui::Render;
use sapwood_transport::{PullError, remote_refs};
use std::io::{self, Write};
use std::path::PathBuf;

/// List the refs that a remote has, as its summary says
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep the summary for the next time here instead of in the repository
    #[arg(long, value_name = "PATH")]
    cache_dir: Option<PathBuf>,
    /// List also the commit that each points to
    #[arg(long, short = 'r')]
    revision: bool,
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
}

/// The refs.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    remote: String,
    refs: Vec<Ref>,
    #[serde(skip)]
    revision: bool,
}

#[derive(Debug, serde::Serialize)]
struct Ref {
    name: String,
    commit: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for Ref { name, commit } in &self.refs {
            write!(out, "{}:{name}", self.remote)?;
            if self.revision { writeln!(out, "\t{commit}")? } else { writeln!(out)? }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let configured = repo.remote(&args.name)?;
    let terms = trust::terms(&repo, &configured, args.cache_dir.as_deref())?;
    let remote = connect::source(&repo, &configured, &Overrides::default())?.into_files()?;
    let (format, cache) = (repo.store().format(), terms.summary_cache.as_ref());
    let refs = remote_refs(&*remote, format, &terms.policy, terms.freshness.as_ref(), cache);
    let refs = connect::runtime()?.block_on(refs).map_err(|error| match error {
        PullError::NoSummary { .. } => {
            let hint = "`sapwood summary --update` makes one on the server".to_owned();
            Advised { kind: "no-summary", message: NO_REFS.to_owned(), hint }.into()
        }
        error => anyhow::Error::from(error),
    })?;
    let refs = refs.into_iter().map(|(name, id)| Ref { name: name.to_string(), commit: id.to_hex() });
    Ok(Outcome { remote: args.name.clone(), refs: refs.collect(), revision: args.revision })
}
