//! A repository directory as a remote: for archive repositories on a disk that cannot be opened as repositories of this
//! machine, such as read-only media, and for tests of all that is above HTTP.

use crate::files::{self, Part};
use crate::remote::Body;
use crate::{FetchError, Limits, Range, Remote, Response};
use async_trait::async_trait;
use bytes::Bytes;
use sapwood_fsio::Dir;
use std::future::poll_fn;

/// An archive repository in a directory of this machine. Only its public files can be read, and nothing outside of it.
#[derive(Debug)]
pub struct DirRemote {
    dir: Dir,
    name: String,
}

impl DirRemote {
    /// The repository in `dir`; `name` is what messages call it, such as its path.
    pub fn new(dir: Dir, name: impl Into<String>) -> Self {
        Self { dir, name: name.into() }
    }
}

#[async_trait]
impl Remote for DirRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let Some(public) = files::open(&self.dir, path)? else { return Ok(None) };
        let tag = public.tag();
        let length = public.stat.size;
        // The same rules as over HTTP: from the start if it is another file by now.
        let start = range
            .filter(|range| range.start < length && range.if_tag.as_ref().is_none_or(|want| *want == tag))
            .map_or(0, |range| range.start);
        let len = length - start;
        let url: Box<str> = format!("{}/{path}", self.name).into();
        if length > limits.max_bytes {
            return Err(FetchError::TooLarge { url, limit_bytes: limits.max_bytes });
        }
        let body = DirBody { part: Part::open(public, start, len)?, url, start, left: len };
        Response::new(start, Some(length), Some(tag), Box::new(body), limits).map(Some)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

struct DirBody {
    part: Part,
    url: Box<str>,
    start: u64,
    left: u64,
}

#[async_trait]
impl Body for DirBody {
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let bytes = poll_fn(|cx| self.part.poll_next(cx, u64::MAX)).await.transpose()?;
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        match &bytes {
            Some(bytes) => self.left = self.left.saturating_sub(bytes.len() as u64),
            None if self.left > 0 => return Err(FetchError::Changed { url: self.url.clone() }),
            None => {}
        }
        self.start += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }

    fn url(&self) -> Box<str> {
        self.url.clone()
    }
}
