//! Writing ahead: the disk writes what is staged while more is being staged.

use super::Transaction;
use crate::Error;
use sapwood_fsio as fsio;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How much is staged, in bytes, before the disk is set to work on it.
const PIECE_BYTES: u64 = 64 << 20;
/// How often that is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// Says that the work has ended, also when it ended in a panic.
struct End<'a>(&'a (Mutex<bool>, Condvar));

impl Drop for End<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

impl Transaction<'_> {
    /// Does work that stages much; meanwhile another thread syncs what is staged, a piece at a time, so that publishing
    /// has little left to wait for. Nothing becomes visible by this.
    ///
    /// # Errors
    /// [`Error::Io`] if such a sync fails: what it was for must then not be published.
    pub fn write_ahead<R>(&self, work: impl FnOnce() -> R) -> Result<R, Error> {
        if !self.store.options().fsync || self.store.options().per_object_fsync {
            return Ok(work());
        }
        let ended = (Mutex::new(false), Condvar::new());
        let context = fsio::fault::context();
        std::thread::scope(|scope| {
            let syncer = scope.spawn(|| {
                let _in = context.enter();
                self.sync_pieces(&ended)
            });
            let outcome = {
                let _end = End(&ended);
                work()
            };
            match syncer.join() {
                Ok(result) => result.map(|()| outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn sync_pieces(&self, (ended, wake): &(Mutex<bool>, Condvar)) -> Result<(), Error> {
        let mut synced = 0;
        loop {
            let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
            let (guard, _) = wake
                .wait_timeout_while(guard, PERIOD, |ended| !*ended)
                .unwrap_or_else(PoisonError::into_inner);
            if *guard {
                return Ok(());
            }
            drop(guard);
            let written = self.counts.bytes_written.load(Ordering::Relaxed);
            if written - synced >= PIECE_BYTES {
                synced = written;
                self.store.sync()?;
            }
        }
    }
}
