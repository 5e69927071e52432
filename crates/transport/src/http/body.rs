//! The body of an answer: continued when its connection breaks, given up when it is too slow.

use super::{Inner, Opened, client::shown, rate::Transfer};
use crate::remote::Body;
use crate::{FetchError, Range};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::Uri;
use hyper::body::Incoming;
use std::sync::Arc;

/// So much more of a body makes up for the failures before it.
const PROGRESS_BYTES: u64 = 64 << 10;

pub(super) struct HttpBody {
    inner: Arc<Inner>,
    uri: Uri,
    incoming: Incoming,
    /// Where in the file the next byte belongs.
    position: u64,
    /// What a server that gives no ranges sends again, and is dropped.
    skip: u64,
    length: Option<u64>,
    tag: Option<String>,
    resumable: bool,
    failures: u32,
    /// The position at the last failure.
    failed_at: u64,
    transfer: Transfer,
}

impl HttpBody {
    pub(super) fn new(
        inner: Arc<Inner>,
        uri: Uri,
        incoming: Incoming,
        position: u64,
        length: Option<u64>,
        tag: Option<String>,
        resumable: bool,
    ) -> Self {
        let transfer = inner.rate.transfer();
        Self {
            inner,
            uri,
            incoming,
            position,
            skip: 0,
            length,
            tag,
            resumable,
            failures: 0,
            failed_at: position,
            transfer,
        }
    }

    /// The next bytes of this connection.
    async fn receive(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let frame = self.inner.rate.wait(&mut self.transfer, self.incoming.frame());
            let Some(frame) = frame.await else { return Err(self.too_slow()) };
            let bytes = match frame {
                None => return Ok(None),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    let url = shown(&self.uri);
                    return Err(FetchError::Broken {
                        url,
                        received_bytes: self.position,
                        source: error.into(),
                    });
                }
            };
            self.inner.rate.came(&mut self.transfer, bytes.len() as u64);
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn too_slow(&self) -> FetchError {
        let options = &self.inner.options;
        FetchError::TooSlow {
            url: shown(&self.uri),
            min_bytes_per_second: options.min_bytes_per_second,
            window: options.stall_window,
        }
    }

    /// Goes on from where the connection broke, or says why not.
    async fn resume(&mut self, error: FetchError) -> Result<(), FetchError> {
        if self.position - self.failed_at >= PROGRESS_BYTES {
            self.failures = 0;
        }
        self.failed_at = self.position;
        if !self.resumable || self.failures >= self.inner.retries_for(&error) {
            return Err(error);
        }
        self.inner.wait(self.failures, None, &error).await;
        self.failures += 1;
        let range = Range { start: self.position, if_tag: self.tag.clone() };
        let changed = || FetchError::Changed { url: shown(&self.uri) };
        let Some(opened) = self.inner.open(&self.uri, Some(range)).await? else { return Err(changed()) };
        let Opened { body, start, length, tag } = opened;
        if self.tag.is_some() && tag != self.tag || self.length.is_some() && length != self.length {
            return Err(changed());
        }
        self.incoming = body;
        self.skip = self.position - start.min(self.position);
        self.transfer = self.inner.rate.transfer();
        Ok(())
    }
}

#[async_trait]
impl Body for HttpBody {
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let error = match self.receive().await {
                Ok(Some(mut bytes)) => {
                    let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                    bytes.advance(skipped);
                    self.skip -= skipped as u64;
                    if bytes.is_empty() {
                        continue;
                    }
                    self.position += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(None) => match self.length {
                    Some(length) if self.position < length => {
                        let url = shown(&self.uri);
                        FetchError::Truncated { url, received_bytes: self.position, expected_bytes: length }
                    }
                    _ => return Ok(None),
                },
                Err(error) => error,
            };
            self.resume(error).await?;
        }
    }

    fn url(&self) -> Box<str> {
        shown(&self.uri)
    }
}
