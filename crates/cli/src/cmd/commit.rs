//! `commit`: records a directory.

mod editor;
mod labels;
mod source;

use super::signing::Signing;
use crate::ctx::{Ctx, read_file};
use crate::report::{OrUsage, usage};
use crate::time;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_objstore::{Commit, DirTree, Id, MetaObject as _, Metadata, Mode, ObjectId, Published, Value};
use sapwood_repo::{BuildCounts, BuiltTree, CommitOptions, Parent, RefName, Refspec, Repo, Transaction};
use source::Consuming;
use std::io::{self, Write};
use std::path::PathBuf;

/// Record a directory as a new commit
///
/// The tree is the current directory, PATH, or that of --tree.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    #[command(flatten)]
    signing: Signing,
    /// The ref that is moved to the new commit, whose parent is the commit it points to now
    #[arg(long, short = 'b')]
    branch: Option<String>,
    /// Move no ref
    #[arg(long, conflicts_with = "branch")]
    orphan: bool,
    /// The parent: the id of a commit, or none
    #[arg(long, value_name = "COMMIT")]
    parent: Option<String>,
    /// One line about it
    #[arg(long, short = 's')]
    subject: Option<String>,
    /// More about it
    #[arg(long, short = 'm')]
    body: Option<String>,
    /// A file with more about it
    #[arg(long, short = 'F', value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Write both in an editor: that of `$OSTREE_EDITOR`, `$VISUAL`, `$EDITOR`, or vi
    #[arg(long, short = 'e')]
    editor: bool,
    /// Start from the tree of a commit, as it is
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// A tree: a directory, an archive (tar or cpio, compressed or not; - is standard input), a commit. Each further one is
    /// laid over those before
    #[arg(long, value_name = "dir=PATH or tar=TARFILE or ref=COMMIT")]
    tree: Vec<String>,
    /// Make parents that an archive does not have
    #[arg(long)]
    tar_autocreate_parents: bool,
    /// Change paths in archives: each match of REGEX becomes REPLACEMENT
    #[arg(long, value_name = "REGEX,REPLACEMENT")]
    tar_pathname_filter: Option<String>,
    /// When it was made: @SECONDS, 2024-01-01 00:00:00 +0000, RFC 2822 [default: `$SOURCE_DATE_EPOCH`, else now]
    #[arg(long)]
    timestamp: Option<String>,
    /// Owner of everything
    #[arg(long, value_name = "UID")]
    owner_uid: Option<u32>,
    /// Group of everything
    #[arg(long, value_name = "GID")]
    owner_gid: Option<u32>,
    /// Leave extended attributes out
    #[arg(long)]
    no_xattrs: bool,
    /// Owner and group 0, modes within 0755, no extended attributes
    #[arg(long)]
    canonical_permissions: bool,
    /// Set SELinux labels, by the policy of the root file system PATH
    #[arg(long, value_name = "PATH")]
    selinux_policy: Option<PathBuf>,
    /// Set SELinux labels, by the policy of --base, else of the first --tree (no archive), else of the directory
    #[arg(long, short = 'P')]
    selinux_policy_from_base: bool,
    /// Version of the rules by which labels are set: 1 labels /usr/etc as /etc
    #[arg(long, value_name = "EPOCH", value_parser = clap::value_parser!(u8).range(0..=1), default_value_t = 0, hide_default_value = true)]
    selinux_labeling_epoch: u8,
    /// Add text to the metadata
    #[arg(long, value_name = "KEY=VALUE")]
    add_metadata_string: Vec<String>,
    /// Add a value in GVariant's text form to the metadata: text in quotes, numbers, true, false, lists of text
    #[arg(long, value_name = "KEY=VALUE")]
    add_metadata: Vec<String>,
    /// Take a value of the metadata over from the parent
    #[arg(long, value_name = "KEY")]
    keep_metadata: Vec<String>,
    /// Add text to the metadata that stands beside the commit
    #[arg(long, value_name = "KEY=VALUE")]
    add_detached_metadata_string: Vec<String>,
    /// Do not write into the commit which ref it is for
    #[arg(long)]
    no_bindings: bool,
    /// A further ref that the commit is for
    #[arg(long, value_name = "BRANCH")]
    bind_ref: Vec<String>,
    /// Say in the metadata that it can be booted, and with which kernel
    #[arg(long)]
    bootable: bool,
    /// Say in the metadata how large the objects are (in archive repositories)
    #[arg(long)]
    generate_sizes: bool,
    /// Let nobody write files that can be executed
    #[arg(long)]
    mode_ro_executables: bool,
    /// A file with lines MODE PATH (bits to add, in decimal) or =MODE PATH
    #[arg(long, value_name = "PATH")]
    statoverride: Option<PathBuf>,
    /// A file with paths to leave out, one a line
    #[arg(long, value_name = "PATH")]
    skip_list: Option<PathBuf>,
    /// Recognise hard links into the repository, which have the attributes of the object
    #[arg(long)]
    link_checkout_speedup: bool,
    /// As --link-checkout-speedup, and change nothing of such files
    #[arg(long, short = 'I')]
    devino_canonical: bool,
    /// Delete the directories once they are recorded
    #[arg(long)]
    consume: bool,
    /// Do nothing if the tree is that of the parent
    #[arg(long)]
    skip_if_unchanged: bool,
    /// Print counts besides the id
    #[arg(long)]
    table_output: bool,
    /// Whether to sync what is written: yes or no
    #[arg(long, value_name = "POLICY")]
    fsync: Option<String>,
    /// As --fsync=no
    #[arg(long, conflicts_with = "fsync")]
    disable_fsync: bool,
    /// The directory, if there is no --tree
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
}

