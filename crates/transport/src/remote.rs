//! What a remote is: somewhere the files of an archive repository can be read from, by name.

use crate::FetchError;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;

/// Somewhere the files of a repository can be read from.
#[async_trait]
pub trait Remote: Send + Sync + fmt::Debug {
    /// Begins to read the file at `path`, relative to the repository, `/` between its parts, not percent-encoded.
    ///
    /// `None` if it is not there (over HTTP: 403, 404 and 410). What can be retried has been when an error is returned.
    ///
    /// # Errors
    /// See [`FetchError`].
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError>;

    /// As [`get`](Self::get), for an object that came wrong: from another place than the last time if there is one.
    ///
    /// # Errors
    /// See [`FetchError`].
    async fn get_elsewhere(&self, path: &str, limits: Limits) -> Result<Option<Response>, FetchError> {
        self.get(path, None, limits).await
    }

    /// Says that the last answer for `path` was not read: it is no reason to ask somebody else the next time.
    fn left_unread(&self, path: &str) {
        let _ = path;
    }

    /// How many places it gives objects from, as far as is known.
    fn places(&self) -> u32 {
        1
    }

    /// How often it failed in a way that it made good itself, by asking again: where this grows, less is to be asked for at once.
    fn troubles(&self) -> u64 {
        0
    }

    /// What to call it in messages: its address without credentials.
    fn describe(&self) -> String;
}

/// From where on a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first byte wanted, from 0. A remote may ignore it: see [`Response::start`].
    pub start: u64,
    /// The entity tag of what is there already; if the file has another by now, it comes from its beginning.
    pub if_tag: Option<String>,
}

/// How much of an answer is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file accepted, in bytes, what a [`Range`] skips included.
    pub max_bytes: u64,
}

/// A file that is being read.
pub struct Response {
    /// Where in the file the body begins: what was asked for, or 0 if the remote gives the whole file.
    pub start: u64,
    /// The size of the whole file in bytes, if it is known.
    pub length: Option<u64>,
    /// The strong entity tag of the file, if it has one.
    pub tag: Option<String>,
    body: Box<dyn Body>,
    /// How many more bytes are accepted.
    left: u64,
    limits: Limits,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("start", &self.start)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Where the bytes of a [`Response`] come from.
#[async_trait]
pub(crate) trait Body: Send {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError>;
    /// What to call it in messages.
    fn url(&self) -> Box<str>;
}

impl Response {
    /// Refuses at once what announces to be larger than the limit.
    pub(crate) fn new(
        start: u64,
        length: Option<u64>,
        tag: Option<String>,
        body: Box<dyn Body>,
        limits: Limits,
    ) -> Result<Self, FetchError> {
        if length.unwrap_or(start) > limits.max_bytes {
            return Err(FetchError::TooLarge { url: body.url(), limit_bytes: limits.max_bytes });
        }
        Ok(Self { start, length, tag, body, left: limits.max_bytes - start, limits })
    }

    /// Lowers the limit, when `read` bytes of the body have been read.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`] where the whole file is known to be larger.
    pub(crate) fn limit(&mut self, read: u64, limits: Limits) -> Result<(), FetchError> {
        let come = self.start.saturating_add(read);
        let left = limits.max_bytes.checked_sub(self.length.unwrap_or(come).max(come));
        if left.is_none() {
            return Err(FetchError::TooLarge { url: self.body.url(), limit_bytes: limits.max_bytes });
        }
        if limits.max_bytes < self.limits.max_bytes {
            (self.left, self.limits) = (limits.max_bytes - come, limits);
        }
        Ok(())
    }

    /// Puts another body around its own.
    pub(crate) fn around(self, around: impl FnOnce(Box<dyn Body>) -> Box<dyn Body>) -> Self {
        Self { body: around(self.body), ..self }
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`] past the limit; and as the connection fails.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(bytes) = self.body.next().await? else { return Ok(None) };
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(FetchError::TooLarge {
                    url: self.body.url(),
                    limit_bytes: self.limits.max_bytes,
                });
            }
        }
        Ok(Some(bytes))
    }

    /// Reads the rest of the body into memory.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn bytes(mut self) -> Result<Bytes, FetchError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = Vec::with_capacity(first.len() + second.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.into())
    }
}
