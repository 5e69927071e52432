//! `convert`: refs and history from the one format into the other.

use crate::ctx::{Ctx, open_dir, open_parent, open_repo_at};
use crate::report::{OrUsage, Usage, usage};
use crate::ui::Render;
use crate::ui::human;
use sapwood_objstore::Mode;
use sapwood_repo::{ConvertEvent, ConvertOptions, CreateOptions, Refspec, Repo};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Convert refs and their history from a repository of the other format
///
/// The repository (--repo) is made if it is missing. Each new commit says in its metadata, under
/// sapwood.converted-from, which one it was made of; a second run converts what came since, in either direction. For
/// each commit that is converted a line with its old and its new id is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The repository of the other format
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// How a new repository keeps objects: bare, bare-user, bare-user-only, archive [default: as the other one]
    #[arg(long)]
    mode: Option<String>,
    /// The refs [default: all]
    #[arg(value_name = "REF")]
    refs: Vec<String>,
}

/// An old id and the new one.
#[derive(Debug, serde::Serialize)]
struct Pair {
    from: String,
    to: String,
}

/// A ref, and where it points in both.
#[derive(Debug, serde::Serialize)]
struct RefPair {
    name: String,
    from: String,
    to: String,
}

/// What was converted.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    format: &'static str,
    commits: Vec<Pair>,
    refs: Vec<RefPair>,
    /// Commits that have a parent in the other repository's history, but not in its store.
    shallow: Vec<String>,
    files: u64,
    bytes: u64,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        self.commits.iter().try_for_each(|pair| writeln!(out, "{} {}", pair.from, pair.to))
    }

    fn remarks(&self) -> Vec<String> {
        let Self { commits, refs, shallow, files, bytes, .. } = self;
        let mut lines = vec![format!(
            "{} commits of {} refs converted; {files} files read, {}",
            commits.len(),
            refs.len(),
            human::size(*bytes)
        )];
        let cut = |id| format!("{id} has no parent any more: the other repository does not have it whole");
        lines.extend(shallow.iter().map(cut));
        lines
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let from = open_repo_at(&args.from)?;
    let path = ctx.named_repo_path().ok_or_else(|| {
        let hint = "`--repo=PATH` says where the converted repository is, or shall be".to_owned();
        Usage::new("Command requires a --repo argument", vec![hint])
    })?;
    let names =
        args.refs.iter().map(|name| Refspec::parse(name).or_usage(|| format!("Invalid refspec {name}")));
    let options = ConvertOptions { refs: names.collect::<Result<_, _>>()?, ..ConvertOptions::default() };
    let to = open_or_create(&path, args, &from)?;
    let progress = ctx.progress();
    let on_event = |event: ConvertEvent| {
        if let ConvertEvent::Files { files, bytes } = event {
            progress.note(format!("{files} files, {}", human::size(bytes)));
        }
    };
    let done = to.convert_from(&from, &options, &on_event)?;
    let pair = |commit: &sapwood_repo::ConvertedCommit| (commit.from.to_hex(), commit.to.to_hex());
    Ok(Outcome {
        format: to.config().format.name(),
        commits: done.commits.iter().map(pair).map(|(from, to)| Pair { from, to }).collect(),
        refs: done
            .refs
            .iter()
            .map(|(name, commit)| (name.to_string(), pair(commit)))
            .map(|(name, (from, to))| RefPair { name, from, to })
            .collect(),
        shallow: done.shallow.iter().map(sapwood_objstore::Id::to_hex).collect(),
        files: done.files,
        bytes: done.bytes,
    })
}

/// The repository at the path; made, of the format that the other one has not, where nothing is.
fn open_or_create(path: &Path, args: &Args, from: &Repo) -> anyhow::Result<Repo> {
    let (parent, name) = open_parent(path)?;
    if let Some(dir) = sapwood_fsio::open_dir_optional(&parent, &name)?
        && sapwood_fsio::stat_optional(&dir, "config")?.is_some()
    {
        return open_repo_at(path);
    }
    let mode = match &args.mode {
        Some(text) => Mode::parse(text).ok_or_else(|| usage(format!("Invalid mode '{text}'")))?,
        None if from.config().mode == Mode::BareSplitXattrs => Mode::Bare,
        None => from.config().mode,
    };
    let format = from.config().format.other();
    let collection_id = from.config().collection_id.clone();
    sapwood_fsio::ensure_dir(&parent, &name, 0o775)?;
    Ok(Repo::create(&open_dir(path)?, &CreateOptions { format, mode, collection_id })?)
}
