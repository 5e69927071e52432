//! `find-remotes`: who has refs of collections, among the configured remotes and on mounted volumes.

mod finders;

use crate::connect::{self, Overrides};
use crate::ctx::Ctx;
use crate::report::{OrUsage, Usage, usage};
use crate::time;
use crate::ui::Render;
use finders::Found;
use sapwood_objstore::Trust;
use sapwood_repo::{CollectionId, RefName, Repo};
use sapwood_transport::find::{CollectionRef, keep_newest};
use sapwood_transport::{Age, PullOptions, RefsInto, Wanted};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

/// Find out who has refs of collections, and pull the newest
///
/// Asked are the configured remotes of the collection and the repositories on mounted volumes, such as `create-usb` makes. What
/// a volume has must be signed as the remote of the same collection asks for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep summaries for the next time here instead of in the repository
    #[arg(long, value_name = "PATH")]
    cache_dir: Option<PathBuf>,
    /// Sync nothing: faster, and a power loss may leave anything
    #[arg(long)]
    disable_fsync: bool,
    /// Who is asked: `config`, `mount` or both, separated by commas
    #[arg(long, value_name = "FINDERS")]
    finders: Option<String>,
    /// Pull the newest that was found of each ref
    #[arg(long)]
    pull: bool,
    /// With --pull: carry the refs on, rather than set those of the remote
    #[arg(long)]
    mirror: bool,
    /// Look on this volume, too, wherever it is mounted (may be repeated)
    #[arg(long, value_name = "PATH")]
    volume: Vec<PathBuf>,
    /// Collections and refs of them
    #[arg(value_name = "COLLECTION-ID REF")]
    refs: Vec<String>,
}

/// What was found.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    results: Vec<Shown>,
    missing: Vec<Named>,
    wanted: usize,
    pulled: Option<usize>,
    #[serde(skip)]
    remarks: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Shown {
    uri: String,
    finder: &'static str,
    keyring: String,
    priority: u32,
    summary_last_modified: Option<u64>,
    refs: Vec<Listed>,
}

#[derive(Debug, serde::Serialize)]
struct Listed {
    #[serde(flatten)]
    named: Named,
    commit: Option<String>,
}

#[derive(Debug, serde::Serialize)]
struct Named {
    collection: String,
    name: String,
}

impl Named {
    fn of((collection, name): &CollectionRef) -> Self {
        Self { collection: collection.to_string(), name: name.to_string() }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {})", self.collection, self.name)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.results.is_empty() {
            return writeln!(out, "No results.");
        }
        for (number, result) in self.results.iter().enumerate() {
            writeln!(out, "Result {number}: {}", result.uri)?;
            writeln!(out, " - Finder: {}\n - Keyring: {}", result.finder, result.keyring)?;
            writeln!(out, " - Priority: {}", result.priority)?;
            if let Some(seconds) = result.summary_last_modified {
                writeln!(out, " - Summary last modified: {}", time::iso(seconds))?;
            }
            writeln!(out, " - Refs:")?;
            for Listed { named, commit } in &result.refs {
                writeln!(out, "    - {named} = {}", commit.as_deref().unwrap_or("(not found)"))?;
            }
            writeln!(out)?;
        }
        let found = self.wanted - self.missing.len();
        writeln!(out, "{found}/{} refs were found.", self.wanted)?;
        if !self.missing.is_empty() {
            writeln!(out, "Refs not found in any remote:")?;
            self.missing.iter().try_for_each(|named| writeln!(out, " - {named}"))?;
        }
        match self.pulled {
            Some(pulled) => writeln!(out, "Pulled {pulled}/{found} refs successfully."),
            None => Ok(()),
        }
    }
    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

