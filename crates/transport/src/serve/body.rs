//! The body of an answer: a part of a file, of exactly the announced length or broken off.

use crate::files::{Part, Public};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sapwood_fsio::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A part of a file.
pub(super) struct FileBody {
    part: Part,
    left: u64,
}

impl FileBody {
    pub(super) fn empty() -> Self {
        Self { part: Part::Whole(None), left: 0 }
    }

    /// `len` bytes of a file from `start` on.
    pub(super) fn new(public: Public, start: u64, len: u64) -> Result<Self, Error> {
        Ok(Self { part: Part::open(public, start, len)?, left: len })
    }

    pub(super) fn len(&self) -> u64 {
        self.left
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = match ready!(self.part.poll_next(cx)) {
            Some(Ok(bytes)) if !bytes.is_empty() => bytes,
            // The length was announced: the client must see that this is not the end.
            Some(Ok(_)) | None => {
                self.left = 0;
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error.source))),
        };
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
