//! `export`: a tree as a tar archive.

use crate::ctx::{Ctx, open_parent};
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_fsio::{At as _, Staged};
use sapwood_repo::{ExportOptions, TreePath};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

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

/// Has a file written: beside the one that is there and into its place with its mode, else with that of any new file. Links
/// lead to the file.
fn write_to(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    // What is no regular file, such as a pipe, is written to, not replaced; nor is a link that leads nowhere yet.
    if !path.is_file() && (path.exists() || path.is_symlink()) {
        let mut file =
            File::options().write(true).create(true).truncate(false).open(path).with_context(context)?;
        return write(&mut file);
    }
    let old = path.metadata().ok();
    let target = if old.is_some() { path.canonicalize().with_context(context)? } else { path.to_owned() };
    let (dir, name) = open_parent(&target)?;
    let mut staged = if old.is_some() { Staged::create(&dir) } else { Staged::create_for_all(&dir) }
        .with_context(context)?;
    write(&mut staged)?;
    staged.flush().at("write", path)?;
    if let Some(old) = old {
        sapwood_fsio::set_mode(staged.file(), old.permissions().mode() & 0o777)?;
    }
    Ok(staged.publish(&dir, name)?)
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
        Some(path) => write_to(path, &mut |out| Ok(repo.export(commit, out, &options)?))?,
    }
    Ok(Outcome { commit: commit.to_hex(), output: args.output.clone() })
}
