//! Remotes over HTTP and HTTPS.
//!
//! A request that fails for a passing reason is repeated, after a wait. A body whose connection breaks is continued by a
//! range request where the file is known to be the same: objects are, as they are named by their content, and others
//! by their entity tag. So who reads a body sees no break; what is wrong in the end is found by hashing.

mod body;
mod client;
mod cookies;
mod metalink;
mod mirrors;
mod proxy;
mod rate;
mod retry;
mod secrets;
mod tls;
pub(crate) mod url;

pub use cookies::{Cookie, CookieError, CookieJar};
pub use metalink::{Metalink, MetalinkError};
pub use mirrors::{MirrorRemote, MirrorSource};
pub use proxy::Proxies;

use crate::{FetchError, Limits, Range, Remote, Response};
use async_trait::async_trait;
use client::{Web, shown};
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, HeaderValue, IF_RANGE, RANGE,
    RETRY_AFTER, USER_AGENT,
};
use hyper::{HeaderMap, StatusCode, Uri};
use secrets::{NamedBy, Secrets};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a server is talked to.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// How long a connection may take to come about. Default: 30 s.
    pub connect_timeout: Duration,
    /// When all transfers from a server together are below this many bytes a second for
    /// [`stall_window`](Self::stall_window), they are given up; they share one line. Default: 1000.
    pub min_bytes_per_second: u64,
    /// See [`min_bytes_per_second`](Self::min_bytes_per_second). A single transfer of which nothing comes for so long is given up
    /// when the others got 8 MiB meanwhile. Time counts only while bytes are waited for. Also how long an answer may take to
    /// begin, after the connection came about; over HTTP/2, where requests wait for each other, only if meanwhile nothing comes
    /// of the others either. Default: 30 s.
    pub stall_window: Duration,
    /// How often a failed request is repeated. Default: 5.
    pub retries: u32,
    /// The wait before the first repetition; it doubles each time, and is varied by chance. Default: 200 ms.
    pub first_backoff: Duration,
    /// The longest wait, also where the server asks for a longer one. Default: 60 s.
    pub max_backoff: Duration,
    /// How many redirects are followed for one file. Default: 5.
    pub max_redirects: u32,
    /// What this program calls itself. Default: `sapwood/VERSION`.
    pub user_agent: String,
    /// Addresses besides the remote's own whose servers may see what is private: [`headers`](Self::headers),
    /// [`cookies`](Self::cookies), [`client_certificate`](Self::client_certificate). Nobody does whom only a list of mirrors, a
    /// metalink or a redirect names, unless it is the host of a server at the usual port of HTTP that goes on over TLS at the
    /// usual one. Default: none.
    pub origins: Vec<String>,
    /// How many bytes a server may send ahead of what was read, where that can be said (over HTTP/2). Default: 8 MiB of a file,
    /// 16 MiB of all that come over one connection.
    pub read_ahead_bytes: Option<u32>,
    /// Headers sent with each request, such as `Authorization: Bearer …`.
    pub headers: Vec<(String, String)>,
    /// Cookies sent where they belong. To servers that were not named (see [`origins`](Self::origins)) a cookie goes over TLS
    /// alone, and only if it is for that very host.
    pub cookies: CookieJar,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_certificates: Option<Vec<u8>>,
    /// What this machine shows to servers that ask who it is.
    pub client_certificate: Option<ClientCertificate>,
    /// Which proxies are used. The environment is not looked at. Default: none.
    pub proxies: Proxies,
    /// Whether a server must prove who it is. Default: yes.
    pub server_check: ServerCheck,
}

/// A certificate of this machine's own, and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate and those above it (PEM).
    pub certificates: Vec<u8>,
    /// Its private key (PEM).
    pub key: Vec<u8>,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// Whether a server must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerCheck {
    /// By a certificate that is trusted and names it.
    #[default]
    Certificate,
    /// Not at all: whoever is on the way can answer in its place. Objects are still what their names say.
    Nothing,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            min_bytes_per_second: 1000,
            stall_window: Duration::from_secs(30),
            retries: 5,
            first_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_mins(1),
            max_redirects: 5,
            read_ahead_bytes: None,
            user_agent: concat!("sapwood/", env!("CARGO_PKG_VERSION")).to_owned(),
            origins: Vec::new(),
            headers: Vec::new(),
            cookies: CookieJar::default(),
            ca_certificates: None,
            client_certificate: None,
            proxies: Proxies::default(),
            server_check: ServerCheck::default(),
        }
    }
}

