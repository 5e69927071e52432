//! How many requests are under way: more while that brings more in, fewer when the remote or the way to it cannot bear them.
//!
//! A way of 100 ms and small files needs over a hundred requests to be full; a near server, or a slow line, is not served any
//! faster for more than a few. So after each round, which is as many answers as there may be requests, what came in is compared with
//! the round before: if files and bytes a second rose, a few more are tried; if not both did, the last few are taken back, for a
//! while. One alone says little: where a line is full, files that happen to be small come more often, and no more bytes. A failure
//! that had to be repeated halves the number. Pure: the driver says what happened, and when.

use std::time::Instant;

/// Where it begins: what a server bears from one client, and what fills near ways.
const FIRST: usize = 32;
/// A fourth more is tried at once.
const STEP: usize = 4;
/// No failures lead below this.
const LEAST: usize = 4;
/// A gain of less than a twentieth is none.
const GAIN: f64 = 1.05;
/// Rounds before what did not help is tried again.
const REST: u32 = 8;

/// What has come in a round, for each second of it.
#[derive(Debug, Clone, Copy)]
struct Rates {
    files: f64,
    bytes: f64,
}

/// What the network has seen since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Bytes of bodies.
    pub(super) bytes: u64,
    /// Failures that were repeated.
    pub(super) troubles: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    most: usize,
    /// Answers in this round.
    ended: usize,
    /// Whether there were as many requests as there may be; else their number is not what holds the pull up.
    was_full: bool,
    began: Instant,
    seen: Seen,
    /// The rates of the round before, if they can be compared.
    last: Option<Rates>,
    /// What the number was before the last step up, until that has proved itself.
    before: Option<usize>,
    rest: u32,
    /// Whether it was halved in this round: what failed with the first failure says no more than that did.
    was_halved: bool,
}

