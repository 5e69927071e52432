//! `diff`: what differs between two trees.

use crate::ctx::{Ctx, open_dir};
use crate::report::usage;
use crate::ui::{Render, human};
use sapwood_fsio::Dir;
use sapwood_objstore::{Commit, Id, ObjectName};
use sapwood_repo::{ChangeKind, DiffOptions, DiffSide, Download, Modifiers, Repo, WalkEntry, diff_trees};
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

/// List what differs between two commits, or between one and a directory
///
/// What begins with / or ./ is a directory. With one revision it is compared with its parent.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Count the objects of each and those they share
    #[arg(long)]
    stats: bool,
    /// List the differing files even with --stats
    #[arg(long)]
    fs_diff: bool,
    /// Count what a client that has the first would download for the second
    #[arg(long)]
    download: bool,
    /// Leave out the extended attributes of what is in directories
    #[arg(long)]
    no_xattrs: bool,
    /// Owner of everything in directories
    #[arg(long, value_name = "UID", allow_hyphen_values = true)]
    owner_uid: Option<i64>,
    /// Group of everything in directories
    #[arg(long, value_name = "GID", allow_hyphen_values = true)]
    owner_gid: Option<i64>,
    /// The commit or directory before, or the only commit
    #[arg(value_name = "REV_OR_DIR")]
    from: String,
    /// The commit or directory after
    #[arg(value_name = "REV_OR_DIR")]
    to: Option<String>,
}

/// The differences.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Changes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<DownloadSize>,
}

#[derive(Debug, Default, serde::Serialize)]
struct Changes {
    modified: Vec<String>,
    removed: Vec<String>,
    added: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Stats {
    from_objects: usize,
    to_objects: usize,
    common_objects: usize,
    common_bytes: u64,
}

/// What a client that has the first would fetch for the second.
#[derive(Debug, serde::Serialize)]
struct DownloadSize {
    objects: u64,
    bytes: u64,
    /// Files that count with all of their content, since nobody knows how far it can be compressed.
    uncompressed_files: u64,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(changes) = &self.changes {
            for (letter, paths) in [('M', &changes.modified), ('D', &changes.removed), ('A', &changes.added)]
            {
                paths.iter().try_for_each(|path| writeln!(out, "{letter}    {path}"))?;
            }
        }
        if let Some(stats) = &self.stats {
            writeln!(out, "[A] Object Count: {}", stats.from_objects)?;
            writeln!(out, "[B] Object Count: {}", stats.to_objects)?;
            writeln!(out, "Common Object Count: {}", stats.common_objects)?;
            writeln!(out, "Common Object Size: {}", human::size(stats.common_bytes))?;
        }
        if let Some(download) = &self.download {
            writeln!(out, "Download Object Count: {}", download.objects)?;
            let most = if download.uncompressed_files > 0 { "at most " } else { "" };
            writeln!(out, "Download Size: {most}{}", human::size(download.bytes))?;
        }
        Ok(())
    }
}

/// One of the two that are compared.
enum Side {
    Commit(Id<Commit>),
    Dir(Dir),
}

impl Side {
    /// As in OSTree, a directory is what begins with `/` or `./`.
    fn parse(repo: &Repo, text: &str) -> anyhow::Result<Self> {
        if text.starts_with('/') || text.starts_with("./") {
            return Ok(Self::Dir(open_dir(Path::new(text))?));
        }
        Ok(Self::Commit(repo.resolve(text)?))
    }

    fn tree(&self, repo: &Repo) -> anyhow::Result<DiffSide<'_>> {
        Ok(match self {
            Self::Commit(commit) => repo.root(*commit)?.into(),
            Self::Dir(dir) => dir.into(),
        })
    }

    fn commit(&self) -> anyhow::Result<Id<Commit>> {
        match self {
            Self::Commit(commit) => Ok(*commit),
            Self::Dir(_) => {
                Err(usage("objects can be counted of commits alone, and one side is a directory"))
            }
        }
    }

    /// A path as it is shown: OSTree begins those in directories without a slash.
    fn shown(&self, path: String) -> String {
        match self {
            Self::Commit(_) => path,
            Self::Dir(_) => path.trim_start_matches('/').to_owned(),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let (from, to) = if let Some(to) = &args.to {
        (Side::parse(&repo, &args.from)?, Side::parse(&repo, to)?)
    } else {
        let parent = repo.resolve(&format!("{}^", args.from))?;
        (Side::Commit(parent), Side::Commit(repo.resolve(&args.from)?))
    };
    let stats = args.stats.then(|| stats(&repo, from.commit()?, to.commit()?)).transpose()?;
    let download = args.download.then(|| -> anyhow::Result<_> {
        let download = repo.download_between(from.commit()?, to.commit()?)?;
        let Download { objects, bytes, uncompressed } = download;
        Ok(DownloadSize { objects, bytes, uncompressed_files: uncompressed })
    });
    let download = download.transpose()?;
    let lists = args.fs_diff || !(args.stats || args.download);
    let changes = lists.then(|| changes(args, &repo, &from, &to)).transpose()?;
    Ok(Outcome { changes, stats, download })
}

fn changes(args: &Args, repo: &Repo, from: &Side, to: &Side) -> anyhow::Result<Changes> {
    let owner = |id: i64| u32::try_from(id).ok();
    let disk = Modifiers {
        owner_uid: args.owner_uid.and_then(owner),
        owner_gid: args.owner_gid.and_then(owner),
        no_xattrs: args.no_xattrs,
        ..Modifiers::default()
    };
    let options = DiffOptions { disk, ..DiffOptions::default() };
    let mut changes = Changes::default();
    for change in diff_trees(repo, from.tree(repo)?, to.tree(repo)?, &options)? {
        match change.kind {
            // OSTree does not compare the top directories.
            ChangeKind::Modified if change.path == "/" => {}
            ChangeKind::Modified => changes.modified.push(from.shown(change.path)),
            ChangeKind::Removed => changes.removed.push(from.shown(change.path)),
            ChangeKind::Added => changes.added.push(to.shown(change.path)),
        }
    }
    Ok(changes)
}

/// Counts objects as OSTree does: the commit, and each object it reaches once.
fn stats(repo: &Repo, from: Id<Commit>, to: Id<Commit>) -> anyhow::Result<Stats> {
    let (from, to) = (reachable(repo, from)?, reachable(repo, to)?);
    let mut common_bytes = 0;
    let mut common_objects = 0;
    for name in from.intersection(&to) {
        common_objects += 1;
        common_bytes += repo.store().stored_size(*name)?;
    }
    Ok(Stats { from_objects: from.len(), to_objects: to.len(), common_objects, common_bytes })
}

fn reachable(repo: &Repo, commit: Id<Commit>) -> anyhow::Result<HashSet<ObjectName>> {
    let root = repo.root(commit)?;
    let mut names = HashSet::from([commit.name(), root.tree.name(), root.meta.name()]);
    for entry in repo.walk(root) {
        match entry? {
            WalkEntry::Dir { entry, .. } => names.extend([entry.tree.name(), entry.meta.name()]),
            WalkEntry::File { entry, .. } => _ = names.insert(entry.id.name()),
        }
    }
    Ok(names)
}
