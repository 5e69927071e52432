//! Sending one request: plain or over TLS, redirects followed, no repetition.

use super::proxy::{self, Connector};
use super::rate::Rate;
use super::secrets::Secrets;
use super::url::{self, Origin};
use super::{ClientCertificate, HttpOptions, UrlError};
use crate::FetchError;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{LOCATION, PROXY_AUTHORIZATION};
use hyper::{HeaderMap, Method, Request, Response, Uri, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Builder};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

type Client<C> = legacy::Client<C, Empty<Bytes>>;

/// Windows wide enough that a large object is not held up by them (HTTP/2's own 64 KiB are a quarter as fast).
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// What HTTP/2 has without anything said.
const MIN_WINDOW: u32 = 64 << 10;
/// Frames come as a whole or not at all, so even the slowest line that is good enough must carry one while a transfer may stall.
const FRAME_BYTES: u32 = 16 << 10;
/// More headers than any server sends; more than that is an attempt to use up memory.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: u32 = 256 << 10;

/// Made when it is first needed: reading the system's certificates takes a while.
type Tls = OnceLock<Result<Client<HttpsConnector<Connector>>, String>>;

/// Connections to servers, kept open between requests.
#[derive(Debug)]
pub(super) struct Web {
    plain: Client<Connector>,
    /// Shows this machine's own certificate to servers that ask for one.
    tls: Tls,
    /// Shows none.
    unnamed_tls: Tls,
    secrets: Secrets,
    proxies: Arc<Matcher>,
    options: Arc<HttpOptions>,
    connected: AtomicBool,
    /// Whether any server answered over HTTP/2, where a request waits until fewer are under way than the server bears.
    takes_turns: AtomicBool,
}

impl Web {
    /// Fails if the address of a proxy is of no use.
    pub(super) fn new(options: Arc<HttpOptions>, secrets: Secrets) -> Result<Self, UrlError> {
        let proxies = options.proxies.matcher()?;
        Ok(Self {
            plain: builder(&options).build(connector(&options, &proxies)),
            tls: OnceLock::new(),
            unnamed_tls: OnceLock::new(),
            secrets,
            proxies,
            options,
            connected: AtomicBool::new(false),
            takes_turns: AtomicBool::new(false),
        })
    }

    /// Whether any server ever answered.
    pub(super) fn was_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Sends a GET and follows redirects. `rate`: what comes of all transfers meanwhile.
    pub(super) async fn get(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        rate: &Rate,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut at = uri.clone();
        for _ in 0..=self.options.max_redirects {
            let mut request = Request::new(Empty::new());
            *request.method_mut() = Method::GET;
            *request.uri_mut() = at.clone();
            *request.headers_mut() = headers.clone();
            self.secrets.add_to(request.headers_mut(), &at, &self.options);
            if let Some(value) = proxy::authorization(&self.proxies, &at) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, value);
            }
            let response = self.send(request, rate).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let refused = |why| FetchError::Redirect { url: shown(&at), why };
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| refused("redirected to nowhere"))?;
            at = url::redirect(&at, location).map_err(refused)?;
        }
        Err(FetchError::Redirect { url: shown(uri), why: "redirected too often" })
    }

    /// What speaks TLS with a server: with this machine's own certificate if it may see that.
    fn tls_to(&self, uri: &Uri) -> &Result<Client<HttpsConnector<Connector>>, String> {
        let is_named = Origin::of(uri).is_some_and(|origin| self.secrets.may_go_to(&origin));
        let own = self.options.client_certificate.as_ref();
        if is_named || own.is_none() {
            self.tls.get_or_init(|| tls(&self.options, own, &self.proxies))
        } else {
            self.unnamed_tls.get_or_init(|| tls(&self.options, None, &self.proxies))
        }
    }

    async fn send(
        &self,
        request: Request<Empty<Bytes>>,
        rate: &Rate,
    ) -> Result<Response<Incoming>, FetchError> {
        let url = shown(request.uri());
        if request.uri().scheme_str() == Some("https") {
            match self.tls_to(request.uri()) {
                Ok(client) => self.answer(url, client.request(request), rate).await,
                Err(why) => Err(FetchError::Tls { url, why: why.clone() }),
            }
        } else {
            self.answer(url, self.plain.request(request), rate).await
        }
    }

    /// Waits for an answer to begin; longer where it may be others' turn, as long as anything comes of those.
    async fn answer(
        &self,
        url: Box<str>,
        answer: legacy::ResponseFuture,
        rate: &Rate,
    ) -> Result<Response<Incoming>, FetchError> {
        let after = self.options.connect_timeout + self.options.stall_window;
        let mut answer = pin!(answer);
        let mut came = rate.total_bytes();
        loop {
            match tokio::time::timeout(after, &mut answer).await {
                Ok(Ok(response)) => {
                    self.connected.store(true, Ordering::Relaxed);
                    if response.version() == Version::HTTP_2 {
                        self.takes_turns.store(true, Ordering::Relaxed);
                    }
                    return Ok(response);
                }
                Ok(Err(error)) if error.is_connect() => {
                    return Err(FetchError::Connect { url, source: error.into() });
                }
                Ok(Err(error)) => {
                    return Err(FetchError::Broken { url, received_bytes: 0, source: error.into() });
                }
                Err(_) => {
                    let came_before = std::mem::replace(&mut came, rate.total_bytes());
                    if came == came_before || !self.takes_turns.load(Ordering::Relaxed) {
                        return Err(FetchError::Timeout { url, after });
                    }
                }
            }
        }
    }
}

/// An address in messages. Request addresses never hold credentials.
pub(super) fn shown(uri: &Uri) -> Box<str> {
    uri.to_string().into()
}

fn builder(options: &HttpOptions) -> Builder {
    let window = |most: u32| options.read_ahead_bytes.map_or(most, |bytes| bytes.clamp(MIN_WINDOW, most));
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http1_max_headers(MAX_HEADERS)
        .http1_max_buf_size(MAX_HEADER_BYTES as usize)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_initial_stream_window_size(window(STREAM_WINDOW))
        .http2_initial_connection_window_size(window(CONNECTION_WINDOW))
        .http2_max_frame_size(FRAME_BYTES);
    builder
}

fn connector(options: &HttpOptions, proxies: &Arc<Matcher>) -> Connector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(options.connect_timeout));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    Connector::new(connector, Arc::clone(proxies))
}

fn tls(
    options: &HttpOptions,
    own: Option<&ClientCertificate>,
    proxies: &Arc<Matcher>,
) -> Result<Client<HttpsConnector<Connector>>, String> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(super::tls::config(options, own)?)
        .https_only()
        .enable_all_versions()
        .wrap_connector(connector(options, proxies));
    Ok(builder(options).build(connector))
}
