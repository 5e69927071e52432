//! `checkout`: the files of a commit, as a directory.

use crate::ctx::{Ctx, open_dir, open_parent, read_file};
use crate::report::usage;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_objstore::{Commit, Id, LinkPolicy};
use sapwood_repo::selinux::{LabelEpoch, Labels, Policy};
use sapwood_repo::{
    Checkout, CheckoutEvent, CheckoutOptions, CheckoutStats, Node, Overwrite, Ownership, Repo, Root, TreePath,
};
use std::collections::HashSet;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    #[arg(long, value_name = "PATH", conflicts_with_all = ["from_stdin", "from_file"])]
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
    /// Let entries .wh.NAME remove NAME of what was there before, and .wh..wh..opq all of it
    #[arg(long)]
    whiteouts: bool,
    /// Make character devices 0:0 of entries named .ostree-wh.NAME
    #[arg(long)]
    process_passthrough_whiteouts: bool,
    /// Limit modes of directories to 0775
    #[arg(long, short = 'M')]
    bareuseronly_dirs: bool,
    /// Do nothing if the subpath does not exist
    #[arg(long)]
    allow_noent: bool,
    /// Read from standard input what to write: COMMIT, NUL, path in it, NUL, and so on; the one argument is the directory
    #[arg(long)]
    from_stdin: bool,
    /// As --from-stdin, from a file
    #[arg(long, value_name = "FILE", conflicts_with = "from_stdin")]
    from_file: Option<PathBuf>,
    /// Leave out the paths listed in this file, one a line, each from the top of what is written on, with a slash first;
    /// directories with one at the end too
    #[arg(long, value_name = "FILE")]
    skip_list: Option<PathBuf>,
    /// Set SELinux labels, by the policy of the root file system PATH; implies --force-copy
    #[arg(long, value_name = "PATH", conflicts_with = "require_hardlinks")]
    selinux_policy: Option<PathBuf>,
    /// What stands before each path when its label is looked up
    #[arg(long, value_name = "PREFIX", requires = "selinux_policy")]
    selinux_prefix: Option<String>,
    /// Whether files are synced to the disk before the command ends
    #[arg(long, value_name = "POLICY")]
    fsync: Option<String>,
    /// Neither use nor extend the cache of uncompressed files of an archive repository
    #[arg(long)]
    disable_cache: bool,
    /// The commit
    #[arg(value_name = "COMMIT")]
    revision: Option<String>,
    /// The directory; named as the commit if missing
    #[arg(value_name = "DESTINATION", conflicts_with_all = ["from_stdin", "from_file"])]
    destination: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commits: Vec<String>,
    destination: PathBuf,
    linked: u64,
    reflinked: u64,
    copied: u64,
    dirs: u64,
    kept: u64,
}

impl Outcome {
    fn add(&mut self, commit: Id<Commit>, stats: CheckoutStats) {
        self.commits.push(commit.to_hex());
        self.linked += stats.linked;
        self.reflinked += stats.reflinked;
        self.copied += stats.copied;
        self.dirs += stats.dirs;
        self.kept += stats.kept;
    }
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
    let Some(revision) = &args.revision else { return Err(usage("COMMIT must be specified")) };
    let options = options(args)?;
    let repo = ctx.open_repo()?;
    let destination = args.destination.clone().unwrap_or_else(|| PathBuf::from(revision));
    let outcome =
        Outcome { commits: Vec::new(), destination, linked: 0, reflinked: 0, copied: 0, dirs: 0, kept: 0 };
    let mut job = Job { args, ctx, repo: &repo, options, outcome };
    let Some(list) = list(args)? else {
        job.one(repo.resolve(revision)?, args.subpath.as_deref())?;
        return Ok(job.outcome);
    };
    for (revision, subpath) in list {
        let commit = repo.resolve(&revision)?;
        job.one(commit, Some(&subpath)).with_context(|| format!("Processing tree {commit}"))?;
    }
    Ok(job.outcome)
}

