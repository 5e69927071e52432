//! Work for the threads that verify and store.

use super::frontier::Item;
use super::meta::Place;
use super::scratch::Parts;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// One piece of work.
#[derive(Debug)]
pub(super) enum Job {
    /// See which of these are here.
    Look(Vec<Item>),
    /// Verify and store an object, then leave its place.
    Store(Item, Payload, Place),
    /// Store the metadata beside a commit that was asked for.
    Detached(sapwood_objstore::Id<sapwood_objstore::Commit>, Option<Bytes>, Place),
}

/// What was fetched.
#[derive(Debug)]
pub(super) enum Payload {
    /// A small object.
    Bytes(Bytes),
    /// A commit, and the metadata beside it.
    Commit(Bytes, Option<Bytes>),
    /// A large object, in files.
    Parts(Parts),
}

/// Jobs waiting. What limits them is the number of requests under way, which counts an object until it is stored.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Threads that wait for jobs: only then is there one to wake, which costs a system call.
    waiting: usize,
}

/// So many jobs are taken at once, so that not every one of them wakes threads.
const AT_ONCE: usize = 16;

impl Queue {
    /// Adds a job.
    pub(super) fn push(&self, job: Job) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(job);
        if state.waiting > 0 {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// No more jobs; those waiting are dropped.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.jobs.clear();
        self.changed.notify_all();
    }

    /// Waits for jobs and takes this thread's share of `threads`; `None` once closed.
    pub(super) fn take(&self, threads: usize) -> Option<Vec<Job>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.closed {
                return None;
            }
            if !state.jobs.is_empty() {
                let share = state.jobs.len().div_ceil(threads.max(1)).min(AT_ONCE);
                return Some(state.jobs.drain(..share).collect());
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }
}
