//! Work on a tree by several threads.
//!
//! Tasks are queued, not nested: a thread never waits for another task inside one, so stacks stay flat however deep the
//! tree is. Each thread takes the newest of its own tasks first, which is depth first, so the number of directories open
//! at once is about depth times threads, whatever the tree's size.

use crate::{Error, Result};
use rayon::Scope;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Deep recursion in a library below us shall not matter.
const STACK_BYTES: usize = 16 << 20;

/// Threads to use where the caller says none: one for each core.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs `start` and all tasks it spawns, on `threads` threads; returns when all are done.
///
/// The threads take part in the caller's fault context.
pub(crate) fn run<'scope, R: Send>(
    threads: usize,
    start: impl FnOnce(&Scope<'scope>) -> R + Send,
) -> Result<R> {
    let context = sapwood_fsio::fault::context();
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .stack_size(STACK_BYTES)
        .thread_name(|index| format!("sapwood-{index}"))
        .build_scoped(
            |thread| {
                let _entered = context.enter();
                thread.run();
            },
            |pool| pool.scope(start),
        )
        .map_err(|error| {
            let source = io::Error::other(error);
            Error::Io(sapwood_fsio::Error { op: "start", path: PathBuf::from("worker threads"), source })
        })
}

/// Keeps the first failure of tasks that run side by side.
#[derive(Debug, Default)]
pub(crate) struct FirstError {
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl FirstError {
    /// Whether a task has failed, so that the others need not go on.
    pub(crate) fn is_set(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes note of a failure; later ones are dropped.
    pub(crate) fn set(&self, error: Error) {
        let mut slot = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The failure, if there was one.
    pub(crate) fn into_result(self) -> Result<()> {
        match self.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
