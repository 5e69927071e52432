//! From a configured remote to something that can be pulled from.
//!
//! What a remote's configuration asks for and this version cannot do is refused, never left out. Who pulls says by what
//! policy, so that none is left out either.

use crate::args::{OSTREE_VERSION, Persona};
use crate::ctx::{Ctx, open_dir, variable};
use crate::report::{Advised, usage};
use crate::trust::Terms;
use crate::ui::pulling::PullReport;
use sapwood_repo::{Remote as Configured, Repo};
use sapwood_transport::{
    ClientCertificate, HttpOptions, HttpRemote, MirrorRemote, MirrorSource, OnMismatch, Proxies, PullEvent,
    PullOptions, PullOutcome, PullPlan, Remote, ServerCheck, SplitRemote, SummaryCache, plan_pull, pull,
    pull_local,
};
use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Largest file of certificates or keys.
pub(crate) const MAX_PEM_BYTES: u64 = 16 << 20;

/// Where to pull from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A server, or whatever else is read file by file.
    Files {
        /** It. */
        remote: Arc<dyn Remote>,
        /** How many bytes of it a pull may receive in a second. */
        max_bytes_per_second: Option<NonZeroU64>,
    },
    /// A repository of this machine.
    Local(PathBuf),
}

impl Source {
    /// As something to be read file by file; of local repositories only archives can be.
    pub(crate) fn into_files(self) -> anyhow::Result<Arc<dyn Remote>> {
        match self {
            Self::Files { remote, .. } => Ok(remote),
            Self::Local(path) => as_files(&path),
        }
    }
}

/// What the command line says about a connection, beyond the configuration.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// Under which name the program runs; our own by default.
    pub(crate) persona: Option<Persona>,
    /// Whether an archive of this machine is read as a server's is, with its deltas.
    pub(crate) file_by_file: bool,
    /// Instead of the remote's address.
    pub(crate) url: Option<String>,
    /// How often a failed request is repeated.
    pub(crate) retries: Option<u32>,
    /// Below this many bytes a second a transfer is given up.
    pub(crate) min_bytes_per_second: Option<u64>,
    /// How many bytes may come in a second, instead of what the remote's key `limit-rate` says.
    pub(crate) limit_rate: Option<NonZeroU64>,
    /// For how long it must be that slow.
    pub(crate) stall_seconds: Option<u64>,
    /// What is put behind the name of this program.
    pub(crate) user_agent: Option<String>,
    /// Headers sent with each request.
    pub(crate) headers: Vec<(String, String)>,
}

/// Connects to nothing yet, but says what would be.
pub(crate) fn source(repo: &Repo, remote: &Configured, overrides: &Overrides) -> anyhow::Result<Source> {
    refuse_wrong_collection(remote)?;
    let max_bytes_per_second = limit_rate(remote, overrides.limit_rate)?;
    let metalink = remote.option("metalink").filter(|_| overrides.url.is_none());
    let url = overrides.url.as_deref().unwrap_or(&remote.url);
    if !url.is_empty() {
        refuse_custom_backend(remote)?;
    }
    if let Some(path) = path_of(url).filter(|_| metalink.is_none()) {
        return Ok(if overrides.file_by_file {
            Source::Files { remote: as_files(&path)?, max_bytes_per_second }
        } else {
            Source::Local(path)
        });
    }
    let mut options = http_options(repo, remote, overrides)?;
    if let Some(limit) = max_bytes_per_second {
        // Who lets no more come must not give up for getting no more.
        options.min_bytes_per_second = options.min_bytes_per_second.min(limit.get() / 64);
        options.read_ahead_bytes = Some(u32::try_from(limit.get()).unwrap_or(u32::MAX));
    }
    let content_url = remote.content_url.as_deref().filter(|_| overrides.url.is_none());
    // These servers were named by who configured the remote, whoever leads to them.
    let named = metalink.into_iter().chain([url]).chain(content_url);
    options.origins = named
        .map(|url| url.strip_prefix("mirrorlist=").unwrap_or(url))
        .filter(|url| is_http(url))
        .map(str::to_owned)
        .collect();
    let meta: Arc<dyn Remote> = match metalink {
        Some(url) => Arc::new(MirrorRemote::new(url, MirrorSource::Metalink, options.clone())),
        None if url.is_empty() => return Err(no_url(remote)),
        None => at(url, options.clone())?,
    };
    let remote = match content_url {
        Some(url) => Arc::new(SplitRemote { meta, content: at(url, options)? }),
        _ => meta,
    };
    Ok(Source::Files { remote, max_bytes_per_second })
}

/// What is said of a remote without an address.
pub(crate) fn no_url(remote: &Configured) -> anyhow::Error {
    usage(format!("No \"url\" option in remote \"{}\"", remote.name))
}

/// Whether an address is one of the web.
fn is_http(url: &str) -> bool {
    let is_one = |scheme: &str| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    url.split_once("://").is_some_and(|(scheme, _)| is_one(scheme))
}

