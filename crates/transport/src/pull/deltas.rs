//! Which static deltas a pull uses: found through the summary and the indexes, their superblocks fetched and verified.
//!
//! A delta saves requests and bytes, and is never needed: where a list, a superblock or a part is of no use, objects are
//! fetched one by one, unless deltas are required.

use super::meta::small;
use super::net::Traffic;
use super::options::{Deltas, PullOptions, Scope};
use super::resolve::{REFS_AT_ONCE, join_all};
use crate::{FetchError, PullError, Remote};
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::{ListedDelta, RefName, Repo, Summary, Superblock, delta_index_path};
use std::collections::HashSet;

/// Largest index, in bytes: that of 30,000 deltas to one commit.
const MAX_INDEX_BYTES: u64 = 4 << 20;

/// What the summary says of deltas.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The deltas that it lists.
    deltas: Vec<ListedDelta>,
    /// Whether there may be indexes: the summary says so, or was not read.
    indexed: bool,
}

impl Listed {
    pub(super) fn of(summary: Option<&Summary>) -> Self {
        let Some(summary) = summary else { return Self { deltas: Vec::new(), indexed: true } };
        let deltas = ListedDelta::of(&summary.metadata).unwrap_or_else(|error| {
            tracing::warn!(%error, "the summary's list of deltas is of no use");
            Vec::new()
        });
        Self { deltas, indexed: summary.has_delta_indexes() }
    }
}

/// A commit that is to be pulled.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) commit: Id<Commit>,
    /// For which ref, and where that one is now.
    pub(super) name: Option<RefName>,
    pub(super) old: Option<Id<Commit>>,
}

/// Chooses a delta for each commit that is not here, where there is one whose source is.
pub(super) async fn choose(
    remote: &dyn Remote,
    traffic: &Traffic,
    repo: &Repo,
    options: &PullOptions,
    asked: Vec<Asked>,
    listed: &Listed,
) -> Result<Vec<Superblock>, PullError> {
    let partly = options.scope != Scope::Everything || !options.subpaths.is_empty();
    if options.deltas == Deltas::Never || partly || repo.store().format() != Format::Ostree {
        return Ok(Vec::new());
    }
    if repo.store().mode() == Mode::Archive {
        // There a delta would have to be compressed again, file by file.
        return match options.deltas {
            Deltas::Require => Err(PullError::DeltaForArchive),
            _ => Ok(Vec::new()),
        };
    }
    let mut seen = HashSet::new();
    let mut missing = Vec::new();
    for asked in asked {
        if seen.insert(asked.commit) && !is_complete(repo, asked.commit)? {
            missing.push(asked);
        }
    }
    let mut found = Vec::new();
    for chunk in missing.chunks(REFS_AT_ONCE) {
        let pending = chunk.iter().map(|asked| one(remote, traffic, repo, options, asked, listed));
        for delta in join_all(pending.collect()).await {
            found.extend(delta?);
        }
    }
    superblocks(remote, traffic, options, &found).await
}

/// Fetches superblocks, side by side where they are small, and no more together than may be in memory.
async fn superblocks(
    remote: &dyn Remote,
    traffic: &Traffic,
    options: &PullOptions,
    found: &[ListedDelta],
) -> Result<Vec<Superblock>, PullError> {
    let mut left = options.limits.max_superblocks_bytes;
    let mut chosen = Vec::new();
    for chunk in found.chunks(REFS_AT_ONCE) {
        let share = left / chunk.len() as u64;
        let pending = chunk.iter().map(|delta| superblock(remote, traffic, share, *delta));
        for (delta, mut fetched) in chunk.iter().zip(join_all(pending.collect()).await) {
            if chunk.len() > 1 && fetched.as_ref().is_err_and(is_too_large) {
                fetched = superblock(remote, traffic, left, *delta).await;
            }
            match fetched {
                // What came beside it may have taken its place.
                Ok((_, bytes)) if bytes > left => give_up(options, delta.name.to, no_room(delta, left))?,
                Ok((superblock, bytes)) => {
                    left -= bytes;
                    chosen.push(superblock);
                }
                Err(error) => give_up(options, delta.name.to, error)?,
            }
        }
    }
    Ok(chosen)
}

fn is_too_large(error: &PullError) -> bool {
    matches!(error, PullError::Fetch { source, .. } if matches!(**source, FetchError::TooLarge { .. }))
}

fn no_room(delta: &ListedDelta, limit_bytes: u64) -> PullError {
    let source = sapwood_repo::DeltaError::TooLarge { what: "superblock", limit_bytes };
    PullError::Delta { delta: delta.name, source: Box::new(source.into()) }
}