impl Window {
    /// At most so many requests.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        let most = most.max(1);
        Self {
            size: FIRST.min(most),
            most,
            ended: 0,
            was_full: false,
            began: now,
            seen: Seen::default(),
            last: None,
            before: None,
            rest: 0,
            was_halved: false,
        }
    }

    /// How many requests there may be.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// There are as many.
    pub(super) fn is_full(&mut self) {
        self.was_full = true;
    }

    /// One was answered.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    /// Looks at what came of the present number, once there is enough to see.
    pub(super) fn judge(&mut self, now: Instant, seen: Seen) {
        if seen.troubles > self.seen.troubles && !self.was_halved {
            self.change(self.size / 2, now, seen);
            (self.last, self.before, self.rest, self.was_halved) = (None, None, REST, true);
            return;
        }
        if self.ended < self.size {
            return;
        }
        let seconds = now.duration_since(self.began).as_secs_f64().max(1e-6);
        #[expect(clippy::cast_precision_loss, reason = "rates are compared roughly")]
        let rates = Rates {
            files: self.ended as f64 / seconds,
            bytes: seen.bytes.saturating_sub(self.seen.bytes) as f64 / seconds,
        };
        let (last, was_full) = (self.last.replace(rates), self.was_full);
        self.change(self.size, now, seen);
        self.rest = self.rest.saturating_sub(1);
        let before = self.before.take();
        if !was_full {
            return;
        }
        let rose =
            last.is_some_and(|last| rates.files > last.files * GAIN && rates.bytes > last.bytes * GAIN);
        match before {
            Some(before) if !rose => (self.size, self.rest) = (before, REST),
            _ if self.rest == 0 && last.is_some() => {
                let more = (self.size + (self.size / STEP).max(1)).min(self.most);
                self.before = (more > self.size).then_some(self.size);
                self.size = more;
            }
            _ => {}
        }
    }

    /// Begins a round with this number.
    fn change(&mut self, size: usize, now: Instant, seen: Seen) {
        self.size = size.clamp(LEAST.min(self.most), self.most);
        (self.ended, self.was_full, self.was_halved, self.began, self.seen) = (0, false, false, now, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::time::Duration;

    /// A way to a server.
    #[derive(Clone, Copy)]
    struct Way {
        round_trip: Duration,
        bytes_per_second: u64,
        /// More requests than this at once are refused, and come half a second later.
        bears: usize,
    }

    /// Fetches so many files of such sizes; gives how long that takes, the most requests at once, and how many were refused.
    fn fetch(way: Way, files: usize, bytes: fn(usize) -> u64, adapts: bool) -> (Duration, usize, u64) {
        let start = Instant::now();
        let mut window = Window::new(128, start);
        let (mut now, mut line_is_free) = (start, start);
        let mut under_way: BinaryHeap<Reverse<Instant>> = BinaryHeap::new();
        let (mut asked, mut got, mut most) = (0, 0, 0);
        let mut seen = Seen::default();
        while got < files {
            let size = if adapts { window.size() } else { FIRST };
            while under_way.len() < size && asked < files {
                let is_refused = under_way.len() >= way.bears;
                seen.troubles += u64::from(is_refused);
                let answered = now + way.round_trip + Duration::from_millis(if is_refused { 500 } else { 0 });
                let takes = Duration::from_nanos(bytes(asked) * 1_000_000_000 / way.bytes_per_second);
                line_is_free = line_is_free.max(answered) + takes;
                under_way.push(Reverse(line_is_free));
                asked += 1;
            }
            most = most.max(under_way.len());
            if under_way.len() >= window.size() {
                window.is_full();
            }
            let Some(Reverse(next)) = under_way.pop() else { break };
            now = next;
            seen.bytes += bytes(got);
            got += 1;
            window.ended();
            window.judge(now, seen);
        }
        (now.duration_since(start), most, seen.troubles)
    }

    fn way(round_trip_ms: u64, mbit: u64) -> Way {
        let round_trip = Duration::from_millis(round_trip_ms);
        Way { round_trip, bytes_per_second: mbit * 125_000, bears: usize::MAX }
    }

    #[test]
    fn a_long_way_is_filled_with_requests() {
        let far = way(100, 50);
        let (adapted, most, _) = fetch(far, 6000, |_| 4000, true);
        let (fixed, ..) = fetch(far, 6000, |_| 4000, false);
        assert_eq!(most, 128);
        assert!(adapted.as_secs_f64() < fixed.as_secs_f64() * 0.4, "{adapted:?} instead of {fixed:?}");
    }

    #[test]
    fn a_line_that_is_full_gets_few_more() {
        for full in [way(20, 50), way(1, 100)] {
            let (adapted, most, _) = fetch(full, 6000, |_| 40_000, true);
            let (fixed, ..) = fetch(full, 6000, |_| 40_000, false);
            assert!(most <= FIRST + FIRST / STEP, "{most}");
            assert!(adapted.as_secs_f64() < fixed.as_secs_f64() * 1.01, "{adapted:?} instead of {fixed:?}");
        }
    }

    /// From 0.5 to 64 KiB, each power of two as often as the others, in no order: 9 KiB on average.
    fn mixed(nth: usize) -> u64 {
        let n = (nth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        512 << (((n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) % 8)
    }

    #[test]
    fn files_of_all_sizes_do_not_mislead_it() {
        let far = way(100, 200);
        let (adapted, most, _) = fetch(far, 20_000, mixed, true);
        let (fixed, ..) = fetch(far, 20_000, mixed, false);
        assert_eq!(most, 128);
        assert!(adapted.as_secs_f64() < fixed.as_secs_f64() * 0.4, "{adapted:?} instead of {fixed:?}");
        for full in [way(10, 20), way(1, 100)] {
            let (_, most, _) = fetch(full, 20_000, mixed, true);
            assert!(most <= FIRST + FIRST / STEP, "{most}");
        }
    }

    #[test]
    fn who_refuses_is_asked_for_less() {
        for bears in [6, 40] {
            let strict = Way { bears, ..way(100, 50) };
            let (_, _, refused) = fetch(strict, 6000, |_| 4000, true);
            assert!(refused < 6000 / 20, "{refused} refused where {bears} are borne");
        }
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let start = Instant::now();
        let mut window = Window::new(3, start);
        assert_eq!(window.size(), 3);
        for troubles in 0..5 {
            window.judge(start, Seen { bytes: 0, troubles });
            assert_eq!(window.size(), 3);
        }
        // All that fails at once is one failure; the next round's is another.
        let mut window = Window::new(100, start);
        for troubles in 1..9 {
            window.judge(start, Seen { bytes: 0, troubles });
            assert_eq!(window.size(), FIRST / 2);
        }
        (0..FIRST / 2).for_each(|_| window.ended());
        window.judge(start, Seen { bytes: 0, troubles: 8 });
        window.judge(start, Seen { bytes: 0, troubles: 9 });
        assert_eq!(window.size(), FIRST / 4);
    }
}
