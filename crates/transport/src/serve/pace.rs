//! How fast a client takes what it asked for: who takes next to nothing of it loses the connection; and how much of it is in
//! memory meanwhile.
//!
//! Bytes count when they leave for the client, which is when HTTP/2's windows let them and the socket has room. So neither
//! answers to pings nor windows of a byte keep a connection. Of what was read and has not left, a connection has about
//! [`MOST_BYTES`]: when it has more, each body is still read, in small pieces, as else one that its client does not want yet
//! could hold up another.

use super::body::FileBody;
use crate::files::FRAME_BYTES;
use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// What a client must take of all its answers together; slower lines than any in use.
const MIN_BYTES_PER_SECOND: u64 = 256;

/// How much of its answers a connection has in memory before less of them is read at once.
const MOST_BYTES: u64 = 1 << 20;
/// How much is read at once then.
const SMALL_BYTES: u64 = 32 << 10;
/// How much a body of HTTP/2 may have in memory before more of it is read.
pub(super) const MOST_BYTES_OF_ONE: usize = 64 << 10;

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
    /// Bytes in pieces that are being read, or were not taken as a whole yet.
    held: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { waiting: 0, began: Instant::now(), taken: 0, held: 0 })))
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

/// Memory for a piece.
#[derive(Debug)]
struct Held {
    pace: Pace,
    bytes: u64,
}

impl Held {
    /// For as much as may be read at once now.
    fn new(pace: &Pace) -> Self {
        let mut state = pace.lock();
        let bytes = if state.held + FRAME_BYTES <= MOST_BYTES { FRAME_BYTES } else { SMALL_BYTES };
        state.held += bytes;
        drop(state);
        Self { pace: pace.clone(), bytes }
    }

    /// That is how much it is.
    fn is(&mut self, bytes: u64) {
        let mut state = self.pace.lock();
        state.held = state.held - self.bytes + bytes;
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pace.lock().held -= self.bytes;
    }
}

/// A body whose client is watched.
pub(super) struct Paced {
    body: FileBody,
    /// For the piece that is being read.
    next: Option<Held>,
    waiting: Waiting,
}

impl Paced {
    pub(super) fn new(body: FileBody, pace: &Pace) -> Self {
        Self { body, next: None, waiting: Waiting::new(pace) }
    }
}

/// A piece of it.
pub(super) struct Piece {
    bytes: Bytes,
    waiting: Waiting,
    #[expect(dead_code, reason = "held, not read")]
    held: Held,
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

impl Body for Paced {
    type Data = Piece;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Piece>>>> {
        let this = &mut *self;
        let pace = &this.waiting.0;
        let most_bytes = this.next.get_or_insert_with(|| Held::new(pace)).bytes;
        let read = ready!(this.body.poll_piece(cx, most_bytes));
        let held = this.next.take();
        Poll::Ready(read.zip(held).map(|(read, mut held)| {
            let bytes = read?;
            held.is(bytes.len() as u64);
            Ok(Frame::data(Piece { bytes, waiting: Waiting::new(pace), held }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const FILE_BYTES: usize = 2 << 20;

    async fn next(body: &mut Paced) -> Piece {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        frame.expect("there is more").expect("it is read").into_data().ok().expect("it is data")
    }

    #[tokio::test]
    async fn what_no_client_takes_is_bounded_and_who_takes_it_gets_large_pieces() {
        let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority()).expect("a temporary directory");
        sapwood_fsio::create_dir(&dir, "objects", 0o755).expect("creates");
        sapwood_fsio::replace(&dir, "objects/large", 0o644, &vec![7; FILE_BYTES]).expect("writes");
        let pace = Pace::new();
        let body = || {
            let file = crate::files::open(&dir, "objects/large").expect("opens").expect("is there");
            Paced::new(FileBody::new(file, 0, FILE_BYTES as u64).expect("opens"), &pace)
        };
        let mut bodies: Vec<_> = (0..32).map(|_| (body(), Vec::new())).collect();
        // As HTTP/2 takes them for streams whose windows are closed.
        for (body, pieces) in &mut bodies {
            let mut waiting = 0;
            while waiting < MOST_BYTES_OF_ONE {
                let piece = next(body).await;
                waiting += piece.remaining();
                pieces.push(piece);
            }
        }
        let held: usize = bodies.iter().flat_map(|(_, pieces)| pieces).map(Buf::remaining).sum();
        assert!(held <= 4 << 20, "{held} bytes");
        let (mut last, _) = bodies.pop().expect("there are some");
        drop(bodies);
        assert_eq!(next(&mut last).await.remaining() as u64, FRAME_BYTES);
        assert_eq!(pace.lock().held, 0);
    }
}