/// Goes on without a delta to a commit, unless one is required.
fn give_up(options: &PullOptions, to: Id<Commit>, error: PullError) -> Result<(), PullError> {
    if options.deltas == Deltas::Require {
        return Err(error);
    }
    tracing::warn!(%error, commit = %to, "fetching objects instead of a delta");
    Ok(())
}

/// Whether all of a commit is here.
fn is_complete(repo: &Repo, commit: Id<Commit>) -> Result<bool, PullError> {
    let here = repo.store().contains(commit.name()).map_err(sapwood_repo::Error::from)?;
    Ok(here && !repo.is_partial(commit)?)
}

async fn one(
    remote: &dyn Remote,
    traffic: &Traffic,
    repo: &Repo,
    options: &PullOptions,
    asked: &Asked,
    listed: &Listed,
) -> Result<Option<ListedDelta>, PullError> {
    let to = asked.commit;
    let mut candidates: Vec<_> = listed.deltas.iter().filter(|delta| delta.name.to == to).copied().collect();
    if candidates.is_empty() && listed.indexed {
        match index(remote, traffic, options, to).await {
            Ok(found) => candidates = found,
            Err(error) => return give_up(options, to, error).map(|()| None),
        }
    }
    let Some(delta) = best(repo, asked, &candidates)? else {
        return match options.deltas {
            Deltas::Require => {
                let name = asked.name.as_ref().map_or_else(|| "a commit".into(), ToString::to_string);
                Err(PullError::NoDelta { name, commit: to })
            }
            _ => Ok(None),
        };
    };
    Ok(Some(delta))
}

/// The deltas to a commit, as its index lists them.
async fn index(
    remote: &dyn Remote,
    traffic: &Traffic,
    options: &PullOptions,
    to: Id<Commit>,
) -> Result<Vec<ListedDelta>, PullError> {
    let path = delta_index_path(to);
    let fetched = small(remote, traffic, &path, MAX_INDEX_BYTES.min(options.limits.max_meta_bytes)).await;
    let bytes = fetched.map_err(|source| PullError::Fetch { what: path.into(), source: Box::new(source) })?;
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    let mut deltas = ListedDelta::decode_index(&bytes).map_err(|source| PullError::Malformed {
        remote: remote.describe().into(),
        file: "an index of deltas",
        source: source.into(),
    })?;
    deltas.retain(|delta| delta.name.to == to);
    Ok(deltas)
}

/// The delta that builds on the newest commit that is here. One that builds on nothing is of use where nothing of the ref
/// is here.
fn best(repo: &Repo, asked: &Asked, candidates: &[ListedDelta]) -> Result<Option<ListedDelta>, PullError> {
    let mut best: Option<(u64, ListedDelta)> = None;
    let mut from_nothing = None;
    for delta in candidates {
        let Some(from) = delta.name.from else {
            from_nothing = Some(*delta);
            continue;
        };
        if !is_complete(repo, from)? {
            continue;
        }
        let timestamp = repo.store().load(from).map_err(sapwood_repo::Error::from)?.timestamp;
        if best.is_none_or(|(newest, _)| newest < timestamp) {
            best = Some((timestamp, *delta));
        }
    }
    Ok(best.map(|(_, delta)| delta).or(from_nothing.filter(|_| asked.old.is_none())))
}

/// The superblock, which must be the one that was listed, and its size. One that came wrong is fetched once more.
async fn superblock(
    remote: &dyn Remote,
    traffic: &Traffic,
    limit: u64,
    delta: ListedDelta,
) -> Result<(Superblock, u64), PullError> {
    let path = format!("{}/superblock", delta.name.path());
    let unusable =
        |source| PullError::Delta { delta: delta.name, source: Box::new(sapwood_repo::Error::Delta(source)) };
    let missing = || unusable(sapwood_repo::DeltaError::Missing { name: delta.name.to_string() });
    let fetch = async || {
        let fetched = small(remote, traffic, &path, limit).await;
        let fetched = fetched
            .map_err(|source| PullError::Fetch { what: path.clone().into(), source: Box::new(source) });
        fetched?.ok_or_else(missing)
    };
    let bytes = fetch().await?;
    match delta.open(&bytes) {
        Ok(superblock) => Ok((superblock, bytes.len() as u64)),
        Err(error) => {
            tracing::warn!(%error, delta = %delta.name, "a superblock came wrong, fetching it again");
            let bytes = fetch().await?;
            Ok((delta.open(&bytes).map_err(unusable)?, bytes.len() as u64))
        }
    }
}
