//! `export`: a tree as a tar archive.

use crate::ctx::{Ctx, open_parent};
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_fsio::{At as _, Staged};
use sapwood_repo::{ExportOptions, TreePath};
use std::io::{self, Write};
use std::path::PathBuf;

/// Write the tree of a commit as a tar archive
///
/// The same commit gives the same bytes. Extended attributes are in pax headers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave extended attributes out
    #[arg(long)]
    no_xattrs: bool,
    /// The directory that becomes the top of the archive
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// What paths in the archive begin with
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// The file that is written [default: standard output]
    #[arg(long, short = 'o', value_name = "PATH")]
    output: Option<PathBuf>,
    /// The commit
    #[arg(value_name = "COMMIT")]
    commit: String,
}

/// The archive is the output.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commit: String,
    output: Option<PathBuf>,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let commit = repo.resolve(&args.commit)?;
    let options = ExportOptions {
        subpath: args.subpath.as_deref().map(TreePath::parse).transpose()?,
        prefix: args.prefix.clone().unwrap_or_default(),
        no_xattrs: args.no_xattrs,
    };
    match &args.output {
        None => repo.export(commit, &mut io::stdout().lock(), &options)?,
        // What is no regular file, such as a pipe, is written to, not replaced.
        Some(path) if path.exists() && !path.is_file() => {
            let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
            repo.export(commit, &mut file, &options)?;
        }
        Some(path) => {
            let (dir, name) = open_parent(path)?;
            let mut staged =
                Staged::create(&dir).with_context(|| format!("cannot write {}", path.display()))?;
            repo.export(commit, &mut staged, &options)?;
            staged.flush().at("write", path)?;
            sapwood_fsio::set_mode(staged.file(), 0o644)?;
            staged.publish(&dir, name)?;
        }
    }
    Ok(Outcome { commit: commit.to_hex(), output: args.output.clone() })
}
