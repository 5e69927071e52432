//! How many requests are under way: more while the way to the remote has room, fewer when the remote cannot bear them.
//!
//! A way of 100 ms and small files needs over a hundred requests to be full; a near server, or a slow line, is not served any
//! faster for more than a few. Which of these it is, the wait for an answer to begin tells. Where a line is full, requests and
//! answers queue, and each waits for longer than on an idle one. So after each round, which is as many answers as there may be
//! requests, the quick answers of the round are compared with those of the round when they were quickest: if they came about as
//! soon, the way had room at that moment, and more requests are tried: twice as many, until a failure that had to be repeated
//! halves the number, and from then on a few at a time. Rates tell less: files that happen to be large bring their number down,
//! and small ones their bytes.
//!
//! Of a round the tenth part of the answers that came soonest is passed over, and so is what came as soon as from next door: it
//! is what some cache between had, and says nothing of the way to all else. Pure: the driver says what happened.

use std::time::Duration;

/// Where it begins: what a server bears from one client, and what fills near ways.
const FIRST: usize = 32;
/// After a failure a fourth more is tried at once.
const STEP: usize = 4;
/// No failures lead below this.
const LEAST: usize = 4;
/// Rounds after a failure before more is tried.
const REST: u32 = 8;
/// Rounds before more is tried at all: the first answers come over a way that is still empty, and say nothing of a full one.
const FIRST_REST: u32 = 1;
/// Where the answers of a round begin at the soonest so many times later than they can, the way is full.
const FULL: u32 = 2;
/// A way so short is filled by the first number: that is thousands of answers a second, more than are stored.
const NEAR: Duration = Duration::from_millis(5);
/// Of so many answers one must come from further, or else the way is short.
const FAR_OF: usize = 4;
/// Of so many answers that come from further the soonest is passed over.
const SOONEST_OF: usize = 10;

/// What the network has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How long each answer that began since the last look was waited for.
    pub(super) waits: Vec<Duration>,
    /// Failures that were repeated, since the beginning.
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
    /// The waits of this round, [`NEAR`] ones left out.
    waits: Vec<Duration>,
    /// The shortest [quick wait](Self::quick) of a round.
    least: Option<Duration>,
    troubles: u64,
    rest: u32,
    /// Whether it was halved in this round: what failed with the first failure says no more than that did.
    was_halved: bool,
    /// Whether it ever was.
    is_careful: bool,
}

impl Window {
    /// At most so many requests.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            size: FIRST.min(most),
            most,
            ended: 0,
            was_full: false,
            waits: Vec::new(),
            least: None,
            troubles: 0,
            rest: FIRST_REST,
            was_halved: false,
            is_careful: false,
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
    pub(super) fn judge(&mut self, seen: Seen) {
        let is_failing = seen.troubles > self.troubles && !self.was_halved;
        self.troubles = seen.troubles;
        self.waits.extend(seen.waits.into_iter().filter(|wait| *wait > NEAR));
        if is_failing {
            self.begin(self.size / 2);
            (self.rest, self.was_halved, self.is_careful) = (REST, true, true);
            return;
        }
        if self.ended < self.size {
            return;
        }
        let has_room = self.has_room();
        let more = if self.was_full && self.rest == 0 && has_room {
            if self.is_careful { (self.size / STEP).max(1) } else { self.size }
        } else {
            0
        };
        self.rest = self.rest.saturating_sub(1);
        self.begin(self.size + more);
    }

    /// Whether the way had room in this round, and is long enough to need more.
    fn has_room(&mut self) -> bool {
        let Some(quick) = self.quick() else { return false };
        let least = self.least.map_or(quick, |least| least.min(quick));
        self.least = Some(least);
        quick < least * FULL
    }

    /// How soon answers of this round began that were quick, if enough came from far.
    fn quick(&mut self) -> Option<Duration> {
        if self.waits.len() < self.ended.div_ceil(FAR_OF) {
            return None;
        }
        let at = self.waits.len() / SOONEST_OF;
        (at < self.waits.len()).then(|| *self.waits.select_nth_unstable(at).1)
    }