/// The directory that a `file` address leads to, on this machine (RFC 8089). A path that was not percent-encoded is taken as it is
/// where there is no other.
fn path_of(url: &str) -> Option<PathBuf> {
    let (scheme, rest) = url.split_once("://")?;
    let raw = rest.strip_prefix("localhost/").map_or_else(|| rest.to_owned(), |path| format!("/{path}"));
    // What is on another host is none that can be read here.
    if !scheme.eq_ignore_ascii_case("file") || !raw.starts_with('/') {
        return None;
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(&raw).collect();
    let (raw, decoded) = (PathBuf::from(raw), PathBuf::from(OsString::from_vec(decoded)));
    Some(if !decoded.exists() && raw.exists() { raw } else { decoded })
}

/// What an address of a configuration leads to.
fn at(url: &str, options: HttpOptions) -> anyhow::Result<Arc<dyn Remote>> {
    if let Some(list) = url.strip_prefix("mirrorlist=") {
        return Ok(Arc::new(MirrorRemote::new(list, MirrorSource::List, options)));
    }
    if !is_http(url) {
        return Err(usage(format!("Invalid URI scheme in {url}")));
    }
    Ok(Arc::new(HttpRemote::new(url, options)?))
}

/// How many bytes a pull may receive in a second: what the command line says, or else the remote's key `limit-rate`.
fn limit_rate(remote: &Configured, given: Option<NonZeroU64>) -> anyhow::Result<Option<NonZeroU64>> {
    let Some(text) = remote.option("limit-rate").filter(|_| given.is_none()) else { return Ok(given) };
    let of = || format!("Invalid limit-rate of remote \"{}\"", remote.name);
    parse_rate(text).map(Some).map_err(|why| usage(format!("{}: {why}", of())))
}

/// Reads bytes a second: digits, and `K`, `M` or `G` for powers of 1024.
pub(crate) fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let (digits, unit) = match text.trim().char_indices().last() {
        Some((at, 'k' | 'K')) => (&text.trim()[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text.trim()[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text.trim()[..at], 1 << 30),
        _ => (text.trim(), 1_u64),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number
        .and_then(NonZeroU64::new)
        .ok_or_else(|| format!("{text:?} is no number of bytes a second, such as 500K"))
}

fn http_options(repo: &Repo, remote: &Configured, overrides: &Overrides) -> anyhow::Result<HttpOptions> {
    let mut options = HttpOptions { headers: overrides.headers.clone(), ..HttpOptions::default() };
    if overrides.persona == Some(Persona::Ostree) {
        // Some servers tell their clients apart by it.
        options.user_agent = format!("libostree/{OSTREE_VERSION}");
    }
    if let Some(text) = &overrides.user_agent {
        options.user_agent = format!("{} {text}", options.user_agent);
    }
    if let Some(retries) = overrides.retries {
        options.retries = retries;
    }
    if let Some(limit) = overrides.min_bytes_per_second {
        options.min_bytes_per_second = limit;
    }
    match overrides.stall_seconds {
        // As for libcurl: then no transfer is too slow. One of which nothing comes any more still is.
        Some(0) => options.min_bytes_per_second = 0,
        Some(seconds) => options.stall_window = Duration::from_secs(seconds),
        None => {}
    }
    options.proxies = proxies(remote);
    options.cookies = crate::cmd::remote::cookies::read(repo, remote.name.as_str())?;
    if remote.flag("tls-permissive", false) {
        options.server_check = ServerCheck::Nothing;
    }
    let pem = |key: &str| {
        remote.option(key).map(|path| crate::ctx::read_file(path.as_ref(), MAX_PEM_BYTES)).transpose()
    };
    options.ca_certificates = pem("tls-ca-path")?;
    options.client_certificate = match (pem("tls-client-cert-path")?, pem("tls-client-key-path")?) {
        (Some(certificates), Some(key)) => Some(ClientCertificate { certificates, key }),
        (None, None) => None,
        _ => {
            let message = format!(
                "Remote \"{}\" must specify both \"tls-client-cert-path\" and \"tls-client-key-path\"",
                remote.name
            );
            return Err(usage(message));
        }
    };
    Ok(options)
}

/// Without its collection, commits of others would pass.
fn refuse_wrong_collection(remote: &Configured) -> anyhow::Result<()> {
    match remote.option("collection-id").filter(|id| !id.trim().is_empty()) {
        Some(id) if remote.collection_id().is_none() => {
            Err(usage(format!("Invalid collection ID {id} of remote '{}'", remote.name)))
        }
        _ => Ok(()),
    }
}

/// Refuses to pull from a remote that still has to be configured.
pub(crate) fn refuse_unconfigured(remote: &Configured) -> anyhow::Result<()> {
    let Some(what) = remote.option("unconfigured-state") else { return Ok(()) };
    let name = &remote.name;
    let hint =
        format!("`sapwood config unset 'remote \"{name}\".unconfigured-state'` says that it is configured");
    let message = format!("remote unconfigured-state: {what}");
    Err(Advised { kind: "unconfigured", message, hint }.into())
}

/// What another program brings is not asked for here.
pub(crate) fn refuse_custom_backend(remote: &Configured) -> anyhow::Result<()> {
    let name = &remote.name;
    if let Some(backend) = remote.option("custom-backend") {
        let message = format!("remote '{name}' uses custom backend '{backend}'");
        let hint = format!("pull it with {backend}");
        return Err(Advised { kind: "unsupported", message, hint }.into());
    }
    Ok(())
}

/// The remote's own proxy, or those of the environment: the variables that libcurl reads, and so `ostree` does. An empty key
/// is no proxy, whatever the environment says.
fn proxies(remote: &Configured) -> Proxies {
    let first = |names: &[&str]| {
        let found = names.iter().find_map(|name| variable(name));
        found.map(|value| value.to_string_lossy().into_owned())
    };
    let none_for = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    if let Some(own) = remote.option("proxy") {
        return Proxies { http: Some(own.to_owned()), https: Some(own.to_owned()), none_for };
    }
    let all = || first(&["all_proxy", "ALL_PROXY"]);
    Proxies {
        // Not `HTTP_PROXY`: a server that starts programs sets that to what a client sends.
        http: first(&["http_proxy"]).or_else(all),
        https: first(&["https_proxy", "HTTPS_PROXY"]).or_else(all),
        none_for,
    }
}

/// The threads that do the networking.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Where the summary of a remote is kept: in `dir`, or else in the repository; nowhere if that cannot be written, or
/// `$OSTREE_SKIP_CACHE` is set. As in OSTree, `OSTREE_REPO_TEST_ERROR=invalid-cache` lets one that was damaged be an
/// error rather than be fetched again.
pub(crate) fn summary_cache(
    repo: &Repo,
    remote: &Configured,
    dir: Option<&Path>,
) -> anyhow::Result<Option<SummaryCache>> {
    let mut cache = match dir {
        _ if variable("OSTREE_SKIP_CACHE").is_some() => return Ok(None),
        Some(dir) => SummaryCache::new(open_dir(dir)?, &remote.name),
        None => match SummaryCache::of(repo, &remote.name) {
            Ok(cache) => cache,
            Err(error) => {
                tracing::debug!(%error, "the summary will not be kept");
                return Ok(None);
            }
        },
    };
    if variable("OSTREE_REPO_TEST_ERROR").is_some_and(|value| value.as_os_str() == "invalid-cache") {
        cache.on_mismatch = OnMismatch::Fail;
    }
    Ok(Some(cache))
}

/// Pulls with a progress line, what `terms` let pass, and as fast as the source is to be read.
pub(crate) fn pull_from(
    ctx: &Ctx,
    repo: &Repo,
    from: Source,
    caches: &[&Repo],
    terms: Terms,
    options: &PullOptions,
) -> anyhow::Result<PullOutcome> {
    let (remote, max_bytes_per_second) = match from {
        Source::Files { remote, max_bytes_per_second } => (remote, max_bytes_per_second),
        Source::Local(path) => {
            return pull_from_repo(ctx, repo, &crate::ctx::open_repo_at(&path)?, terms, options);
        }
    };
    let options = PullOptions { max_bytes_per_second, ..on_terms(terms, options) };
    let report = PullReport::new(ctx)?;
    let on_event = |event: PullEvent<'_>| report.tell(event);
    Ok(pull(runtime()?.handle(), repo, remote, caches, &options, &on_event)?)
}

/// The same from a repository that is open.
pub(crate) fn pull_from_repo(
    ctx: &Ctx,
    repo: &Repo,
    from: &Repo,
    terms: Terms,
    options: &PullOptions,
) -> anyhow::Result<PullOutcome> {
    let report = PullReport::new(ctx)?;
    let on_event = |event: PullEvent<'_>| report.tell(event);
    Ok(pull_local(repo, from, &on_terms(terms, options), &on_event)?)
}

/// Options with the terms on which it is pulled.
fn on_terms(terms: Terms, options: &PullOptions) -> PullOptions {
    let Terms { policy, freshness, summary_cache } = terms;
    PullOptions { policy: Arc::new(policy), freshness, summary_cache, ..options.clone() }
}

/// What a pull would fetch.
pub(crate) fn plan(
    ctx: &Ctx,
    repo: &Repo,
    from: Source,
    caches: &[&Repo],
    terms: Terms,
    options: &PullOptions,
) -> anyhow::Result<PullPlan> {
    let max_bytes_per_second = match &from {
        Source::Files { max_bytes_per_second, .. } => *max_bytes_per_second,
        Source::Local(_) => None,
    };
    let options = &PullOptions { max_bytes_per_second, ..on_terms(terms, options) };
    let progress = ctx.progress();
    let on_event = |event: PullEvent<'_>| {
        if let PullEvent::Progress(now) = event {
            progress.note(format!("{}/{} metadata objects", now.meta_done, now.meta_known));
        }
    };
    Ok(plan_pull(runtime()?.handle(), repo, from.into_files()?, caches, options, &on_event)?)
}

/// A local repository as something to be read file by file: only archives can be.
pub(crate) fn as_files(path: &std::path::Path) -> anyhow::Result<Arc<dyn Remote>> {
    Ok(Arc::new(sapwood_transport::DirRemote::new(open_dir(path)?, path.display().to_string())))
}
