//! The summary of a remote: fetched, checked against the policy, and kept for the next time.
//!
//! Where it must be signed, its signatures are asked for first: they are small, and no other summary has the same. If
//! they are those of the last time, and the summary that is kept is what they sign, then that one is the newest and is
//! not fetched again. What is kept counts for nothing else: it is checked as if it had come just now, by the policy of
//! now, and what does not pass is fetched. It is replaced only by what passed.

use super::net::{Traffic, small};
use super::options::{PullLimits, PullOptions};
use crate::{PullError, Remote, SummaryProblem, wire};
use bytes::Bytes;
use sapwood_fsio::{At as _, Dir, Staged};
use sapwood_objstore::{Commit, Format, Id, Metadata};
use sapwood_repo::sign::Policy;
use sapwood_repo::{RefName, RemoteName, Repo, Summary};
use std::io::Write as _;
use std::sync::Arc;

/// Where in a directory of caches summaries are.
const DIR: &str = "summaries";

/// Where the summary of a remote and its signatures are kept between pulls: as `summaries/REMOTE` and `summaries/REMOTE.sig`
/// in a directory of caches, like OSTree.
#[derive(Debug, Clone)]
pub struct SummaryCache {
    dir: Arc<Dir>,
    name: String,
    /// What comes of a kept summary that its own signatures do not fit.
    pub on_mismatch: OnMismatch,
}

/// What comes of a kept summary that its own signatures do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMismatch {
    /// It is fetched again.
    #[default]
    Fetch,
    /// The pull fails, for who looks for the cause.
    Fail,
}

impl SummaryCache {
    /// In this directory of caches.
    pub fn new(dir: Dir, remote: &RemoteName) -> Self {
        Self { dir: Arc::new(dir), name: remote.to_string(), on_mismatch: OnMismatch::default() }
    }

    /// In a repository's own directory of caches.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of(repo: &Repo, remote: &RemoteName) -> Result<Self, sapwood_fsio::Error> {
        Ok(Self::new(sapwood_fsio::ensure_dir(repo.dir(), "tmp/cache", 0o775)?, remote))
    }

    /// What is kept; `None` unless both files can be read.
    fn load(&self, limit_bytes: u64) -> Option<Pair> {
        let read = |name: &str| {
            let read = sapwood_fsio::read_optional(&self.dir, format!("{DIR}/{name}"), limit_bytes);
            read.inspect_err(|error| tracing::debug!(%error, "what was kept cannot be used")).ok().flatten()
        };
        let signatures = read(&format!("{}.sig", self.name))?;
        Some(Pair { summary: read(&self.name)?.into(), signatures: signatures.into() })
    }

    /// Replaces what is kept. A crash between the two leaves files that do not fit each other, which [`load`](Self::load)ing
    /// them tells. Nothing is synced: what a power loss damages is fetched again.
    fn store(&self, pair: &Pair) -> Result<(), sapwood_fsio::Error> {
        let dir = sapwood_fsio::ensure_dir(&self.dir, DIR, 0o775)?;
        let put = |name: &str, bytes: &Bytes| {
            let mut staged = Staged::create(&dir)?;
            staged.write_all(bytes).at("write", name)?;
            sapwood_fsio::set_mode(staged.file(), 0o644)?;
            staged.publish(&dir, name)
        };
        put(&self.name, &pair.summary)?;
        put(&format!("{}.sig", self.name), &pair.signatures)
    }
}

/// A summary and its signatures.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    summary: Bytes,
    signatures: Bytes,
}

/// What a remote lists, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) summary: Option<Summary>,
    /// As they came: the summary, and its signatures.
    pub(super) bytes: Option<Bytes>,
    pub(super) signatures: Option<Bytes>,
}

/// What is asked of a summary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demands<'a> {
    pub(super) format: Format,
    pub(super) policy: &'a Policy,
    /// Signatures are wanted even if nobody checks them.
    pub(super) with_signatures: bool,
    pub(super) cache: Option<&'a SummaryCache>,
    pub(super) max_bytes: u64,
}

impl<'a> Demands<'a> {
    pub(super) fn of(options: &'a PullOptions, format: Format) -> Self {
        Self {
            format,
            policy: &options.policy,
            with_signatures: options.copy_summary,
            cache: options.summary_cache.as_ref(),
            max_bytes: options.limits.max_meta_bytes,
        }
    }
}

/// Gets the summary: from the cache where that is the remote's newest, else from the remote.
pub(super) async fn listing(
    remote: &dyn Remote,
    traffic: &Traffic,
    demands: Demands<'_>,
) -> Result<Listing, PullError> {
    let name = remote.describe();
    let get = |path| file(remote, traffic, path, demands.max_bytes);
    if demands.policy.summary.is_empty() {
        let signatures =
            async { if demands.with_signatures { get(wire::SUMMARY_SIG).await } else { Ok(None) } };
        let (bytes, signatures) = tokio::join!(get(wire::SUMMARY), signatures);
        return demands.checked(&name, bytes?, signatures?);
    }
    let kept = demands.cache.and_then(|cache| Some((cache, cache.load(demands.max_bytes)?)));
    let Some((cache, pair)) = kept else {
        let (bytes, signatures) = tokio::join!(get(wire::SUMMARY), get(wire::SUMMARY_SIG));
        return Ok(demands.kept(demands.checked(&name, bytes?, signatures?)?));
    };
    let signatures = get(wire::SUMMARY_SIG).await?;
    if signatures.as_ref() == Some(&pair.signatures) {
        match demands.checked(&name, Some(pair.summary), signatures.clone()) {
            Ok(listing) => return Ok(listing),
            Err(error) if cache.on_mismatch == OnMismatch::Fail => {
                let problem = SummaryProblem::Cached { source: Box::new(error) };
                return Err(PullError::UntrustedSummary { remote: name.into(), problem });
            }
            Err(error) => tracing::debug!(%error, "what was kept does not pass"),
        }
    }
    Ok(demands.kept(demands.checked(&name, get(wire::SUMMARY).await?, signatures)?))
}

