//! What `commit` records: `--base`, each `--tree`, or the directory.

use super::Args;
use super::labels::labels;
use crate::ctx::{Ctx, open_dir, open_parent, read_file};
use crate::report::usage;
use anyhow::Context as _;
use sapwood_fsio::{At as _, Dir};
use sapwood_repo::{
    BuiltTree, CommitEvent, Consumed, Error, ImportOptions, Links, ModeList, Modifiers, PathFilter, Repo,
    SkipList, TarOptions, Transaction, TreeBuilder,
};
use std::io::Read;
use std::path::{Path, PathBuf};

/// One `--tree`.
pub(super) enum Source<'a> {
    Dir(&'a Path),
    Tar(&'a str),
    Ref(&'a str),
}

pub(super) fn parse(spec: &str) -> anyhow::Result<Source<'_>> {
    match spec.split_once('=') {
        Some(("dir", path)) => Ok(Source::Dir(Path::new(path))),
        Some(("tar", path)) => Ok(Source::Tar(path)),
        Some(("ref", revision)) => Ok(Source::Ref(revision)),
        Some((kind, _)) => Err(usage(format!("Invalid tree type specification '{kind}'"))),
        None => Err(usage(format!("Missing type in tree specification '{spec}'"))),
    }
}

/// A directory that is being consumed.
pub(super) struct Consuming {
    path: PathBuf,
    dir: Dir,
    consumed: Consumed,
}

impl Consuming {
    /// Removes what was recorded, and the directory where it is empty then. What is recorded is durable as a commit.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { path, dir, consumed } = self;
        let left = consumed.remove(&dir).with_context(|| format!("cannot consume {}", path.display()))?;
        for name in &left {
            let shown = path.join(name);
            crate::ui::complain(&format!("not consumed, since it changed meanwhile: {}", shown.display()));
        }
        // The directory one is in stays, as does a link to one.
        if left.is_empty() && path.file_name().is_some() && !path.is_symlink() {
            let (parent, name) = open_parent(&path)?;
            sapwood_fsio::remove_dir(&parent, name)?;
        }
        Ok(())
    }
}

/// Puts the tree together in the transaction.
pub(super) fn build(
    args: &Args,
    ctx: &Ctx,
    repo: &Repo,
    txn: &Transaction<'_>,
) -> anyhow::Result<(BuiltTree, Vec<Consuming>)> {
    let options = options(args, repo)?;
    let tar = tar_options(args)?;
    let mut builder = repo.build_tree(txn, &options)?;
    if let Some(revision) = &args.base {
        builder.add_base(repo.resolve(revision)?)?;
    }
    let mut consuming = Vec::new();
    let mut add_dir = |builder: &mut TreeBuilder<'_>, path: &Path| -> anyhow::Result<()> {
        let dir = open_dir(path)?;
        if let Some(consumed) = add_dir(builder, args, ctx, path, &dir)? {
            consuming.push(Consuming { path: path.to_owned(), dir, consumed });
        }
        Ok(())
    };
    if args.tree.is_empty() {
        add_dir(&mut builder, args.path.as_deref().unwrap_or(Path::new(".")))?;
    }
    for spec in &args.tree {
        match parse(spec)? {
            Source::Dir(path) => add_dir(&mut builder, path)?,
            Source::Ref(revision) => builder.add_commit(repo.resolve(revision)?)?,
            Source::Tar("-") => builder.add_tar(Box::new(std::io::stdin()), &tar)?,
            Source::Tar(path) => {
                let file = open_file(Path::new(path))?;
                builder.add_tar(file, &tar).with_context(|| format!("cannot commit {path}"))?;
            }
        }
    }
    let built = builder.finish();
    let built = built.inspect_err(|error| {
        if let Error::Unmatched { list, paths } = error {
            for path in paths {
                crate::ui::complain(&format!("Unmatched {list} path: {path}"));
            }
        }
    });
    Ok((built?, consuming))
}

/// Opens what the user named, be it a link, a pipe or a device.
fn open_file(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    let file = std::fs::File::open(path).at("open", path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(file))
}

fn add_dir(
    builder: &mut TreeBuilder<'_>,
    args: &Args,
    ctx: &Ctx,
    path: &Path,
    dir: &Dir,
) -> anyhow::Result<Option<Consumed>> {
    let progress = ctx.progress();
    let on_event = |event: CommitEvent| match event {
        CommitEvent::Imported { files, bytes } => {
            progress.note(format!("{files} files, {}", crate::ui::human::size(bytes)));
        }
        _ => progress.note("syncing".to_owned()),
    };
    let added = if args.consume {
        builder.consume_dir(dir, &on_event).map(Some)
    } else {
        builder.add_dir(dir, &on_event).map(|()| None)
    };
    added.with_context(|| format!("cannot commit {}", path.display()))
}

fn options(args: &Args, repo: &Repo) -> anyhow::Result<ImportOptions> {
    let list = |path: &Path| {
        let text = String::from_utf8(read_file(path, ModeList::MAX_BYTES)?);
        text.with_context(|| format!("{} is not UTF-8", path.display()))
    };
    Ok(ImportOptions {
        modifiers: Modifiers {
            owner_uid: args.owner_uid,
            owner_gid: args.owner_gid,
            no_xattrs: args.no_xattrs,
            canonical_permissions: args.canonical_permissions,
            mode_ro_executables: args.mode_ro_executables,
        },
        labels: labels(args, repo)?,
        modes: match &args.statoverride {
            Some(path) => ModeList::parse(&list(path)?).with_context(|| path.display().to_string())?,
            None => ModeList::default(),
        },
        skip: match &args.skip_list {
            Some(path) => SkipList::parse(&list(path)?),
            None => SkipList::default(),
        },
        links: match (args.devino_canonical, args.link_checkout_speedup) {
            (true, _) => Links::Trust,
            (false, true) => Links::Modify,
            (false, false) => Links::Ignore,
        },
        ..ImportOptions::default()
    })
}

fn tar_options(args: &Args) -> anyhow::Result<TarOptions> {
    let filter = match &args.tar_pathname_filter {
        None => None,
        Some(text) => {
            let (pattern, replacement) =
                text.split_once(',').ok_or_else(|| usage("Missing ',' in --tar-pathname-filter"))?;
            Some(PathFilter::new(pattern, replacement).context("--tar-pathname-filter")?)
        }
    };
    Ok(TarOptions { autocreate_parents: args.tar_autocreate_parents, filter, ..TarOptions::default() })
}
