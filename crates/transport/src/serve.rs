//! A static web server for one repository: HTTP/1.1 and HTTP/2, which clients choose over TLS, or else know beforehand.
//!
//! Who sends nothing, or too slowly, or takes next to nothing of an answer loses the connection after a while, and what
//! waits for its client takes no thread and little memory, so that nobody keeps others out.
//!
//! GET and HEAD, single ranges, entity tags, dates. It shows the files that others need (configuration, summary, refs,
//! objects, deltas) and nothing else: no listings, no staging, no keys, nothing outside the directory.

mod body;
mod pace;
mod patient;
mod range;
mod tls;

use crate::files::{self, Public};
use body::FileBody;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use pace::{Pace, Paced};
use patient::Patient;
use sapwood_fsio::Dir;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
pub use tls::{ServerTls, ServerTlsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who asked.
    pub peer: SocketAddr,
    /// The method.
    pub method: String,
    /// The path asked for, as it came.
    pub path: String,
    /// The status.
    pub status: u16,
    /// Size of the body in bytes.
    pub body_bytes: u64,
}

/// Told of each answered request.
pub type OnAccess = Arc<dyn Fn(&Access) + Send + Sync>;

/// How a repository is served.
#[derive(Clone)]
pub struct ServeOptions {
    /// Connections at once; more wait. Each takes a descriptor. Default: 16384.
    pub max_connections: usize,
    /// How long a connection may be idle. Default: 60 s.
    pub idle_timeout: Duration,
    /// How long a client may take to send the head of a request once it has begun, or to agree on TLS; and for how long it may
    /// take nothing of its answers, or less than 256 bytes a second. Default: 20 s.
    pub patience: Duration,
    /// What proves to clients who this is; without it nothing is encrypted. Default: nothing.
    pub tls: Option<ServerTls>,
    /// How long requests under way may take after the shutdown was asked for. Default: 10 s.
    pub shutdown_grace: Duration,
    /// Called for each request when its answer begins.
    pub on_access: Option<OnAccess>,
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            idle_timeout: Duration::from_mins(1),
            patience: Duration::from_secs(20),
            tls: None,
            shutdown_grace: Duration::from_secs(10),
            on_access: None,
        }
    }
}

#[derive(Debug)]
struct Site {
    dir: Dir,
    options: ServeOptions,
}

/// Serves the repository in `dir` until `shutdown` resolves, then lets requests under way finish.
///
/// A connection that fails ends alone; the server goes on.
pub async fn serve(
    dir: Dir,
    listener: TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(options.max_connections.max(1)));
    let grace = options.shutdown_grace;
    let site = Arc::new(Site { dir, options });
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: they come back as connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let watcher = graceful.watcher();
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            connection(site, stream, peer, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut at shutdown");
    }
}

async fn connection(
    site: Arc<Site>,
    stream: TcpStream,
    peer: SocketAddr,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let ServeOptions { idle_timeout: idle, patience, .. } = site.options;
    // A client that says nothing would else keep its place for ever.
    if !matches!(tokio::time::timeout(idle, stream.readable()).await, Ok(Ok(()))) {
        return;
    }
    // Small answers go out at once.
    drop(stream.set_nodelay(true));
    let stream = Patient::new(stream, patience);
    match &site.options.tls {
        None => talk(site, stream, peer, watcher).await,
        Some(tls) => match tokio::time::timeout(patience, tls.accept(stream)).await {
            // What came so far was TLS itself: the beginning of what it carries is waited for no longer, either.
            Ok(Ok(stream)) => talk(site, Patient::new(stream, patience), peer, watcher).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no agreement on TLS"),
            Err(_) => tracing::debug!(%peer, "too slow to agree on TLS"),
        },
    }
}

/// Requests that one connection may have under way: as many files are open for it.
const STREAMS: u32 = 32;

/// Answers what comes over a connection.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: Arc<Site>,
    stream: S,
    peer: SocketAddr,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let ServeOptions { idle_timeout: idle, patience, .. } = site.options;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_headers(100)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(idle)
        .keep_alive_timeout(patience)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(64 << 10)
        .max_send_buf_size(pace::MOST_BYTES_OF_ONE);
    let pace = Pace::new();
    let service = service_fn(|request| {
        let response = respond(&site, &request, peer).map(|body| Paced::new(body, &pace));
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = watcher.watch(connection.into_owned()) => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
            }
        }
        () = pace.too_slow(patience) => tracing::debug!(%peer, "takes too little of its answers"),
    }
}

fn respond<B>(site: &Site, request: &Request<B>, peer: SocketAddr) -> Response<FileBody> {
    let response = answer(site, request);
    if let Some(on_access) = &site.options.on_access {
        on_access(&Access {
            peer,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            status: response.status().as_u16(),
            body_bytes: response.body().len(),
        });
    }
    response
}

fn answer<B>(site: &Site, request: &Request<B>) -> Response<FileBody> {
    let head = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
    };
    let path = crate::http::url::decode(request.uri().path());
    let path = std::str::from_utf8(&path).ok().and_then(|path| path.strip_prefix('/'));
    let Some(path) = path else { return plain(StatusCode::NOT_FOUND) };
    match files::open(&site.dir, path) {
        Ok(Some(public)) => file(public, request.headers(), head, crate::wire::is_immutable(path)),
        Ok(None) => plain(StatusCode::NOT_FOUND),
        Err(error) => {
            tracing::warn!(%error, path, "cannot serve a file");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn plain(status: StatusCode) -> Response<FileBody> {
    let mut response = Response::new(FileBody::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn file(public: Public, asked: &HeaderMap, head: bool, immutable: bool) -> Response<FileBody> {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let size = public.stat.size;
    let tag = public.tag();
    let mtime = u64::try_from(public.stat.mtime_ns / 1_000_000_000).unwrap_or(0);
    let mut wanted = range::wanted(text(RANGE).filter(|_| !head), size);
    if !range::range_counts(text(IF_RANGE), &tag, mtime) {
        wanted = range::Wanted::All;
    }

    let mut response = Response::new(FileBody::empty());
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(LAST_MODIFIED, value(&crate::date::format(mtime)));
    headers.insert(ETAG, value(&tag));
    let caching = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if range::is_current(text(IF_NONE_MATCH), text(IF_MODIFIED_SINCE), &tag, mtime) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let (start, len) = match wanted {
        range::Wanted::All => (0, size),
        range::Wanted::Part { start, len } => {
            headers.insert(CONTENT_RANGE, value(&format!("bytes {start}-{}/{size}", start + len - 1)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (start, len)
        }
        range::Wanted::Nothing => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE);
            response.headers_mut().insert(CONTENT_RANGE, value(&format!("bytes */{size}")));
            return response;
        }
    };
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
    if !head {
        match FileBody::new(public, start, len) {
            Ok(body) => *response.body_mut() = body,
            Err(error) => {
                tracing::warn!(%error, "cannot read a file");
                return plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
    }
    response
}

/// Header values made of digits, dates and hexadecimal are always valid.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
