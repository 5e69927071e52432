//! `create-usb`: puts refs of collections on a volume, where `find-remotes` finds them.

use super::find_remotes::pairs;
use crate::ctx::{Ctx, open_dir};
use crate::report::{OrUsage, Usage, usage};
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_fsio::Dir;
use sapwood_objstore::{Id, Mode, ObjectId, Trust};
use sapwood_repo::{CreateOptions, Repo};
use sapwood_transport::find::{LINKS, is_standard_place};
use sapwood_transport::{PullOptions, RefsInto, Wanted, pull_local};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// Put refs on a volume for machines that no network reaches
///
/// Makes an archive repository on the volume, or adds to the one that is there, and renews its summary.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sync nothing: faster, and a power loss may leave anything
    #[arg(long)]
    disable_fsync: bool,
    /// Where on the volume the repository is
    #[arg(long, value_name = "DEST", default_value = ".ostree/repo")]
    destination_repo: String,
    /// Take this commit rather than the one that the ref points to; for a single ref
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Where the volume is mounted
    #[arg(value_name = "MOUNT-PATH")]
    volume: Option<PathBuf>,
    /// Collections and refs of them
    #[arg(value_name = "COLLECTION-ID REF")]
    refs: Vec<String>,
}

/// What was put where.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    refs: usize,
    from: String,
    destination: String,
    volume: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { refs, from, destination, volume } = self;
        writeln!(
            out,
            "Copied {refs}/{refs} refs successfully from ‘{from}’ to ‘{destination}’ repository in ‘{volume}’."
        )
    }
}

/// Most links that are made.
const MAX_LINKS: u32 = 100;

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let Some(volume_path) = &args.volume else { return Err(usage("A MOUNT-PATH must be specified")) };
    let wanted = pairs(&args.refs)?;
    if args.commit.is_some() && wanted.len() > 1 {
        return Err(usage(
            "The --commit option can only be used when a single COLLECTION-ID REF pair is specified",
        ));
    }
    let place = inside(&args.destination_repo)?;
    let repo = ctx.open_repo()?;
    let has = repo.collection_refs()?;
    let mut by_collection: BTreeMap<_, Vec<Wanted>> = BTreeMap::new();
    for (collection, name) in &wanted {
        let commit = if let Some(text) = &args.commit {
            Id::new(ObjectId::from_hex(text).or_usage(|| format!("Invalid checksum {text}"))?)
        } else {
            let entry = has.get(&(collection.clone(), name.clone()));
            entry.with_context(|| format!("Collection–ref ({collection}, {name}) not found"))?.target
        };
        by_collection.entry(collection).or_default().push(Wanted::RefAt(name.clone(), commit));
    }
    let volume = open_dir(volume_path)?;
    let dir = sapwood_fsio::ensure_dir(&volume, &place, 0o775)?;
    let (format, mode) = (repo.store().format(), Mode::Archive);
    let mut stick = Repo::create(&dir, &CreateOptions { format, mode, collection_id: None })?;
    if stick.statement()?.is_some() {
        let hint = "pull-local carries refs onto it, `summary -u` there writes its summary".to_owned();
        let message =
            format!("{place} has a key set: its summary is written with its publishers' keys alone");
        return Err(Usage::new(message, vec![hint]).into());
    }
    if args.disable_fsync {
        stick.set_fsync(false);
    }
    for (collection, wanted) in by_collection {
        let options = PullOptions {
            wanted,
            into: RefsInto::Mirror,
            collection: Some(collection.clone()),
            // A volume that is read elsewhere is worth a look at each byte.
            trust: Trust::Untrusted,
            ..PullOptions::default()
        };
        pull_local(&stick, &repo, &options, &|_| {})?;
    }
    stick.update_summary()?;
    if !is_standard_place(&place) {
        link(&volume, &place)?;
    }
    Ok(Outcome {
        refs: wanted.len(),
        from: std::path::absolute(ctx.repo_path()?)?.display().to_string(),
        destination: args.destination_repo.clone(),
        volume: volume_path.display().to_string(),
    })
}

/// The path below the volume; one that leads off it is refused.
fn inside(text: &str) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for part in Path::new(text).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            _ => {
                let hint = "it is relative to the volume, and goes nowhere else".to_owned();
                let message = format!("--destination-repo={text} is not a path on the volume");
                return Err(Usage::new(message, vec![hint]).into());
            }
        }
    }
    if names.is_empty() { Err(usage("--destination-repo is empty")) } else { Ok(names.join("/")) }
}

/// Makes the repository findable, unless a link leads to it already.
fn link(volume: &Dir, place: &str) -> anyhow::Result<()> {
    let links = sapwood_fsio::ensure_dir(volume, LINKS, 0o775)?;
    let target = format!("../../{place}");
    for number in 0..MAX_LINKS {
        let name = format!("{number:02}-generated");
        match sapwood_fsio::symlink(&target, &links, &name) {
            Ok(()) => return Ok(sapwood_fsio::sync_dir(&links)?),
            Err(error) if error.is_exists() => {
                if sapwood_fsio::read_link(&links, &name).is_ok_and(|found| found == target.as_bytes()) {
                    return Ok(());
                }
            }
            // As on FAT, where there are no links.
            Err(error) => {
                return Err(error).context(
                    "the repository cannot be linked from .ostree/repos.d; .ostree/repo needs no link",
                );
            }
        }
    }
    anyhow::bail!("there are {MAX_LINKS} links in {LINKS} already")
}
