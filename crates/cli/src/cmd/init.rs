//! `init`: makes an empty repository.

use crate::args::Persona;
use crate::ctx::{Ctx, open_parent};
use crate::report::{OrUsage, Usage};
use crate::ui::Render;
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{CollectionId, CreateOptions, Repo};
use std::io::{self, Write};
use std::path::PathBuf;

/// Make an empty repository
///
/// The directory is made if it is missing; a repository that is there already stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How objects are kept: bare, bare-user, bare-user-only, archive
    #[arg(long, default_value = "bare")]
    mode: String,
    /// Its format: native (the default of `sapwood`) or ostree (that of `ostree`)
    #[arg(long, value_parser = ["native", "ostree"])]
    format: Option<String>,
    /// Globally unique id of this repository as a collection of refs
    #[arg(long, value_name = "COLLECTION-ID")]
    collection_id: Option<String>,
    /// Where, if there is no --repo
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
}

/// The repository that is there now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    repo: PathBuf,
    format: &'static str,
    mode: &'static str,
    created: bool,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let hint = || vec!["`--repo=PATH` says where it shall be".to_owned()];
    let path = ctx
        .repo_option()
        .or_else(|| args.path.clone())
        .or_else(|| ctx.named_repo_path())
        .ok_or_else(|| Usage::new("Command requires a --repo argument", hint()))?;
    let mode = Mode::parse(&args.mode).ok_or_else(|| {
        let hint = "the modes are bare, bare-user, bare-user-only and archive".to_owned();
        Usage::new(format!("Invalid mode '{}'", args.mode), vec![hint])
    })?;
    let collection_id = match &args.collection_id {
        Some(id) => Some(CollectionId::new(id).or_usage(|| format!("Invalid collection ID {id}"))?),
        None => None,
    };
    let format = match (args.format.as_deref(), ctx.persona) {
        (Some("native"), _) | (None, Persona::Sapwood) => Format::Native,
        _ => Format::Ostree,
    };
    let (parent, name) = open_parent(&path)?;
    let dir = sapwood_fsio::ensure_dir(&parent, &name, 0o775)?;
    let created = sapwood_fsio::stat_optional(&dir, "objects")?.is_none();
    let repo = Repo::create(&dir, &CreateOptions { format, mode, collection_id })?;
    let format = if repo.config().format == Format::Native { "native" } else { "ostree" };
    Ok(Outcome { repo: path, format, mode: repo.config().mode.as_str(), created })
}
