//! The beginning of a pull: what the remote is, and where its refs point.

use super::deltas::Listed;
use super::net::Traffic;
use super::options::{PullOptions, RefsInto, Wanted};
use super::summary::{Demands, Listing, file, listing};
use crate::{PullError, Remote, wire};
use bytes::Bytes;
use sapwood_objstore::{Commit, Format, Id, Mode, ObjectId};
use sapwood_repo::{CollectionId, Config, Keyfile, RefName, Summary, SummaryCopy, SummaryRef};
use std::collections::HashMap;

/// One thing to pull, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The ref to set.
    pub(super) name: Option<RefName>,
    pub(super) commit: Id<Commit>,
    /// The collection that the ref is of, as the remote's configuration here says, or else the remote itself.
    pub(super) collection: Option<CollectionId>,
    /// Whether the remote only carries the ref on for that collection.
    pub(super) carried: bool,
}

/// The refs that a repository carries on for other collections, as its summary lists them. One of a collection that is called
/// as none can be is left out.
pub(super) fn mirrored(remote: &str, summary: &Summary) -> Result<Vec<Target>, PullError> {
    let listed = summary.collections().map_err(|source| PullError::Malformed {
        remote: remote.into(),
        file: wire::SUMMARY,
        source: source.into(),
    })?;
    let mut targets = Vec::new();
    for (collection, refs) in listed {
        let Ok(collection) = CollectionId::new(&collection) else { continue };
        let target = |SummaryRef { name, target, .. }| Target {
            name: Some(name),
            commit: target,
            collection: Some(collection.clone()),
            carried: true,
        };
        targets.extend(refs.into_iter().map(target));
    }
    Ok(targets)
}

/// All things to pull, resolved.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) targets: Vec<Target>,
    /// The sizes that the summary gives for commits.
    pub(super) commit_bytes: HashMap<ObjectId, u64>,
    /// What the summary says of deltas.
    pub(super) deltas: Listed,
    /// The summary, and what is beside it, as they came.
    pub(super) summary: Option<SummaryFiles>,
    /// What the remote states, where that was asked for.
    pub(super) statement: Option<Bytes>,
}

/// Files of a remote, for a copy of it.
#[derive(Debug)]
pub(super) struct SummaryFiles {
    pub(super) summary: Bytes,
    pub(super) signatures: Option<Bytes>,
    pub(super) statement: Option<Bytes>,
}

impl SummaryFiles {
    pub(super) fn as_copy(&self) -> SummaryCopy<'_> {
        SummaryCopy {
            summary: &self.summary,
            signatures: self.signatures.as_deref(),
            statement: self.statement.as_deref(),
        }
    }
}

/// A ref file holds 65 bytes.
const MAX_REF_BYTES: u64 = 1024;
/// How many ref files are asked for at once.
pub(super) const REFS_AT_ONCE: usize = 16;

