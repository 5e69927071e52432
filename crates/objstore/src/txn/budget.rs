//! How much a transaction may still write before it touches the space that is to stay free.

use crate::{Error, Reserve};
use sapwood_fsio::FreeSpace;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Free space beyond the reserve, used up as objects are written.
#[derive(Debug)]
pub(super) struct Budget {
    left: Mutex<Left>,
    configured: Reserve,
    reserve: u64,
    block: u64,
}

/// Bytes beyond the reserve.
#[derive(Debug)]
struct Left {
    /// What can be written as things stand.
    now: u64,
    /// What can be kept: that, and what files take that go again.
    to_keep: u64,
}

/// What was taken for content that is to stay. Dropped, it is given back.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub(super) struct Taken<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(space: FreeSpace, configured: Reserve) -> Self {
        let reserve = configured.on(space);
        let left = space.free_bytes.saturating_sub(reserve);
        let left = Mutex::new(Left { now: left, to_keep: left });
        Self { left, configured, reserve, block: space.block_bytes.max(1) }
    }

    /// Whether the blocks that `bytes` fill could be taken once all is gone that goes again.
    pub(super) fn check(&self, bytes: u64) -> Result<(), Error> {
        let (needed, left) = (self.blocks(bytes), self.left().to_keep);
        if needed <= left { Ok(()) } else { Err(self.refusal(needed, left)) }
    }

    /// Takes the blocks that `bytes` fill. Refused, nothing is taken.
    pub(super) fn take(&self, bytes: u64) -> Result<Taken<'_>, Error> {
        // Without a reserve the disk itself says when it is full.
        if self.reserve != 0 {
            self.use_up(0, bytes, 0)?;
        }
        Ok(Taken { budget: self, bytes })
    }

    /// Takes for good the blocks that a file of `to` bytes fills beyond one of `from`: see [`draw`](Self::draw).
    fn use_up(&self, from: u64, to: u64, whole: u64) -> Result<(), Error> {
        let mut left = self.left();
        let taken = self.draw(&mut left, from, to, whole)?;
        left.to_keep = left.to_keep.saturating_sub(taken);
        Ok(())
    }

    /// Takes the blocks that a file of `to` bytes fills beyond one of `from`, which is to have `whole` in the end, as far as is
    /// known; gives how many bytes they have. Refused, nothing is taken, and it is the whole that does not fit.
    fn draw(&self, left: &mut Left, from: u64, to: u64, whole: u64) -> Result<u64, Error> {
        let (had, has) = (self.blocks(from), self.blocks(to));
        let needed = has - had;
        left.now = left
            .now
            .checked_sub(needed)
            .ok_or_else(|| self.refusal(self.blocks(whole).max(has), left.now.saturating_add(had)))?;
        Ok(needed)
    }

    /// Notes a file that was there before and will go: what it fills can then be kept for others.
    pub(super) fn will_regain(&self, bytes: u64) {
        let mut left = self.left();
        left.to_keep = left.to_keep.saturating_add(self.blocks(bytes));
    }

    /// Takes, for a while, the blocks that a file fills in addition which had `from` bytes, gets `by` more, and is to have
    /// `whole` in the end, as far as is known. Refused, nothing is taken, and it is the whole that does not fit.
    pub(super) fn lend(&self, from: u64, by: u64, whole: u64) -> Result<(), Error> {
        if self.reserve == 0 {
            return Ok(());
        }
        self.draw(&mut self.left(), from, from.saturating_add(by), whole).map(drop)
    }

    /// A file is gone that had so many bytes: lent, or noted as going.
    pub(super) fn regain(&self, bytes: u64) {
        if self.reserve != 0 {
            let mut left = self.left();
            left.now = left.now.saturating_add(self.blocks(bytes));
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self, needed: u64, available: u64) -> Error {
        Error::NoSpace {
            needed_bytes: needed,
            available_bytes: available,
            reserve_bytes: self.reserve,
            reserve: self.configured,
        }
    }

    fn blocks(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.block).saturating_mul(self.block)
    }
}