/// Reads pairs of a collection and a ref.
pub(super) fn pairs(words: &[String]) -> anyhow::Result<Vec<CollectionRef>> {
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(usage("At least one COLLECTION-ID REF pair must be specified"));
    }
    let mut pairs = Vec::new();
    for pair in words.chunks_exact(2) {
        let [collection, name] = pair else { continue };
        let collection =
            CollectionId::new(collection).or_usage(|| format!("Invalid collection ID {collection}"))?;
        let pair = (collection, RefName::new(name).or_usage(|| format!("Invalid ref name {name}"))?);
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Who {
    config: bool,
    mount: bool,
}

impl Who {
    /// By the command line, else by the configuration, else all.
    fn of(args: &Args, repo: &Repo) -> anyhow::Result<Self> {
        let mut who = Self { config: false, mount: false };
        let Some(list) = &args.finders else {
            let configured = repo.config().keyfile.get_list("core", "default-repo-finders");
            let Some(names) = configured else { return Ok(Self { config: true, mount: true }) };
            // What this machine cannot do is no reason not to do the rest, where nobody asked for it just now.
            for name in &names {
                who.add(name);
            }
            return Ok(who);
        };
        for name in list.split(',') {
            if name == "lan" {
                let hint = "--finders=config,mount asks the others".to_owned();
                let message = "the finder lan is not there: nobody is looked for on the local network";
                return Err(Usage::new(message, vec![hint]).into());
            }
            if !who.add(name) {
                let message = format!("Unknown or duplicate finder type given in --finders option: ‘{name}’");
                return Err(usage(message));
            }
        }
        Ok(who)
    }

    /// Whether the name is known, and new.
    fn add(&mut self, name: &str) -> bool {
        let one = match name {
            "config" => &mut self.config,
            "mount" => &mut self.mount,
            _ => return false,
        };
        !std::mem::replace(one, true)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let wanted = pairs(&args.refs)?;
    if args.mirror && !args.pull {
        return Err(usage("--mirror can only be used in combination with --pull"));
    }
    let mut repo = ctx.open_repo()?;
    if args.disable_fsync {
        repo.set_fsync(false);
    }
    let who = Who::of(args, &repo)?;
    let mut search = finders::Search {
        ctx,
        repo: &repo,
        wanted: &wanted,
        cache_dir: args.cache_dir.as_deref(),
        remarks: Vec::new(),
    };
    let mut found = Vec::new();
    if who.mount || !args.volume.is_empty() {
        let mounted = if who.mount { finders::mounted_volumes()? } else { Vec::new() };
        found.extend(search.volumes(mounted.iter().chain(&args.volume))?);
    }
    if who.config {
        found.extend(search.configured()?);
    }
    let mut remarks = search.remarks;
    keep_newest(found.iter_mut().map(|found| &mut found.offers));
    found.retain(|found| !found.offers.is_empty());
    let missing: Vec<_> =
        wanted.iter().filter(|name| found.iter().all(|found| !found.offers.contains_key(*name))).collect();
    let missing = missing.into_iter().map(Named::of).collect();
    let results = found.iter().map(|found| shown(found, &wanted)).collect();
    let mut pulled = None;
    if args.pull && !found.is_empty() {
        pulled = Some(pull_all(ctx, &repo, &found, args.mirror, &mut remarks)?);
    }
    Ok(Outcome { results, missing, wanted: wanted.len(), pulled, remarks })
}

fn shown(found: &Found, wanted: &[CollectionRef]) -> Shown {
    // Of another collection nothing was looked for there.
    let refs =
        wanted.iter().filter(|(collection, _)| found.remote.collection_id().as_ref() == Some(collection));
    let listed = |name: &CollectionRef| Listed {
        named: Named::of(name),
        commit: found.offers.get(name).map(|offer| offer.commit.to_hex()),
    };
    Shown {
        uri: found.uri.clone(),
        finder: found.finder,
        keyring: format!("{}.trustedkeys.gpg", found.remote.name),
        priority: found.priority,
        summary_last_modified: found.last_modified,
        refs: refs.map(listed).collect(),
    }
}

/// Pulls each ref from the first that has it right; gives how many.
fn pull_all(
    ctx: &Ctx,
    repo: &Repo,
    found: &[Found],
    mirror: bool,
    remarks: &mut Vec<String>,
) -> anyhow::Result<usize> {
    let mut left: BTreeSet<&CollectionRef> = found.iter().flat_map(|found| found.offers.keys()).collect();
    let all = left.len();
    for found in found {
        let here: Vec<_> = found.offers.keys().filter(|name| left.contains(name)).collect();
        // Together, and one by one if that fails: a ref that is not right is no reason to take none.
        match found.pull(ctx, repo, mirror, &here) {
            Ok(()) => left.retain(|name| !here.contains(name)),
            Err(error) if here.len() == 1 => remarks.push(format!("{}: {error:#}", found.uri)),
            Err(_) => {
                for name in here {
                    match found.pull(ctx, repo, mirror, &[name]) {
                        Ok(()) => drop(left.remove(name)),
                        Err(error) => remarks.push(format!("{}: {}: {error:#}", found.uri, name.1)),
                    }
                }
            }
        }
    }
    if left.is_empty() {
        return Ok(all);
    }
    let names: Vec<_> = left.into_iter().map(|name| Named::of(name).to_string()).collect();
    let message = format!("Failed to pull some refs from the remotes: {}", names.join(", "));
    Err(Usage::new(message, std::mem::take(remarks)).into())
}

impl Found {
    /// Pulls some of the refs that it offers.
    fn pull(&self, ctx: &Ctx, repo: &Repo, mirror: bool, names: &[&CollectionRef]) -> anyhow::Result<()> {
        let terms = match self.volume {
            Some(_) => finders::terms_on_volumes(repo, &self.remote)?,
            None => crate::trust::terms(repo, &self.remote, None)?,
        };
        let offers = self.offers.iter().filter(|(name, _)| names.contains(name));
        let wanted = offers.map(|((_, name), offer)| match terms.freshness {
            // What it states is looked at again, and remembered.
            Some(_) => Wanted::Ref(name.clone()),
            None => Wanted::RefAt(name.clone(), offer.commit),
        });
        let options = PullOptions {
            wanted: wanted.collect(),
            into: if mirror { RefsInto::Mirror } else { RefsInto::Remote(self.remote.name.clone()) },
            collection: self.remote.collection_id(),
            trust: Trust::Untrusted,
            age: Age::NotBeforeRef,
            ..PullOptions::default()
        };
        if let Some(volume) = &self.volume {
            connect::pull_from_repo(ctx, repo, volume, terms, &options)?;
        } else {
            connect::refuse_unconfigured(&self.remote)?;
            let source = connect::source(repo, &self.remote, &Overrides::default())?;
            connect::pull_from(ctx, repo, source, &[], terms, &options)?;
        }
        Ok(())
    }
}