/// Asks the remote what it is and where the wanted refs point.
pub(super) async fn resolve(
    remote: &dyn Remote,
    traffic: &Traffic,
    format: Format,
    options: &PullOptions,
) -> Result<Resolved, PullError> {
    // What is pinned to commits needs no summary, and a broken or outdated one is no obstacle.
    let pinned = !options.wanted.is_empty()
        && options.wanted.iter().all(|wanted| !matches!(wanted, Wanted::Ref(_)))
        && !options.copy_summary
        && options.policy.summary.is_empty();
    let (config, listing) =
        tokio::join!(file(remote, traffic, wire::CONFIG, Keyfile::MAX_BYTES as u64), async {
            if pinned {
                return Ok(Listing::default());
            }
            listing(remote, traffic, Demands::of(options, format)).await
        },);
    let config = config?.ok_or_else(|| PullError::NotARepo { remote: remote.describe().into() })?;
    check_config(remote, &config, format)?;
    let Listing { summary, bytes, signatures, statement } = listing?;
    let mut resolved = Resolved { deltas: Listed::of(summary.as_ref()), ..Resolved::default() };
    let said = || summary.as_ref().and_then(Summary::collection).and_then(|id| CollectionId::new(id).ok());
    let collection = options.collection.clone().or_else(said);
    let alone = Demands::of(options, format).is_summary_believed_alone();
    for listed in summary.iter().flat_map(|summary| &summary.refs) {
        resolved.commit_bytes.insert(listed.target.raw(), listed.commit_bytes);
    }
    let wanted = match (&summary, options.wanted.is_empty()) {
        (_, false) => options.wanted.clone(),
        (Some(summary), true) => summary.refs.iter().map(|listed| Wanted::Ref(listed.name.clone())).collect(),
        (None, true) => return Err(PullError::NoSummary { remote: remote.describe().into() }),
    };
    for chunk in wanted.chunks(REFS_AT_ONCE) {
        let mut pending = Vec::new();
        for wanted in chunk {
            pending.push(target(remote, traffic, alone, summary.as_ref(), wanted));
        }
        for target in join_all(pending).await {
            let (name, commit) = target?;
            resolved.targets.push(Target { name, commit, collection: collection.clone(), carried: false });
        }
    }
    if let Some(summary) =
        summary.as_ref().filter(|_| options.wanted.is_empty() && options.into == RefsInto::Mirror)
    {
        resolved.targets.extend(mirrored(&remote.describe(), summary)?);
    }
    if options.copy_summary {
        let statement = statement.clone();
        resolved.summary = bytes.map(|summary| SummaryFiles { summary, signatures, statement });
    }
    resolved.statement = statement;
    Ok(resolved)
}

/// Runs a few futures side by side.
pub(super) async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut open = false;
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => *result = Some(value),
                std::task::Poll::Pending => open = true,
            }
        }
        if open { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

async fn target(
    remote: &dyn Remote,
    traffic: &Traffic,
    alone: bool,
    summary: Option<&Summary>,
    wanted: &Wanted,
) -> Result<(Option<RefName>, Id<Commit>), PullError> {
    let name = match wanted {
        Wanted::Commit(commit) => return Ok((None, *commit)),
        Wanted::RefAt(name, commit) => return Ok((Some(name.clone()), *commit)),
        Wanted::Ref(name) => name,
    };
    if let Some(listed) = summary.and_then(|summary| summary.get(name.as_str())) {
        return Ok((Some(name.clone()), listed.target));
    }
    let unknown = || {
        let has_summary = summary.is_some();
        PullError::UnknownRef { remote: remote.describe().into(), name: name.clone(), has_summary }
    };
    // What must be signed is believed alone: a ref beside the summary could point anywhere.
    if alone {
        return Err(unknown());
    }
    // There is no summary, or it was not renewed since the ref was made.
    let Some(bytes) = file(remote, traffic, &wire::head(name.as_str()), MAX_REF_BYTES).await? else {
        return Err(unknown());
    };
    let id = std::str::from_utf8(&bytes).ok().and_then(|text| ObjectId::from_hex(text.trim_end()).ok());
    let id = id.ok_or_else(|| PullError::MalformedRef {
        remote: remote.describe().into(),
        name: name.clone(),
        text: String::from_utf8_lossy(&bytes).chars().take(64).collect(),
    })?;
    Ok((Some(name.clone()), Id::new(id)))
}

/// Refuses a remote of another format, or one whose objects are not those of an archive.
fn check_config(remote: &dyn Remote, bytes: &[u8], ours: Format) -> Result<(), PullError> {
    let name = || remote.describe().into();
    let malformed = |source: Box<dyn std::error::Error + Send + Sync>| PullError::Malformed {
        remote: name(),
        file: wire::CONFIG,
        source,
    };
    let config = match Keyfile::parse(bytes).map(Config::from_keyfile) {
        Ok(Ok(config)) => config,
        Ok(Err(sapwood_repo::Error::NewerFormat { what })) => {
            return Err(PullError::NewerFormat { remote: name(), what });
        }
        Ok(Err(error)) => return Err(malformed(error.into())),
        Err(error) => return Err(malformed(error.into())),
    };
    if config.format != ours {
        return Err(PullError::FormatMismatch { remote: name(), theirs: config.format, ours });
    }
    if config.mode != Mode::Archive {
        return Err(PullError::NotAnArchive { remote: name(), mode: config.mode.as_str().to_owned() });
    }
    Ok(())
}
