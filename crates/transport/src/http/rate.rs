//! Whether what a client fetches comes fast enough: all of it together, as its transfers share one line.
//!
//! Only time in which somebody waits for bytes counts: who does not ask for more gets none.

use super::HttpOptions;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

/// When others got so much, a transfer that got nothing meanwhile was not only waiting for its turn.
const TURN_BYTES: u64 = 8 << 20;

/// What comes of all transfers of one client.
#[derive(Debug)]
pub(super) struct Rate {
    window: Duration,
    min_bytes_per_second: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many transfers are waited for.
    waiting: usize,
    /// When it last was another number than none, or the window began.
    since: Instant,
    /// How long something was waited for in this window, before `since`.
    waited: Duration,
    /// What came in this window.
    window_bytes: u64,
    /// What came in all.
    total_bytes: u64,
    /// How many windows there were before.
    windows: u64,
    /// The last of them in which too little came.
    last_slow: Option<u64>,
}

/// One transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The first window that it is there from the beginning of.
    first_window: u64,
    /// How long it was waited for since something came of it.
    silence: Duration,
    /// What had come in all by then.
    total_then: u64,
}

impl Rate {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let state = State {
            waiting: 0,
            since: Instant::now(),
            waited: Duration::ZERO,
            window_bytes: 0,
            total_bytes: 0,
            windows: 0,
            last_slow: None,
        };
        Self {
            window: options.stall_window,
            min_bytes_per_second: options.min_bytes_per_second,
            state: Mutex::new(state),
        }
    }

    /// A transfer that begins, or begins anew.
    pub(super) fn transfer(&self) -> Transfer {
        let state = self.lock();
        let is_fresh = state.waiting == 0 && state.waited.is_zero();
        Transfer {
            first_window: state.windows + u64::from(!is_fresh),
            silence: Duration::ZERO,
            total_then: state.total_bytes,
        }
    }

    /// Waits for what comes next of a transfer; `None` if it is too slow for that. What is there already is taken in any case.
    pub(super) async fn wait<T>(&self, transfer: &mut Transfer, next: impl Future<Output = T>) -> Option<T> {
        let look_again_after = (self.window / 4).max(Duration::from_millis(1));
        let mut next = pin!(next);
        if let Poll::Ready(came) = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
            return Some(came);
        }
        while !self.is_too_slow(transfer) {
            let began = Instant::now();
            let waiting = Waiting::new(self);
            let came = tokio::time::timeout(look_again_after, &mut next).await;
            drop(waiting);
            if let Ok(came) = came {
                return Some(came);
            }
            transfer.silence += began.elapsed();
        }
        None
    }

    /// So many bytes came of a transfer.
    pub(super) fn came(&self, transfer: &mut Transfer, bytes: u64) {
        let mut state = self.lock();
        state.window_bytes += bytes;
        state.total_bytes += bytes;
        (transfer.silence, transfer.total_then) = (Duration::ZERO, state.total_bytes);
    }

    /// How much came of all transfers until now.
    pub(super) fn total_bytes(&self) -> u64 {
        self.lock().total_bytes
    }

    fn is_too_slow(&self, transfer: &Transfer) -> bool {
        let mut state = self.lock();
        let waited = state.waited_until(Instant::now());
        if waited >= self.window {
            let expected = u128::from(self.min_bytes_per_second) * waited.as_millis() / 1000;
            if u128::from(state.window_bytes) < expected.max(1) {
                state.last_slow = Some(state.windows);
            }
            state.windows += 1;
            (state.since, state.waited, state.window_bytes) = (Instant::now(), Duration::ZERO, 0);
        }
        let were_too_slow = state.last_slow.is_some_and(|slow| slow >= transfer.first_window);
        let is_passed_over = state.total_bytes - transfer.total_then >= TURN_BYTES;
        were_too_slow || transfer.silence >= self.window && is_passed_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waited_until(&self, now: Instant) -> Duration {
        self.waited + if self.waiting > 0 { now - self.since } else { Duration::ZERO }
    }
}

/// As long as it is there, somebody waits.
struct Waiting<'r>(&'r Rate);

impl<'r> Waiting<'r> {
    fn new(rate: &'r Rate) -> Self {
        let mut state = rate.lock();
        if state.waiting == 0 {
            state.since = Instant::now();
        }
        state.waiting += 1;
        drop(state);
        Self(rate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.waiting == 1 {
            state.waited = state.waited_until(Instant::now());
        }
        state.waiting -= 1;
    }
}