/// An address, or a header for it, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {why}")]
pub struct UrlError {
    /// The address, without credentials.
    pub url: String,
    /// Why not.
    pub why: &'static str,
}

/// A repository behind `http://` or `https://`.
#[derive(Debug, Clone)]
pub struct HttpRemote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: url::Url,
    web: Web,
    headers: HeaderMap,
    options: Arc<HttpOptions>,
    rate: rate::Rate,
    /// How often anything was asked for again.
    troubles: AtomicU64,
}

/// What one answer, after all repetitions, came to.
struct Opened {
    body: hyper::body::Incoming,
    start: u64,
    length: Option<u64>,
    tag: Option<String>,
}

impl HttpRemote {
    /// The repository at `url`; `user:password@` in it is sent as basic authentication. Nothing is connected to yet.
    ///
    /// # Errors
    /// When the address, one of [`HttpOptions::origins`], that of a proxy, or a header of the options, is malformed.
    pub fn new(url: &str, options: HttpOptions) -> Result<Self, UrlError> {
        Self::named(url, NamedBy::Owner, options)
    }

    fn named(url: &str, by: NamedBy, options: HttpOptions) -> Result<Self, UrlError> {
        let (base, credentials) = url::Url::parse(url)?;
        let mut headers = HeaderMap::new();
        let agent = HeaderValue::from_str(&options.user_agent);
        let malformed = |_invalid| UrlError { url: base.shown(), why: "malformed user agent" };
        headers.insert(USER_AGENT, agent.map_err(malformed)?);
        let secrets = Secrets::new(&base, credentials.as_ref(), by, &options)?;
        let options = Arc::new(options);
        let web = Web::new(Arc::clone(&options), secrets)?;
        let rate = rate::Rate::new(&options);
        let troubles = AtomicU64::new(0);
        Ok(Self { inner: Arc::new(Inner { base, web, headers, options, rate, troubles }) })
    }
}

/// Fetches one file by its whole address, which may have a query.
async fn whole_file(
    address: &str,
    named_by: NamedBy,
    options: HttpOptions,
    max_bytes: u64,
) -> Result<Option<bytes::Bytes>, FetchError> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Mirrors {
        url: url::without_credentials(address).into(),
        source,
    };
    let (file, query) = address.split_at(address.find('?').unwrap_or(address.len()));
    let inner = HttpRemote::named(file, named_by, options).map_err(|error| unusable(error.into()))?.inner;
    let uri: Uri = format!("{}{query}", inner.base.shown())
        .parse()
        .map_err(|error: hyper::http::uri::InvalidUri| unusable(error.into()))?;
    let Some(Opened { body, start, length, tag }) = inner.open(&uri, None).await? else { return Ok(None) };
    let resumable = tag.is_some();
    let body = body::HttpBody::new(inner, uri, body, start, length, tag.clone(), resumable);
    Response::new(start, length, tag, Box::new(body), Limits { max_bytes })?.bytes().await.map(Some)
}

#[async_trait]
impl Remote for HttpRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let address = self.inner.base.join(path);
        let Ok(uri) = address.parse::<Uri>() else {
            // Every path encodes to a valid address, unless it is too long for one.
            return Err(FetchError::TooLarge { url: self.describe().into(), limit_bytes: u16::MAX.into() });
        };
        let Some(opened) = self.inner.open(&uri, range).await? else { return Ok(None) };
        let Opened { body, start, length, tag } = opened;
        let is_immutable = crate::wire::is_immutable(path);
        let resumable = tag.is_some() || is_immutable;
        // Servers of one name may each give an object another tag.
        let kept = tag.clone().filter(|_| !is_immutable);
        let body = body::HttpBody::new(Arc::clone(&self.inner), uri, body, start, length, kept, resumable);
        Response::new(start, length, tag, Box::new(body), limits).map(Some)
    }

    fn troubles(&self) -> u64 {
        self.inner.troubles.load(Ordering::Relaxed)
    }

    fn describe(&self) -> String {
        self.inner.base.shown()
    }
}

