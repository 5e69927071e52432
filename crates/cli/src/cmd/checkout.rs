//! `checkout`: the files of a commit, as a directory.

use crate::ctx::{Ctx, open_parent};
use crate::report::usage;
use crate::ui::Render;
use sapwood_fsio::Dir;
use sapwood_objstore::LinkPolicy;
use sapwood_repo::{
    Checkout, CheckoutEvent, CheckoutOptions, CheckoutStats, Node, Overwrite, Ownership, Repo, Root, TreePath,
};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Write the files of a commit into a directory
///
/// Files are hardlinked to the repository where its mode allows it, else they share their blocks, else they are copied.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Leave owners and extended attributes out
    #[arg(long, short = 'U')]
    user_mode: bool,
    /// Fail rather than copy where a file cannot be hardlinked
    #[arg(long, short = 'H', conflicts_with = "force_copy")]
    require_hardlinks: bool,
    /// Never hardlink
    #[arg(long, short = 'C')]
    force_copy: bool,
    /// Copy empty files, which this program always does
    #[arg(long, short = 'z')]
    force_copy_zerosized: bool,
    /// Write only this directory or file
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// Keep directories that are there, replace files
    #[arg(long, conflicts_with_all = ["union_add", "union_identical"])]
    union: bool,
    /// Keep directories and files that are there
    #[arg(long, conflicts_with = "union_identical")]
    union_add: bool,
    /// Keep files that are the same, fail at others; needs --require-hardlinks
    #[arg(long)]
    union_identical: bool,
    /// Make character devices 0:0 of entries named .ostree-wh.NAME
    #[arg(long)]
    process_passthrough_whiteouts: bool,
    /// Limit modes of directories to 0775
    #[arg(long, short = 'M')]
    bareuseronly_dirs: bool,
    /// Do nothing if the subpath does not exist
    #[arg(long)]
    allow_noent: bool,
    /// Whether files are synced to the disk before the command ends
    #[arg(long, value_name = "POLICY")]
    fsync: Option<String>,
    /// Do not use a cache of uncompressed files, which this program never does
    #[arg(long)]
    disable_cache: bool,
    /// The commit
    #[arg(value_name = "COMMIT")]
    revision: String,
    /// The directory; named as the commit if missing
    #[arg(value_name = "DESTINATION")]
    destination: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commit: String,
    destination: PathBuf,
    linked: u64,
    reflinked: u64,
    copied: u64,
    dirs: u64,
    kept: u64,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    if args.union_identical && !args.require_hardlinks {
        return Err(usage("--union-identical requires --require-hardlinks"));
    }
    let options = CheckoutOptions {
        ownership: if args.user_mode { Ownership::User } else { Ownership::Full },
        overwrite: match (args.union, args.union_add, args.union_identical) {
            (true, ..) => Overwrite::UnionFiles,
            (_, true, _) => Overwrite::AddFiles,
            (.., true) => Overwrite::UnionIdentical,
            _ => Overwrite::Refuse,
        },
        links: match (args.require_hardlinks, args.force_copy) {
            (true, _) => LinkPolicy::Require,
            (_, true) => LinkPolicy::Copy,
            _ => LinkPolicy::Prefer,
        },
        fsync: args.fsync.as_deref().map(boolean).transpose()?.unwrap_or(false),
        passthrough_whiteouts: args.process_passthrough_whiteouts,
        ..CheckoutOptions::default()
    };
    let repo = ctx.open_repo()?;
    let commit = repo.resolve(&args.revision)?;
    let root = repo.root(commit)?;
    let subpath = args.subpath.as_deref().map(TreePath::parse).transpose()?;
    let destination = args.destination.clone().unwrap_or_else(|| PathBuf::from(&args.revision));
    let outcome = |stats: CheckoutStats| Outcome {
        commit: commit.to_hex(),
        destination: destination.clone(),
        linked: stats.linked,
        reflinked: stats.reflinked,
        copied: stats.copied,
        dirs: stats.dirs,
        kept: stats.kept,
    };
    if args.allow_noent && !exists(&repo, root, subpath.as_ref())? {
        return Ok(outcome(CheckoutStats::default()));
    }
    let (parent, name) = open_parent(&destination)?;
    let progress = ctx.progress();
    let on_event = |event: CheckoutEvent| {
        if let CheckoutEvent::Files { files } = event {
            progress.note(format!("{files} files written"));
        }
    };
    let from = Checkout { root, subpath: subpath.as_ref() };
    let stats = repo.checkout(&from, &parent, Path::new(&name), &options, &on_event)?;
    if args.bareuseronly_dirs {
        limit_modes(&parent, &name)?;
    }
    Ok(outcome(stats))
}

/// Whether the tree has something at the path.
fn exists(repo: &Repo, root: Root, path: Option<&TreePath>) -> anyhow::Result<bool> {
    let Some(path) = path else { return Ok(true) };
    match repo.lookup(root, path) {
        Ok(Node::Dir(_) | Node::File(_)) => Ok(true),
        Err(sapwood_repo::Error::NoSuchPath { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes from a directory and those below it the bits beyond 0775.
fn limit_modes(parent: &Dir, name: &OsStr) -> anyhow::Result<()> {
    let dir = sapwood_fsio::open_dir(parent, name)?;
    let mode = sapwood_fsio::stat_dir(&dir)?.mode & 0o7777;
    if mode & !0o775 != 0 {
        sapwood_fsio::set_mode_of(parent, name, mode & 0o775)?;
    }
    for entry in sapwood_fsio::entries(&dir)? {
        if entry.kind == sapwood_fsio::Kind::Dir {
            limit_modes(&dir, &entry.name)?;
        }
    }
    Ok(())
}

/// Reads a yes or no as OSTree spells it.
pub(super) fn boolean(text: &str) -> anyhow::Result<bool> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "none" => Ok(false),
        _ => Err(usage(format!("Invalid boolean argument '{text}'"))),
    }
}