fn options(args: &Args) -> anyhow::Result<CheckoutOptions> {
    let skip = match &args.skip_list {
        Some(path) => String::from_utf8(read_file(path, MAX_LIST_BYTES)?)
            .with_context(|| format!("{} is not UTF-8", path.display()))?
            .lines()
            .map(str::to_owned)
            .collect(),
        None => HashSet::new(),
    };
    Ok(CheckoutOptions {
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
        labels: args.selinux_policy.as_deref().map(|path| labels(path, args)).transpose()?.flatten(),
        fsync: args.fsync.as_deref().map(boolean).transpose()?.unwrap_or(false),
        zero_dir_mtime: !args.force_copy && args.selinux_policy.is_none(),
        limit_dir_modes: args.bareuseronly_dirs,
        skip,
        whiteouts: args.whiteouts,
        passthrough_whiteouts: args.process_passthrough_whiteouts,
        use_cache: !args.disable_cache,
        ..CheckoutOptions::default()
    })
}

/// `None` where the root file system has no policy.
fn labels(path: &Path, args: &Args) -> anyhow::Result<Option<Labels>> {
    let policy =
        Policy::of_dir(&open_dir(path)?).with_context(|| format!("selinux-policy: {}", path.display()))?;
    let prefix = args.selinux_prefix.clone().unwrap_or_default();
    Ok(policy.map(|policy| Labels { policy: Arc::new(policy), epoch: LabelEpoch::Zero, prefix }))
}

/// Largest list that is read.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// The trees that a list names: revisions, each with a path in it. A path that is missing or empty is the root.
fn list(args: &Args) -> anyhow::Result<Option<Vec<(String, String)>>> {
    let bytes = if let Some(path) = &args.from_file {
        read_file(path, MAX_LIST_BYTES)?
    } else if args.from_stdin {
        let mut bytes = Vec::new();
        io::stdin().lock().take(MAX_LIST_BYTES + 1).read_to_end(&mut bytes).context("standard input")?;
        anyhow::ensure!(
            bytes.len() as u64 <= MAX_LIST_BYTES,
            "the list is larger than {MAX_LIST_BYTES} bytes"
        );
        bytes
    } else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).context("the list is not UTF-8")?;
    let words: Vec<&str> = text.strip_suffix('\0').unwrap_or(&text).split('\0').collect();
    let pairs = words.chunks(2).filter(|pair| pair.iter().any(|word| !word.is_empty()));
    let pair = |pair: &[&str]| {
        let path = pair.get(1).copied().filter(|path| !path.is_empty());
        (pair.first().copied().unwrap_or_default().to_owned(), path.unwrap_or("/").to_owned())
    };
    Ok(Some(pairs.map(pair).collect()))
}

/// Checkouts of one tree after the other into one directory.
struct Job<'a> {
    args: &'a Args,
    ctx: &'a Ctx,
    repo: &'a Repo,
    options: CheckoutOptions,
    outcome: Outcome,
}

impl Job<'_> {
    fn one(&mut self, commit: Id<Commit>, subpath: Option<&str>) -> anyhow::Result<()> {
        let root = self.repo.root(commit)?;
        let subpath = subpath.map(TreePath::parse).transpose()?;
        if self.args.allow_noent && !exists(self.repo, root, subpath.as_ref())? {
            self.outcome.commits.push(commit.to_hex());
            return Ok(());
        }
        let destination = &self.outcome.destination;
        // What is laid over a directory is laid over the one that a link leads to.
        let is_linked =
            self.options.overwrite != Overwrite::Refuse && destination.is_symlink() && destination.is_dir();
        let (parent, name) =
            if is_linked { open_parent(&destination.canonicalize()?)? } else { open_parent(destination)? };
        let progress = self.ctx.progress();
        let on_event = |event: CheckoutEvent| {
            if let CheckoutEvent::Files { files } = event {
                progress.note(format!("{files} files written"));
            }
        };
        let from = Checkout { root, subpath: subpath.as_ref() };
        let stats = self.repo.checkout(&from, &parent, Path::new(&name), &self.options, &on_event)?;
        self.outcome.add(commit, stats);
        Ok(())
    }
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

/// Reads a yes or no as OSTree spells it.
pub(super) fn boolean(text: &str) -> anyhow::Result<bool> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "none" => Ok(false),
        _ => Err(usage(format!("Invalid boolean argument '{text}'"))),
    }
}
