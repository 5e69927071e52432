//! How much a transaction may still write before it touches the space that is to stay free.

use crate::{Error, Reserve};
use sapwood_fsio::FreeSpace;
use std::sync::atomic::{AtomicU64, Ordering};

/// Free space beyond the reserve, used up as objects are written.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU64,
    configured: Reserve,
    reserve: u64,
    block: u64,
}

impl Budget {
    pub(super) fn new(space: FreeSpace, configured: Reserve) -> Self {
        let reserve = configured.on(space);
        let left = AtomicU64::new(space.free_bytes.saturating_sub(reserve));
        Self { left, configured, reserve, block: space.block_bytes.max(1) }
    }

    /// Whether the blocks that `bytes` fill could be taken.
    pub(super) fn check(&self, bytes: u64) -> Result<(), Error> {
        let (needed, left) = (self.blocks(bytes), self.left.load(Ordering::Relaxed));
        if needed <= left { Ok(()) } else { Err(self.refusal(needed, left)) }
    }

    /// Takes the blocks that `bytes` fill. Refused, nothing is taken.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Error> {
        self.grow(0, bytes)
    }

    /// Takes the blocks that a file fills in addition which had `from` bytes and gets `by` more. Refused, nothing is taken.
    pub(super) fn grow(&self, from: u64, by: u64) -> Result<(), Error> {
        // Without a reserve the disk itself says when it is full.
        if self.reserve == 0 {
            return Ok(());
        }
        let needed = self.blocks(from.saturating_add(by)) - self.blocks(from);
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(needed));
        taken.map(drop).map_err(|available| self.refusal(needed, available))
    }

    fn refusal(&self, needed: u64, available: u64) -> Error {
        Error::NoSpace {
            needed_bytes: needed,
            available_bytes: available,
            reserve_bytes: self.reserve,
            reserve: self.configured,
        }
    }

    /// Gives back what was taken for content that the store turned out to have, or for a file that is gone.
    pub(super) fn give_back(&self, bytes: u64) {
        if self.reserve != 0 {
            self.left.fetch_add(self.blocks(bytes), Ordering::Relaxed);
        }
    }

    fn blocks(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.block).saturating_mul(self.block)
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
        assert!(budget.take(1).is_ok());
        assert!(budget.take(4096).is_ok());
        assert!(matches!(
            budget.take(1),
            Err(Error::NoSpace { needed_bytes: 4096, available_bytes: 1808, reserve_bytes: 90_000, .. })
        ));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(SPACE, Reserve::Percent(9));
        for _ in 0..3 {
            assert!(budget.take(8192).is_ok());
            assert!(budget.take(1).is_err());
            budget.give_back(8192);
        }
    }

    #[test]
    fn nothing_can_be_taken_where_the_reserve_is_larger_than_the_free_space() {
        assert!(Budget::new(SPACE, Reserve::Bytes(100_001)).take(1).is_err());
    }
}
