//! `remote summary`.

use crate::cmd::summary;
use crate::connect::{self, Overrides};
use crate::ctx::Ctx;
use crate::report::usage;
use crate::trust;
use crate::ui::Render;
use sapwood_repo::sign::gpg::METADATA_KEY;
use sapwood_repo::sign::signatures;
use sapwood_repo::{Remote, Repo};
use sapwood_transport::{RemoteSummary, remote_summary};
use serde::Serialize;
use serde::ser::Serializer;
use std::io::{self, Write};
use std::path::PathBuf;

/// View the summary of a remote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep the summary for the next time here instead of in the repository
    #[arg(long, value_name = "PATH")]
    cache_dir: Option<PathBuf>,
    /// List the keys of what it says about the repository
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print what it says under this key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// View it as the GVariant it is in OSTree's format
    #[arg(long)]
    raw: bool,
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
}

/// The summary, and what is to be said of its GPG signatures.
#[derive(Debug)]
pub(crate) struct Outcome {
    summary: summary::Outcome,
    signatures: Option<Vec<Vec<String>>>,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary.serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        self.summary.render(out)?;
        let Some(signatures) = &self.signatures else { return Ok(()) };
        let plural = if signatures.len() == 1 { "" } else { "s" };
        writeln!(out, "\nGPG: Verification enabled, found {} signature{plural}:", signatures.len())?;
        for lines in signatures {
            writeln!(out)?;
            lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let format = repo.store().format();
    let configured = repo.remote(&args.name)?;
    let terms = trust::terms(&repo, &configured, args.cache_dir.as_deref())?;
    let remote = connect::source(&repo, &configured, &Overrides::default())?.into_files()?;
    let (fresh, cache) = (terms.freshness.as_ref(), terms.summary_cache.as_ref());
    let found =
        connect::runtime()?.block_on(remote_summary(&*remote, format, &terms.policy, fresh, cache))?;
    let found = found.ok_or_else(|| usage("Remote server has no summary file"))?;
    let shown = summary::shown(args.print_metadata_key.as_deref(), args.list_metadata_keys, args.raw, true);
    let signatures = match shown {
        summary::Shown::Readable => gpg_signatures(&repo, &configured, &found)?,
        _ => None,
    };
    let summary = summary::Outcome { summary: found.summary, format, shown };
    summary.check_key()?;
    Ok(Outcome { summary, signatures })
}

/// What is to be said of the GPG signatures, if the remote must have some.
fn gpg_signatures(
    repo: &Repo,
    configured: &Remote,
    found: &RemoteSummary,
) -> anyhow::Result<Option<Vec<Vec<String>>>> {
    let Some(file) = found.signatures.as_ref().filter(|_| configured.flag("gpg-verify-summary", false))
    else {
        return Ok(None);
    };
    let keyring = trust::keyring(repo, configured)?;
    let beside = repo.store().format().decode_metadata(file).unwrap_or_default();
    let blobs = signatures(&beside, METADATA_KEY).iter();
    let reports = blobs.flat_map(|blob| keyring.verify(&found.bytes, blob));
    Ok(Some(reports.map(|report| report.lines()).collect()))
}
