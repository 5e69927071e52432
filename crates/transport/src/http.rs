//! Remotes over HTTP.
use crate::{FetchError, Limits, Range, Remote, Response};
use async_trait::async_trait;
use std::time::Duration;

/// How a server is talked to.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// How long a connection may take to come about. Default: 30 s.
    pub connect_timeout: Duration,
    /// Below this many bytes a second for [`stall_window`](Self::stall_window) a transfer is given up. Default: 1000.
    pub min_bytes_per_second: u64,
    /// See [`min_bytes_per_second`](Self::min_bytes_per_second); also how long an answer may take to begin. Default: 30 s.
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
    /// Headers sent with each request to the remote itself, such as `Authorization: Bearer …`.
    pub headers: Vec<(String, String)>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_certificates: Option<Vec<u8>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            min_bytes_per_second: 1000,
            stall_window: Duration::from_secs(30),
            retries: 5,
            first_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(60),
            max_redirects: 5,
            user_agent: concat!("sapwood/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers: Vec::new(),
            ca_certificates: None,
        }
    }
}

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {why}")]
pub struct UrlError {
    /** The address, without credentials. */
    pub url: String,
    /** Why not. */
    pub why: &'static str,
}

/// A repository behind `http://` or `https://`.
#[derive(Debug)]
pub struct HttpRemote {}

impl HttpRemote {
    /// The repository at `url`; `user:password@` in it is sent as basic authentication. Nothing is connected to yet.
    ///
    /// # Errors
    /// When the address, or a header of the options, is malformed.
    pub fn new(url: &str, options: HttpOptions) -> Result<Self, UrlError> {
        todo!()
    }
}
#[async_trait]
impl Remote for HttpRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        todo!()
    }
    fn describe(&self) -> String {
        todo!()
    }
}
