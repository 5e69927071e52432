//! How fast a client takes what it asked for: who takes next to nothing of it loses the connection.
//!
//! Bytes count when they leave for the client, which is when HTTP/2's windows let them and the socket has room. So neither
//! answers to pings nor windows of a byte keep a connection.

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// What a client must take of all its answers together; slower lines than any in use.
const MIN_BYTES_PER_SECOND: u64 = 256;

/// What the client of one connection takes.
#[derive(Debug, Clone)]
pub(super) struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Bodies, and pieces of them, that were not taken as a whole yet.
    waiting: usize,
    /// When the time that is judged began.
    began: Instant,
    /// Bytes taken since.
    taken: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { waiting: 0, began: Instant::now(), taken: 0 })))
    }

    /// Resolves when something waited for as long as `patience` and too little of it was taken.
    pub(super) async fn too_slow(&self, patience: Duration) {
        let least = u128::from(MIN_BYTES_PER_SECOND) * patience.as_millis() / 1000;
        loop {
            let until = {
                let mut state = self.lock();
                let now = Instant::now();
                if state.waiting == 0 {
                    now + patience
                } else if state.began + patience > now {
                    state.began + patience
                } else if u128::from(state.taken) < least.max(1) {
                    return;
                } else {
                    (state.began, state.taken) = (now, 0);
                    now + patience
                }
            };
            tokio::time::sleep_until(until).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it is there, something waits to be taken.
#[derive(Debug)]
struct Waiting(Pace);

impl Waiting {
    fn new(pace: &Pace) -> Self {
        let mut state = pace.lock();
        if state.waiting == 0 {
            (state.began, state.taken) = (Instant::now(), 0);
        }
        state.waiting += 1;
        drop(state);
        Self(pace.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// A body whose client is watched.
pub(super) struct Paced<B> {
    body: B,
    waiting: Waiting,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, pace: &Pace) -> Self {
        Self { body, waiting: Waiting::new(pace) }
    }
}

/// A piece of it.
pub(super) struct Piece {
    bytes: Bytes,
    waiting: Waiting,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.waiting.0.lock().taken += count as u64;
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let piece = |bytes| Piece { bytes, waiting: Waiting::new(&self.waiting.0) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
