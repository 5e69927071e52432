//! A connection that ends when its client lets an answer wait for too long, or says what it is too slowly.
//!
//! The beginning counts: until a client has sent so much that its protocol and first request are known, it has no more than the
//! patience in all, however steadily it trickles. Later heads have the time that connections may be idle.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// So many bytes are more than the beginning of a connection: HTTP/2 begins with 24.
const BEGINNING_BYTES: usize = 24;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Patient<S> {
    inner: S,
    patience: Duration,
    /// When the beginning must have come, or, once it has, what waits must have been written.
    deadline: Pin<Box<Sleep>>,
    /// Bytes of the beginning that have come.
    came: usize,
    is_writing: bool,
}

impl<S> Patient<S> {
    pub(super) fn new(inner: S, patience: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience));
        Self { inner, patience, deadline, came: 0, is_writing: false }
    }

    /// An error once the deadline is past.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// What came of writing; if nothing could be written, how long that may last.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.is_writing = false;
            return result;
        }
        if !self.is_writing {
            self.is_writing = true;
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        Poll::Ready(Err(ready!(self.check(cx))))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, into);
        self.came = self.came.saturating_add(into.filled().len() - before);
        if result.is_pending() && self.came < BEGINNING_BYTES && !self.is_writing {
            return Poll::Ready(Err(ready!(self.check(cx))));
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, from);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, from);
        self.wrote(cx, result)
    }

    /// So that what an answer is made of is not copied once more before it is written.
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(cx, result)
    }
}
