//! The summary of a remote: fetched, checked against the policy, and kept for the next time.
//!
//! Where it must be signed, its signatures are asked for first: they are small, and no other summary has the same. If
//! they are those of the last time, and the summary that is kept is what they sign, then that one is the newest and is
//! not fetched again. The same goes for a statement, which has the digest of the summary. What is kept counts for nothing else: it is checked as if it had come just now, by the policy of
//! now, and what does not pass is fetched. It is replaced only by what passed.

use super::fresh::{Freshness, stale};
use super::meta::small;
use super::net::Traffic;
use super::options::{PullLimits, PullOptions};
use crate::{PullError, Remote, SummaryProblem, wire};
use bytes::Bytes;
use sapwood_fsio::{At as _, Dir, Staged};
use sapwood_objstore::{Commit, Format, Id, Metadata};
use sapwood_repo::sign::Policy;
use sapwood_repo::statement::{Checked, MAX_BYTES as MAX_STATEMENT_BYTES, check_summary};
use sapwood_repo::{RefName, RemoteName, Repo, Summary};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

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
    /// them tells. Nothing is synced: what a power loss damages is fetched again. Their time is 0: real `ostree` takes it for
    /// that of the remote's files, and believes what is kept where the remote has nothing that is newer.
    fn store(&self, pair: &Pair) -> Result<(), sapwood_fsio::Error> {
        let dir = sapwood_fsio::ensure_dir(&self.dir, DIR, 0o775)?;
        let put = |name: &str, bytes: &Bytes| {
            let mut staged = Staged::create(&dir)?;
            staged.write_all(bytes).at("write", name)?;
            sapwood_fsio::set_mode(staged.file(), 0o644)?;
            sapwood_fsio::set_mtime(staged.file(), 0)?;
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
    pub(super) statement: Option<Bytes>,
}

/// What is asked of a summary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demands<'a> {
    pub(super) format: Format,
    pub(super) policy: &'a Policy,
    pub(super) freshness: Option<&'a Freshness>,
    /// What is beside it is wanted even if nobody checks it.
    pub(super) whole: bool,
    pub(super) cache: Option<&'a SummaryCache>,
    pub(super) max_bytes: u64,
}

impl<'a> Demands<'a> {
    pub(super) fn of(options: &'a PullOptions, format: Format) -> Self {
        Self {
            format,
            policy: &options.policy,
            freshness: options.freshness.as_ref(),
            whole: options.copy_summary,
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
    match attempt(remote, traffic, demands).await {
        // It was being replaced when it was fetched, file by file.
        Err(error) if error.is_mixed() => attempt(remote, traffic, demands).await,
        other => other,
    }
}

async fn attempt(remote: &dyn Remote, traffic: &Traffic, demands: Demands<'_>) -> Result<Listing, PullError> {
    let name = remote.describe();
    let get = |path| file(remote, traffic, path, demands.max_bytes);
    let get_if = |wanted: bool, path| async move { if wanted { get(path).await } else { Ok(None) } };
    let has_policy = !demands.policy.summary.is_empty();
    let kept = demands.cache.filter(|_| has_policy || demands.freshness.is_some());
    let kept = kept.and_then(|cache| Some((cache, cache.load(demands.max_bytes)?)));
    // What is small, and tells whether the rest is new.
    let (signatures, statement) =
        tokio::join!(get_if(has_policy || demands.whole, wire::SUMMARY_SIG), async {
            let limit = MAX_STATEMENT_BYTES.min(demands.max_bytes);
            let wanted = demands.whole || demands.freshness.is_some();
            if wanted { file(remote, traffic, wire::STATEMENT, limit).await } else { Ok(None) }
        });
    let (signatures, statement) = (signatures?, statement?);
    let checked = demands.freshness.map(|fresh| fresh.check(&name, statement.as_deref())).transpose()?;
    let offered = Offered { signatures, statement, checked };
    if let Some((cache, pair)) = kept
        && offered.may_be_about(&pair, has_policy)
    {
        match demands.checked(&name, Some(pair.summary), offered.clone()) {
            Ok(listing) => return Ok(listing),
            Err(error) if cache.on_mismatch == OnMismatch::Fail => {
                let problem = SummaryProblem::Cached { source: Box::new(error) };
                return Err(PullError::UntrustedSummary { remote: name.into(), problem });
            }
            Err(error) => tracing::debug!(%error, "what was kept does not pass"),
        }
    }
    Ok(demands.kept(demands.checked(&name, get(wire::SUMMARY).await?, offered)?))
}

/// What a remote has beside its summary.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub(super) signatures: Option<Bytes>,
    pub(super) statement: Option<Bytes>,
    pub(super) checked: Option<Checked>,
}

impl Offered {
    /// Whether a summary that was kept may be the one that this is about.
    fn may_be_about(&self, pair: &Pair, has_policy: bool) -> bool {
        let is_stated =
            self.checked.as_ref().is_none_or(|it| check_summary(&it.statement, Some(&pair.summary)).is_ok());
        let is_signed = !has_policy || self.signatures.as_ref() == Some(&pair.signatures);
        is_stated && is_signed
    }
}

impl Demands<'_> {
    /// Whether a ref that the summary does not list is none: what must be proven is believed alone.
    pub(super) fn is_summary_believed_alone(&self) -> bool {
        !self.policy.summary.is_empty() || self.freshness.is_some()
    }