impl Demands<'_> {
    /// Checks what came, and reads it.
    fn checked(
        &self,
        remote: &str,
        bytes: Option<Bytes>,
        signatures: Option<Bytes>,
    ) -> Result<Listing, PullError> {
        check(self.policy, remote, self.format, bytes.as_deref(), signatures.as_deref())?;
        let summary = bytes.as_ref().map(|bytes| decode(remote, self.format, bytes)).transpose()?;
        Ok(Listing { summary, bytes, signatures })
    }

    /// Keeps what passed. That it cannot be kept is no reason not to use it.
    fn kept(&self, listing: Listing) -> Listing {
        if let (Some(cache), Some(summary), Some(signatures)) =
            (self.cache, &listing.bytes, &listing.signatures)
        {
            let pair = Pair { summary: summary.clone(), signatures: signatures.clone() };
            if let Err(error) = cache.store(&pair) {
                tracing::debug!(%error, "the summary is not kept");
            }
        }
        listing
    }
}

/// Checks a summary, as it came, against the policy; before anything in it is believed.
pub(super) fn check(
    policy: &Policy,
    remote: &str,
    format: Format,
    summary: Option<&[u8]>,
    signatures: Option<&[u8]>,
) -> Result<(), PullError> {
    let Some(first) = policy.summary.first() else { return Ok(()) };
    let untrusted = |problem| PullError::UntrustedSummary { remote: remote.into(), problem };
    let not_there =
        |file| untrusted(SummaryProblem::NotThere { mechanism: first.name, file, option: first.option });
    let summary = summary.ok_or_else(|| not_there(wire::SUMMARY))?;
    let signatures = signatures.ok_or_else(|| not_there(wire::SUMMARY_SIG))?;
    // What cannot be read holds no signature.
    let beside = format.decode_metadata(signatures).unwrap_or_else(|error| {
        tracing::debug!(%error, "the file of signatures is malformed");
        Metadata::default()
    });
    let checked = policy.check_summary(summary, Some(&beside));
    checked.map_err(|source| untrusted(SummaryProblem::Untrusted(Box::new(source))))
}

/// Fetches a small file of the remote.
pub(super) async fn file(
    remote: &dyn Remote,
    traffic: &Traffic,
    path: &str,
    max_bytes: u64,
) -> Result<Option<Bytes>, PullError> {
    let fetched = small(remote, traffic, path, max_bytes).await;
    fetched.map_err(|source| PullError::Fetch { what: path.into(), source: Box::new(source) })
}

pub(super) fn decode(remote: &str, format: Format, bytes: &[u8]) -> Result<Summary, PullError> {
    Summary::decode(format, bytes).map_err(|source| PullError::Malformed {
        remote: remote.into(),
        file: wire::SUMMARY,
        source: source.into(),
    })
}

/// A summary that was fetched to be looked at.
#[derive(Debug)]
pub struct RemoteSummary {
    /// What it says.
    pub summary: Summary,
    /// Its bytes, which signatures are over.
    pub bytes: Bytes,
    /// The file of its signatures, where the policy asks for some.
    pub signatures: Option<Bytes>,
}

/// The remote's summary, if it has one; from `cache` where that is the newest.
///
/// # Errors
/// When it cannot be fetched, is malformed, or is not signed as the policy requires.
pub async fn remote_summary(
    remote: &dyn Remote,
    format: Format,
    policy: &Policy,
    cache: Option<&SummaryCache>,
) -> Result<Option<RemoteSummary>, PullError> {
    let max_bytes = PullLimits::default().max_meta_bytes;
    let demands = Demands { format, policy, with_signatures: false, cache, max_bytes };
    let Listing { summary, bytes, signatures } = listing(remote, &Traffic::default(), demands).await?;
    Ok(summary.zip(bytes).map(|(summary, bytes)| RemoteSummary { summary, bytes, signatures }))
}

/// The refs that the remote's summary lists.
///
/// # Errors
/// As [`remote_summary`], and [`PullError::NoSummary`].
pub async fn remote_refs(
    remote: &dyn Remote,
    format: Format,
    policy: &Policy,
    cache: Option<&SummaryCache>,
) -> Result<Vec<(RefName, Id<Commit>)>, PullError> {
    match remote_summary(remote, format, policy, cache).await? {
        Some(RemoteSummary { summary, .. }) => {
            Ok(summary.refs.into_iter().map(|listed| (listed.name, listed.target)).collect())
        }
        None => Err(PullError::NoSummary { remote: remote.describe().into() }),
    }
}