/// The new commit.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commit: String,
    branch: Option<String>,
    /// Whether it was the parent's tree, so that nothing was recorded.
    unchanged: bool,
    metadata_total: u64,
    metadata_written: u64,
    content_total: u64,
    content_written: u64,
    /// Files that were recognised without reading them.
    content_cached: u64,
    content_bytes_written: u64,
    #[serde(skip)]
    as_table: bool,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.as_table {
            return writeln!(out, "{}", self.commit);
        }
        writeln!(out, "Commit: {}", self.commit)?;
        writeln!(out, "Metadata Total: {}", self.metadata_total)?;
        writeln!(out, "Metadata Written: {}", self.metadata_written)?;
        writeln!(out, "Content Total: {}", self.content_total)?;
        writeln!(out, "Content Written: {}", self.content_written)?;
        writeln!(out, "Content Cache Hits: {}", self.content_cached)?;
        writeln!(out, "Content Bytes Written: {}", self.content_bytes_written)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut repo = ctx.open_repo()?;
    if let Some(policy) = &args.fsync {
        repo.set_fsync(super::checkout::boolean(policy)?);
    }
    if args.disable_fsync {
        repo.set_fsync(false);
    }
    let branch = match &args.branch {
        Some(text) => Some(Refspec::parse(text).or_usage(|| format!("Invalid refspec {text}"))?),
        None if args.orphan => None,
        None => return Err(usage("A branch must be specified with --branch, or use --orphan")),
    };
    // Where others commit to the same branch, it moves on, and so does the parent.
    let mut attempts = 0;
    let message = message(args)?;
    loop {
        match attempt(args, ctx, &repo, branch.as_ref(), &message) {
            Err(error) if is_race(&error) && args.parent.is_none() && attempts < MAX_ATTEMPTS => {
                attempts += 1;
            }
            result => return result,
        }
    }
}

/// How often a commit is made again on top of others' commits.
const MAX_ATTEMPTS: u32 = 50;

fn is_race(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(sapwood_repo::Error::RefMoved { .. })))
}

fn attempt(
    args: &Args,
    ctx: &Ctx,
    repo: &Repo,
    branch: Option<&Refspec>,
    message: &(String, String),
) -> anyhow::Result<Outcome> {
    for (name, owner) in [("uid", args.owner_uid), ("gid", args.owner_gid)] {
        if args.canonical_permissions && owner.is_some_and(|owner| owner != 0) {
            return Err(usage(format!(
                "Cannot specify both --canonical-permissions and non-zero --owner-{name}"
            )));
        }
    }
    let (parent, parent_id) = parent(args, repo, branch)?;
    let mut options = CommitOptions {
        parent,
        subject: message.0.clone(),
        body: message.1.clone(),
        timestamp: match &args.timestamp {
            Some(text) => Some(time::parse(text)?),
            None => time::source_date_epoch()?,
        },
        metadata: metadata(args, repo, parent_id)?,
        bootable: None,
        sizes: None,
        no_bindings: args.no_bindings,
        bind_refs: args.bind_ref.iter().map(|name| RefName::new(name)).collect::<Result<_, _>>()?,
        branch: branch.cloned(),
    };

    let signers = args.signing.signers()?;
    let mut txn = repo.begin()?;
    let (BuiltTree { tree, counts }, consuming) = source::build(args, ctx, repo, &txn)?;
    if args.bootable {
        options.bootable = Some(kernel_version(repo, &txn, tree.root)?);
    }
    if let Some(parent) = parent_id.filter(|_| args.skip_if_unchanged)
        && repo.root(parent)? == tree.root
    {
        drop(txn);
        consuming.into_iter().try_for_each(Consuming::finish)?;
        return Ok(outcome(args, parent, counts, None));
    }
    // As in OSTree, other modes have no sizes to tell.
    if args.generate_sizes && repo.store().mode() == Mode::Archive {
        options.sizes = Some(repo.sizes(&txn, tree.root)?);
    }
    let commit = repo.stage_commit(&mut txn, tree, &options)?;
    if !args.add_detached_metadata_string.is_empty() || !signers.is_empty() {
        let mut detached = Metadata::default();
        for (key, value) in pairs(&args.add_detached_metadata_string)? {
            detached.set(key, Value::Str(value.to_owned()));
        }
        // No ref shows the commit before its signatures are there.
        let bytes = txn.objects().load_bytes(commit.name())?;
        for signer in &signers {
            sapwood_repo::sign::add_signature(&mut detached, &bytes, &**signer)?;
        }
        txn.objects().put_detached(commit, &detached)?;
    }
    provoked_failure()?;
    let published = txn.commit()?;
    consuming.into_iter().try_for_each(Consuming::finish)?;
    Ok(outcome(args, commit, counts, Some(published)))
}

