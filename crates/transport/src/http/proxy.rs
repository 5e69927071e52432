//! Proxies: which requests go through which, as libcurl decides it for `ostree`, and connections through them.

use super::UrlError;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tower_service::Service;

/// Which proxies are used. Default: none.
///
/// An address is `SCHEME://[USER:PASSWORD@]HOST:PORT` with the scheme `http` (also if none is given), `socks4`, `socks5` or
/// `socks5h`. The proxy of an `https` address is asked for a tunnel, and does not see what goes through it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` addresses.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas: names, which stand for those below them too, addresses,
    /// networks; `*` is all.
    pub none_for: String,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Their addresses may hold passwords.
        f.debug_struct("Proxies").field("none_for", &self.none_for).finish_non_exhaustive()
    }
}

impl Proxies {
    /// What decides for each request.
    pub(super) fn matcher(&self) -> Result<Arc<Matcher>, UrlError> {
        for address in [&self.http, &self.https].into_iter().flatten().filter(|address| !address.is_empty()) {
            let usable =
                Matcher::builder().all(address.as_str()).build().intercept(&Uri::from_static("http://a/"));
            // A proxy that is itself spoken to over TLS is not.
            if usable.is_none_or(|proxy| proxy.uri().scheme_str() == Some("https")) {
                let url = super::url::without_credentials(address);
                return Err(UrlError { url, why: "cannot be used as a proxy" });
            }
        }
        // The matcher takes it for all names alone.
        if self.none_for.split(',').any(|one| one.trim() == "*") {
            return Ok(Arc::new(Matcher::builder().build()));
        }
        let address = |address: &Option<String>| address.clone().unwrap_or_default();
        let matcher = Matcher::builder().http(address(&self.http)).https(address(&self.https));
        Ok(Arc::new(matcher.no(self.none_for.as_str()).build()))
    }
}

/// What proves to the proxy of a request who we are, where the request itself tells.
pub(super) fn authorization(matcher: &Matcher, uri: &Uri) -> Option<HeaderValue> {
    let proxy = matcher.intercept(uri).filter(|proxy| asks_in_our_name(proxy, uri))?;
    proxy.basic_auth().cloned().map(|mut value| {
        value.set_sensitive(true);
        value
    })
}

/// Whether a proxy is sent the request itself, rather than connecting us to the server.
fn asks_in_our_name(proxy: &Intercept, uri: &Uri) -> bool {
    proxy.uri().scheme_str() == Some("http") && uri.scheme_str() != Some("https")
}

/// Connects to servers, or to the proxies before them.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    direct: HttpConnector,
    matcher: Arc<Matcher>,
}

impl Connector {
    pub(super) fn new(direct: HttpConnector, matcher: Arc<Matcher>) -> Self {
        Self { direct, matcher }
    }
}

type Failure = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut direct = self.direct.clone();
        let Some(proxy) = self.matcher.intercept(&to) else {
            let connecting = direct.call(to);
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxy: false }) });
        };
        if asks_in_our_name(&proxy, &to) {
            let connecting = direct.call(proxy.uri().clone());
            return Box::pin(async move { Ok(Stream { io: connecting.await?, is_proxy: true }) });
        }
        Box::pin(async move {
            let at = proxy.uri().clone();
            let io = match at.scheme_str() {
                Some("socks5" | "socks5h") => {
                    let is_local = at.scheme_str() == Some("socks5");
                    let mut socks = SocksV5::new(at, direct).local_dns(is_local);
                    if let Some((user, password)) = proxy.raw_auth() {
                        socks = socks.with_auth(user.to_owned(), password.to_owned());
                    }
                    socks.call(to).await?
                }
                Some("socks4" | "socks4a") => {
                    let is_local = at.scheme_str() == Some("socks4");
                    SocksV4::new(at, direct).local_dns(is_local).call(to).await?
                }
                _ => {
                    let mut tunnel = Tunnel::new(at, direct);
                    if let Some(value) = proxy.basic_auth() {
                        tunnel = tunnel.with_auth(value.clone());
                    }
                    tunnel.call(to).await?
                }
            };
            Ok(Stream { io, is_proxy: false })
        })
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    io: TokioIo<TcpStream>,
    /// Whether a proxy at its end is told which server is meant.
    is_proxy: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_proxy)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