    /// Checks what came, and reads it.
    pub(super) fn checked(
        &self,
        remote: &str,
        bytes: Option<Bytes>,
        offered: Offered,
    ) -> Result<Listing, PullError> {
        let Offered { signatures, statement, checked } = offered;
        if let Some(checked) = &checked {
            check_summary(&checked.statement, bytes.as_deref()).map_err(|error| stale(remote, error))?;
        }
        check(self.policy, remote, self.format, bytes.as_deref(), signatures.as_deref())?;
        let summary = bytes.as_ref().map(|bytes| decode(remote, self.format, bytes)).transpose()?;
        if let Some(expired) = summary.as_ref().and_then(Summary::expires) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            if expired <= now {
                return Err(PullError::SummaryExpired { remote: remote.into(), expired, now });
            }
        }
        Ok(Listing { summary, bytes, signatures, statement })
    }

    /// Keeps what passed. That it cannot be kept is no reason not to use it.
    fn kept(&self, listing: Listing) -> Listing {
        let is_proven = self.is_summary_believed_alone();
        if let (Some(cache), Some(summary)) = (self.cache.filter(|_| is_proven), &listing.bytes) {
            // Where no signatures are asked for, there are none to compare either.
            let signatures = listing.signatures.clone().unwrap_or_default();
            if let Err(error) = cache.store(&Pair { summary: summary.clone(), signatures }) {
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

/// The remote's summary, if it has one; from `cache` where that is the newest. What is seen of statements is not remembered
/// by this.
///
/// # Errors
/// When it cannot be fetched, is malformed, is not signed as the policy requires, or not proven to be the newest.
pub async fn remote_summary(
    remote: &dyn Remote,
    format: Format,
    policy: &Policy,
    freshness: Option<&Freshness>,
    cache: Option<&SummaryCache>,
) -> Result<Option<RemoteSummary>, PullError> {
    let max_bytes = PullLimits::default().max_meta_bytes;
    let demands = Demands { format, policy, freshness, whole: false, cache, max_bytes };
    let Listing { summary, bytes, signatures, .. } = listing(remote, &Traffic::within(None), demands).await?;
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
    freshness: Option<&Freshness>,
    cache: Option<&SummaryCache>,
) -> Result<Vec<(RefName, Id<Commit>)>, PullError> {
    match remote_summary(remote, format, policy, freshness, cache).await? {
        Some(RemoteSummary { summary, .. }) => {
            Ok(summary.refs.into_iter().map(|listed| (listed.name, listed.target)).collect())
        }
        None => Err(PullError::NoSummary { remote: remote.describe().into() }),
    }
}