impl Taken<'_> {
    /// Takes, in addition, the blocks that a file fills which gets `by` bytes more, and is to have `whole` in the end, as far as
    /// is known. Refused, nothing more is taken, and it is the whole that does not fit.
    pub(super) fn grow(&mut self, by: u64, whole: u64) -> Result<(), Error> {
        let bytes = self.bytes.saturating_add(by);
        if self.budget.reserve != 0 {
            self.budget.use_up(self.bytes, bytes, whole)?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The content is there, and stays.
    pub(super) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.budget.reserve != 0 {
            let bytes = self.budget.blocks(self.bytes);
            let mut left = self.budget.left();
            left.now = left.now.saturating_add(bytes);
            left.to_keep = left.to_keep.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checking_takes_nothing_and_counts_whole_blocks() {
        for reserve in [Reserve::Bytes(0), Reserve::Bytes(4096)] {
            let left = if reserve == Reserve::Bytes(0) { 100_000 } else { 95_904 };
            let budget = Budget::new(SPACE, reserve);
            for _ in 0..3 {
                budget.check(left / 4096 * 4096).unwrap();
                budget.check(left / 4096 * 4096 + 1).unwrap_err();
            }
            budget.check(u64::MAX).unwrap_err();
        }
    }

    const SPACE: FreeSpace =
        FreeSpace { available_bytes: 90_000, free_bytes: 100_000, total_bytes: 1_000_000, block_bytes: 4096 };

    #[test]
    fn whole_blocks_are_taken_until_the_reserve_is_reached() {
        let budget = Budget::new(SPACE, Reserve::Percent(9)); // leaves 10,000 bytes: two blocks
        budget.take(1).unwrap().keep();
        budget.take(4096).unwrap().keep();
        assert!(matches!(
            budget.take(1),
            Err(Error::NoSpace { needed_bytes: 4096, available_bytes: 1808, reserve_bytes: 90_000, .. })
        ));
    }

    #[test]
    fn what_grows_takes_whole_blocks_once_and_gives_back_all() {
        let budget = Budget::new(SPACE, Reserve::Percent(9)); // leaves 10,000 bytes: two blocks
        let mut taken = budget.take(0).unwrap();
        for _ in 0..8192 {
            taken.grow(1, 0).unwrap();
        }
        assert!(matches!(
            taken.grow(1, 50_000),
            Err(Error::NoSpace { needed_bytes: 53_248, available_bytes: 10_000, .. })
        ));
        budget.check(1809).unwrap_err();
        drop(taken);
        budget.check(8192).unwrap();
    }

    #[test]
    fn what_is_not_kept_can_be_taken_again() {
        let budget = Budget::new(SPACE, Reserve::Percent(9));
        for _ in 0..3 {
            let _taken = budget.take(8192).unwrap();
            budget.take(1).unwrap_err();
            budget.check(1809).unwrap_err();
        }
        budget.check(8192).unwrap();
    }

    #[test]
    fn what_is_lent_cannot_be_written_but_is_there_to_be_kept() {
        let budget = Budget::new(SPACE, Reserve::Percent(9)); // leaves 10,000 bytes: two blocks
        budget.lend(0, 4097, 0).unwrap();
        budget.take(1).unwrap_err();
        budget.check(8192).unwrap();
        budget.check(8193).unwrap_err();
        budget.regain(4097);
        budget.take(1).unwrap().keep();
        budget.lend(0, 4096, 0).unwrap();
        assert!(matches!(
            budget.lend(4096, 1, 50_000),
            Err(Error::NoSpace { needed_bytes: 53_248, available_bytes: 5904, .. })
        ));
        budget.check(4096).unwrap();
        budget.check(4097).unwrap_err();
    }

    #[test]
    fn what_was_there_before_and_goes_again_can_be_kept_at_once_and_written_when_it_is_gone() {
        let budget = Budget::new(SPACE, Reserve::Percent(9));
        budget.will_regain(4096);
        budget.check(12_288).unwrap();
        budget.take(12_288).unwrap_err();
        budget.regain(4096);
        budget.check(12_288).unwrap();
        budget.take(12_288).unwrap().keep();
        let without = Budget::new(SPACE, Reserve::Bytes(0));
        without.check(24 * 4096 + 1).unwrap_err();
        without.will_regain(4096);
        without.check(25 * 4096).unwrap();
    }

    #[test]
    fn nothing_can_be_taken_where_the_reserve_is_larger_than_the_free_space() {
        assert!(Budget::new(SPACE, Reserve::Bytes(100_001)).take(1).is_err());
    }
}