/// Fails where tests of what comes after a failure want it to, as OSTree does.
fn provoked_failure() -> anyhow::Result<()> {
    if std::env::var_os("OSTREE_REPO_TEST_ERROR").is_some_and(|when| when == "pre-commit") {
        anyhow::bail!("OSTREE_REPO_TEST_ERROR_PRE_COMMIT");
    }
    Ok(())
}

/// Counts as OSTree does: an object that is met several times counts each time.
fn outcome(args: &Args, commit: Id<Commit>, counts: BuildCounts, published: Option<Published>) -> Outcome {
    let unchanged = published.is_none();
    let published = published.unwrap_or_default();
    Outcome {
        commit: commit.to_hex(),
        branch: args.branch.clone(),
        unchanged,
        metadata_total: if unchanged { 0 } else { counts.dirs + counts.trees + 1 },
        metadata_written: published.meta_written,
        // It reads what only our stat cache knows.
        content_total: if unchanged { 0 } else { counts.files + counts.hits - counts.linked },
        content_cached: if unchanged { 0 } else { counts.hits },
        content_written: published.files_written,
        content_bytes_written: published.bytes_written,
        as_table: args.table_output,
    }
}

/// The parent as the repository takes it, and its id if there is one.
fn parent(
    args: &Args,
    repo: &Repo,
    branch: Option<&Refspec>,
) -> anyhow::Result<(Parent, Option<Id<Commit>>)> {
    match args.parent.as_deref() {
        Some("none") => Ok((Parent::None, None)),
        Some(text) => {
            let id = ObjectId::from_hex(text).or_usage(|| format!("Invalid rev {text}"))?;
            Ok((Parent::Commit(Id::new(id)), Some(Id::new(id))))
        }
        None => match branch {
            Some(branch) => Ok((Parent::Branch, repo.branch_parent(branch)?)),
            None => Ok((Parent::None, None)),
        },
    }
}

/// The version of the kernel in a tree that may be in the transaction still.
fn kernel_version(repo: &Repo, txn: &Transaction<'_>, root: sapwood_repo::Root) -> anyhow::Result<String> {
    let load = |id: Id<DirTree>| -> anyhow::Result<DirTree> {
        Ok(DirTree::decode(repo.store().format(), &txn.objects().load_bytes(id.name())?)?)
    };
    let mut dir = load(root.tree)?;
    let none = || usage("no kernel to boot: /usr/lib/modules/VERSION/vmlinuz: No such file or directory");
    for name in ["usr", "lib", "modules"] {
        dir = load(dir.dir(name).ok_or_else(none)?.tree)?;
    }
    for version in dir.dirs() {
        if load(version.tree)?.file("vmlinuz").is_some() {
            return Ok(version.name.to_string());
        }
    }
    Err(none())
}

/// Largest file that --body-file takes.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// Subject and body.
fn message(args: &Args) -> anyhow::Result<(String, String)> {
    let subject = args.subject.clone().unwrap_or_default();
    let body = body(args)?;
    if args.editor { editor::edit(args.branch.as_deref(), &subject, &body) } else { Ok((subject, body)) }
}

fn body(args: &Args) -> anyhow::Result<String> {
    let Some(path) = &args.body_file else { return Ok(args.body.clone().unwrap_or_default()) };
    let bytes = read_file(path, MAX_BODY_BYTES)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The texts as pairs of key and value.
fn pairs(texts: &[String]) -> anyhow::Result<Vec<(&str, &str)>> {
    let pair = |text: &'_ String| match text.split_once('=') {
        Some(("", _)) => Err(usage(format!("Empty metadata key in '{text}'"))),
        Some(_) => Ok(()),
        None => Err(usage(format!("Missing '=' in KEY=VALUE metadata '{text}'"))),
    };
    texts.iter().try_for_each(pair)?;
    Ok(texts.iter().filter_map(|text| text.split_once('=')).collect())
}

fn metadata(args: &Args, repo: &Repo, parent: Option<Id<Commit>>) -> anyhow::Result<Metadata> {
    let mut metadata = Metadata::default();
    if !args.keep_metadata.is_empty() {
        let parent = parent.ok_or_else(|| {
            usage("Either --branch or --parent must be specified when using --keep-metadata")
        })?;
        let before: Commit = repo.store().load(parent)?;
        for key in &args.keep_metadata {
            let value = before.metadata.get(key);
            let value =
                value.ok_or_else(|| usage(format!("Missing metadata key '{key}' from commit '{parent}'")))?;
            metadata.set(key, value.clone());
        }
    }
    for (key, value) in pairs(&args.add_metadata_string)? {
        metadata.set(key, Value::Str(value.to_owned()));
    }
    for (key, text) in pairs(&args.add_metadata)? {
        let value = Value::parse(text)
            .map_err(|error| usage(format!("cannot read the value of metadata '{key}={text}': {error}")))?;
        metadata.set(key, value);
    }
    Ok(metadata)
}
