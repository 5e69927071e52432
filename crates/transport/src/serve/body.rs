//! The body of an answer: a part of a file, of exactly the announced length or broken off.

use crate::files::{Part, Public};
use bytes::Bytes;
use sapwood_fsio::Error;
use std::io;
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

    /// Bytes that are not given out yet.
    pub(super) fn len(&self) -> u64 {
        self.left
    }

    /// The next piece: see [`Part::poll_next`].
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        most_bytes: u64,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = match ready!(self.part.poll_next(cx, most_bytes)) {
            Some(Ok(bytes)) if !bytes.is_empty() => bytes,
            // The length was announced: the client must see that this is not the end.
            Some(Ok(_)) | None => {
                self.left = 0;
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error.source))),
        };
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(bytes)))
    }
}
