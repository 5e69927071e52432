//! When and how long to wait before a request is repeated.

use super::HttpOptions;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long to wait before repetition number `attempt`, from 0: doubling, between half and all of it by chance, so that
/// many clients do not come back at once. What the server asks for goes first, up to the longest wait.
pub(super) fn backoff(options: &HttpOptions, attempt: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.min(options.max_backoff);
    }
    let full = options.first_backoff.saturating_mul(1 << attempt.min(16)).min(options.max_backoff);
    // Randomly keyed each time: no more chance is needed than that.
    let random = u32::try_from(RandomState::new().hash_one(attempt) & 0xffff).unwrap_or(0);
    full / 2 + full.mul_f64(0.5 * f64::from(random) / 65536.0)
}

/// Reads `Retry-After`: seconds, or a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = crate::date::parse(value)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(at.saturating_sub(now)))
}

/// Whether a request that was answered so may be answered better a moment later.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 507 | 520..=530)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_vary_by_half() {
        let options = HttpOptions {
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            ..Default::default()
        };
        for (attempt, full) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (40, 1000)] {
            let wait = backoff(&options, attempt, None);
            assert!(
                wait >= Duration::from_millis(full / 2) && wait <= Duration::from_millis(full),
                "{attempt}: {wait:?}"
            );
        }
    }

    #[test]
    fn the_servers_wish_is_honoured_up_to_the_longest_wait() {
        let options = HttpOptions::default();
        assert_eq!(backoff(&options, 0, retry_after(" 7 ")), Duration::from_secs(7));
        assert_eq!(backoff(&options, 0, retry_after("999999999999")), options.max_backoff);
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
