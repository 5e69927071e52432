//! Keeping below a bandwidth.
//!
//! Bytes are counted when they have been taken from the connection; who took them then waits. What the kernel and the
//! peer hold meanwhile is bounded by the windows of the connection, so over more than a moment the limit is kept.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long ago unused bandwidth can be: what was not used before is gone.
const MEMORY: Duration = Duration::from_millis(250);

/// A limit that all requests of a pull share.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When all that passed until now may have passed.
    due: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, due: Mutex::new(None) }
    }

    /// Waits until so many bytes more may have passed.
    pub(super) async fn pass(&self, bytes: u64) {
        let wait = self.wait(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait, if bytes passed now.
    fn wait(&self, bytes: u64, now: Instant) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(MEMORY).unwrap_or(now);
        let from = due.map_or(earliest, |due| due.max(earliest));
        let until = from.checked_add(takes).unwrap_or(from);
        *due = Some(until);
        until.saturating_duration_since(now)
    }
}

/// How many requests are worth having under way within a bandwidth: each shall have enough not to seem stalled.
pub(super) fn requests_within(bytes_per_second: Option<NonZeroU64>, requests: usize) -> usize {
    const EACH_BYTES_PER_SECOND: u64 = 16 << 10;
    let Some(limit) = bytes_per_second else { return requests };
    requests.min(usize::try_from(limit.get() / EACH_BYTES_PER_SECOND).unwrap_or(usize::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(bytes_per_second: u64) -> Throttle {
        Throttle::new(NonZeroU64::new(bytes_per_second).expect("not 0"))
    }

    #[test]
    fn what_passes_takes_as_long_as_the_limit_says_whoever_passes_it() {
        let (throttle, start) = (throttle(1000), Instant::now());
        let ms = Duration::from_millis;
        // A quarter of a second's worth was not used before.
        assert_eq!(throttle.wait(250, start), Duration::ZERO);
        assert_eq!(throttle.wait(1000, start), ms(1000));
        assert_eq!(throttle.wait(500, start), ms(1500), "behind the other");
        assert_eq!(throttle.wait(500, start + ms(1500)), ms(500));
        // An hour without use allows no burst.
        assert_eq!(throttle.wait(2250, start + Duration::from_hours(1)), ms(2000));
    }

    #[test]
    fn numbers_without_end_do_no_harm() {
        assert!(throttle(1).wait(u64::MAX, Instant::now()) > Duration::from_hours(24));
        assert_eq!(throttle(u64::MAX).wait(u64::MAX, Instant::now()), Duration::from_millis(750));
    }

    #[test]
    fn a_narrow_limit_has_few_requests_under_way() {
        let limit = NonZeroU64::new;
        for (bytes_per_second, expected) in
            [(None, 32), (limit(1), 1), (limit(16 << 10), 1), (limit(100 << 10), 6), (limit(1 << 30), 32)]
        {
            assert_eq!(requests_within(bytes_per_second, 32), expected);
        }
    }
}
