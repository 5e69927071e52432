//! Room for files of the caller's beside what is staged, within the same bound on the space that is used.

use super::Transaction;
use super::budget::Budget;
use crate::Error;
use std::sync::Arc;

/// Sets space aside for files that a caller writes on the store's filesystem and removes again, such as half-done downloads:
/// when it is done with them, or at the latest when there is no room for something else.
#[derive(Debug, Clone)]
pub struct Rooms(Arc<Budget>);

/// Space that is set aside for one file. To be dropped when the file is gone.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Transaction<'_> {
    /// What files in [`scratch`](Self::scratch) need, as nobody else sees to it that something stays free.
    pub fn rooms(&self) -> Rooms {
        Rooms(Arc::clone(&self.budget))
    }
}

impl Rooms {
    /// For a file that had so many bytes before the transaction began: 0 if it is new. From then on these count as space that
    /// there will be.
    pub fn of(&self, bytes: u64) -> Room {
        self.0.will_regain(bytes);
        Room { budget: Arc::clone(&self.0), bytes }
    }
}

impl Room {
    /// Sets aside so many bytes more, of a file that is to have `whole` in the end, as far as that is known.
    ///
    /// # Errors
    /// [`Error::NoSpace`], which tells what the whole file needs; then it is as it was.
    pub fn grow(&mut self, bytes: u64, whole: u64) -> Result<(), Error> {
        self.budget.lend(self.bytes, bytes, whole)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.regain(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reserve;
    use sapwood_fsio::FreeSpace;

    #[test]
    fn a_file_that_grows_takes_whole_blocks_once_and_gives_them_back() {
        let space =
            FreeSpace { available_bytes: 0, free_bytes: 12_288, total_bytes: 1 << 20, block_bytes: 4096 };
        let rooms = Rooms(Arc::new(Budget::new(space, Reserve::Bytes(4096))));
        for _ in 0..3 {
            let mut room = rooms.of(0);
            for _ in 0..8192 {
                room.grow(1, 0).unwrap();
            }
            assert!(matches!(room.grow(1, 0), Err(Error::NoSpace { needed_bytes: 12_288, .. })));
        }
        // What was there before the transaction is free when it is gone.
        drop(rooms.of(4096));
        rooms.of(0).grow(12_288, 12_288).unwrap();
    }
}