impl Inner {
    /// Sends a request until it is answered for good.
    async fn open(&self, uri: &Uri, mut range: Option<Range>) -> Result<Option<Opened>, FetchError> {
        let mut attempt = 0;
        loop {
            let mut asked = None;
            let error = match self.once(uri, range.as_ref()).await {
                Ok(response) => {
                    let status = response.status();
                    match status {
                        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                            return opened(uri, range.as_ref(), response).map(Some);
                        }
                        // An empty file.
                        StatusCode::NO_CONTENT if range.is_none() => {
                            return opened(uri, None, response).map(Some);
                        }
                        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                        // What is there already is longer than the file: it is another one.
                        StatusCode::RANGE_NOT_SATISFIABLE if range.is_some() => {
                            range = None;
                            continue;
                        }
                        _ => {}
                    }
                    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    asked = header.and_then(retry::retry_after);
                    FetchError::Status { url: shown(uri), status: status.as_u16() }
                }
                Err(error) => error,
            };
            if attempt >= self.retries_for(&error) {
                return Err(error);
            }
            self.wait(attempt, asked, &error).await;
            attempt += 1;
        }
    }

    /// How often what failed so is tried again.
    fn retries_for(&self, error: &FetchError) -> u32 {
        match error {
            FetchError::Status { status, .. } if retry::is_transient(*status) => self.options.retries,
            // An address that never worked is more likely wrong than down.
            FetchError::Connect { .. } if !self.web.was_connected() => self.options.retries.min(1),
            FetchError::Connect { .. } | FetchError::Broken { .. } | FetchError::Timeout { .. } => {
                self.options.retries
            }
            FetchError::TooSlow { .. } | FetchError::Truncated { .. } => self.options.retries,
            _ => 0,
        }
    }

    async fn wait(&self, attempt: u32, asked: Option<Duration>, error: &FetchError) {
        self.troubles.fetch_add(1, Ordering::Relaxed);
        let wait = retry::backoff(&self.options, attempt, asked);
        tracing::warn!(%error, attempt, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }

    async fn once(
        &self,
        uri: &Uri,
        range: Option<&Range>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, FetchError> {
        let Some(range) = range else { return self.web.get(uri, &self.headers, &self.rate).await };
        let mut headers = self.headers.clone();
        headers.insert(RANGE, header(&format!("bytes={}-", range.start)));
        if let Some(tag) = &range.if_tag {
            headers.insert(IF_RANGE, header(tag));
        }
        self.web.get(uri, &headers, &self.rate).await
    }
}

/// A value that is known to be a valid header, as it is made of digits or was a header before.
fn header(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

/// Where the body of a successful answer belongs in the file.
fn opened(
    uri: &Uri,
    range: Option<&Range>,
    response: hyper::Response<hyper::body::Incoming>,
) -> Result<Opened, FetchError> {
    let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let tag = text(ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned);
    tracing::trace!(%uri, status = %response.status(), ranges = ?text(ACCEPT_RANGES), "answered");
    let (start, length) = if response.status() == StatusCode::PARTIAL_CONTENT {
        let span = text(CONTENT_RANGE).and_then(content_range);
        match (span, range) {
            (Some((start, length)), Some(range)) if start == range.start => (start, length),
            _ => return Err(FetchError::Changed { url: shown(uri) }),
        }
    } else {
        (0, text(CONTENT_LENGTH).and_then(|value| value.parse().ok()))
    };
    Ok(Opened { body: response.into_body(), start, length, tag })
}

/// Reads `bytes FIRST-LAST/LENGTH`: the first byte and the length of the whole.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (span, length) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let length = if length == "*" { None } else { Some(length.trim().parse().ok()?) };
    // A range that ends before the file does would look like the end of the file.
    (first <= last && length.is_none_or(|length| last.checked_add(1) == Some(length)))
        .then_some((first, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_to_the_end_of_the_file_are_understood() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in [
            "",
            "bytes */10",
            "bytes 5-8/10",
            "bytes 9-5/10",
            "items 5-9/10",
            "bytes 5-18446744073709551615/1",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_remote_is_described_without_its_credentials() {
        let address = "http://user:hunter2@example.org/repo/";
        let remote = HttpRemote::new(address, HttpOptions::default()).expect("valid");
        assert_eq!(remote.describe(), "http://example.org/repo");
        let debug = format!("{remote:?}");
        // As it stands in the address, and as it is sent.
        assert!(!debug.contains("hunter2") && !debug.contains("dXNlcjpodW50ZXIy"), "{debug}");
    }
}