    /// Begins a round with this number.
    fn begin(&mut self, size: usize) {
        self.size = size.clamp(LEAST.min(self.most), self.most);
        (self.ended, self.was_full, self.was_halved) = (0, false, false);
        self.waits.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::time::Instant;

    /// A way to a server.
    #[derive(Clone, Copy)]
    struct Way {
        round_trip: Duration,
        bytes_per_second: u64,
        /// More requests than this at once are refused, and come half a second later.
        bears: usize,
        /// Of so many files a cache has one, and gives it within a millisecond.
        cached_of: usize,
    }

    /// Fetches so many files of such sizes; gives how long that takes, the most requests at once, and how many were refused.
    fn fetch(way: Way, files: usize, bytes: fn(usize) -> u64, adapts: bool) -> (Duration, usize, u64) {
        let start = Instant::now();
        let mut window = Window::new(128);
        let (mut now, mut line_is_free) = (start, start);
        // When they end, and how long they had to wait to begin.
        let mut under_way: BinaryHeap<Reverse<(Instant, Duration)>> = BinaryHeap::new();
        let (mut asked, mut got, mut most) = (0, 0, 0);
        let mut troubles = 0;
        while got < files {
            let size = if adapts { window.size() } else { FIRST };
            while under_way.len() < size && asked < files {
                let is_refused = under_way.len() >= way.bears;
                troubles += u64::from(is_refused);
                let is_cached = asked % way.cached_of == 1;
                let round_trip = if is_cached { Duration::from_millis(1) } else { way.round_trip };
                let answered = now + round_trip + Duration::from_millis(if is_refused { 500 } else { 0 });
                let takes = Duration::from_nanos(bytes(asked) * 1_000_000_000 / way.bytes_per_second);
                let begins = if is_cached { answered } else { line_is_free.max(answered) };
                line_is_free = if is_cached { line_is_free } else { begins + takes };
                under_way.push(Reverse((begins + takes, begins.duration_since(now))));
                asked += 1;
            }
            most = most.max(under_way.len());
            if under_way.len() >= window.size() {
                window.is_full();
            }
            let Some(Reverse((next, wait))) = under_way.pop() else { break };
            now = next;
            got += 1;
            window.ended();
            window.judge(Seen { waits: vec![wait], troubles });
        }
        (now.duration_since(start), most, troubles)
    }

    fn way(round_trip_ms: u64, mbit: u64) -> Way {
        let round_trip = Duration::from_millis(round_trip_ms);
        Way { round_trip, bytes_per_second: mbit * 125_000, bears: usize::MAX, cached_of: usize::MAX }
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
    fn what_a_cache_between_has_does_not_mislead_it() {
        for cached_of in [2, 40, 500] {
            let cached = Way { cached_of, ..way(100, 50) };
            let (adapted, most, _) = fetch(cached, 6000, |_| 4000, true);
            let (fixed, ..) = fetch(cached, 6000, |_| 4000, false);
            assert_eq!(most, 128, "one of {cached_of}");
            assert!(adapted.as_secs_f64() < fixed.as_secs_f64() * 0.5, "{adapted:?} instead of {fixed:?}");
        }
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
        let mut window = Window::new(3);
        assert_eq!(window.size(), 3);
        for troubles in 0..5 {
            window.judge(Seen { waits: Vec::new(), troubles });
            assert_eq!(window.size(), 3);
        }
        // All that fails at once is one failure; the next round's is another.
        let mut window = Window::new(100);
        for troubles in 1..9 {
            window.judge(Seen { waits: Vec::new(), troubles });
            assert_eq!(window.size(), FIRST / 2);
        }
        (0..FIRST / 2).for_each(|_| window.ended());
        window.judge(Seen { waits: Vec::new(), troubles: 8 });
        window.judge(Seen { waits: Vec::new(), troubles: 9 });
        assert_eq!(window.size(), FIRST / 4);
    }
}
