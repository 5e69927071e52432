//! The repository's lock, which nobody is kept from for ever.
//!
//! The kernel shares a lock with whoever asks while others share it, so writers that overlap would keep out who needs it
//! alone. Hence a second lock file, the queue: who needs the lock alone holds the queue until it has the lock, and who
//! shares it passes through the queue before. Real `ostree` knows nothing of the queue, and is only excluded by the lock.

use super::Store;
use crate::{Error, layout};
use sapwood_fsio as fsio;
use sapwood_fsio::lock::{Lock, LockKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The repository's lock, held; dropping it, or the death of the process, releases it.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RepoLock {
    _lock: Lock,
    _held: Held,
}

/// How many locks a store holds.
#[derive(Debug, Default)]
pub(super) struct Holding(Arc<AtomicUsize>);

impl Holding {
    fn one_more(&self) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Takes the repository's lock; `None` where locking is switched off. Where another process waits to have it alone, a
    /// shared one is given after that; but a store that shares it already gets it again at once, since the other waits for
    /// this one.
    ///
    /// # Errors
    /// [`Error::Lock`], naming the holder.
    pub fn lock(&self, kind: LockKind) -> Result<Option<RepoLock>, Error> {
        if !self.options.locking {
            return Ok(None);
        }
        let (wait, started) = (self.options.lock_wait, Instant::now());
        let is_queued = match kind {
            LockKind::Exclusive => true,
            // Where nobody ever needed it alone there is no queue, and there may be no right to make one.
            LockKind::Shared => {
                self.holding.0.load(Ordering::Relaxed) == 0
                    && fsio::stat_optional(&self.repo, layout::LOCK_QUEUE)?.is_some()
            }
        };
        let _place =
            if is_queued { Some(Lock::acquire(&self.repo, layout::LOCK_QUEUE, kind, wait)?) } else { None };
        let lock = Lock::acquire(&self.repo, layout::LOCK, kind, wait.less(started.elapsed()))?;
        Ok(Some(RepoLock { _lock: lock, _held: self.holding.one_more() }))
    }
}
