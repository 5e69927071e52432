//! Applying static deltas while they are fetched: a few parts at a time, each verified, and each of its objects.
//!
//! Objects are staged in the pull's transaction, so they become visible with all others or not at all. A part whose objects
//! are here already, from an earlier pull that was cut short too, is not fetched.

use super::events::{Progress, PullEvent};
use super::net::{Net, OnEvent};
use super::options::{Deltas, FileModes, PullLimits, PullOptions};
use super::worker::{Workshop, is_bad};
use crate::{FetchError, PullError};
use bytes::Bytes;
use sapwood_objstore::Error as StoreError;
use sapwood_repo::{
    DeltaError, DeltaName, Error as RepoError, PartInfo, Superblock, apply_part, part_is_here,
};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// Parts under way at once, if they fit into memory; each is there compressed and decompressed.
const AT_ONCE: usize = 3;

/// How much of the deltas there is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PartCounts {
    /// Parts that are fetched, and those that have been dealt with.
    pub(super) known: u64,
    pub(super) done: u64,
    /// Parts that made objects.
    pub(super) applied: u64,
    /// Bytes of the parts that are fetched.
    pub(super) bytes: u64,
}

impl PartCounts {
    pub(super) fn add_to(self, progress: &mut Progress) {
        progress.delta_parts_known = self.known;
        progress.delta_parts_done = self.done;
        progress.delta_bytes_known = self.bytes;
    }
}

/// A part to be fetched.
#[derive(Debug, Clone, Copy)]
struct Needed<'a> {
    delta: DeltaName,
    index: usize,
    info: &'a PartInfo,
}

/// What came of a part.
enum Done {
    Applied,
    /// It is of no use; its objects are fetched one by one.
    Useless((DeltaName, usize), PullError),
    Failed(PullError),
}

/// The parts whose objects are not all here.
fn needed<'a>(workshop: &Workshop<'_>, delta: &'a Superblock) -> Result<Vec<Needed<'a>>, PullError> {
    let mut needed = Vec::new();
    for (index, info) in delta.parts.iter().enumerate() {
        if !part_is_here(workshop.objects, info)? {
            needed.push(Needed { delta: delta.name, index, info });
        }
    }
    Ok(needed)
}

/// Takes in the target commits, as the policy lets pass, then fetches and applies the parts. What no part makes is left to
/// be fetched one by one.
pub(super) fn apply(
    workshop: &Workshop<'_>,
    net: &Net,
    runtime: &Handle,
    deltas: &[Superblock],
    options: &PullOptions,
    on_event: OnEvent<'_>,
) -> Result<PartCounts, PullError> {
    let mut todo = VecDeque::new();
    for delta in deltas {
        let to = delta.name.to;
        let beside = runtime.block_on(net.beside(to, &net.places.claim()));
        let beside = beside.map_err(|source| PullError::Fetch {
            what: format!("the metadata beside commit {to}").into(),
            source: Box::new(source),
        })?;
        let beside = workshop.decode_detached(beside.as_ref())?;
        workshop.store_commit(to, &delta.commit, beside.as_ref().or(delta.detached.as_ref()))?;
        todo.extend(needed(workshop, delta)?);
    }
    let made_bytes = todo.iter().fold(0_u64, |sum, part| sum.saturating_add(part.info.content_bytes));
    workshop.objects.check_space(made_bytes).map_err(RepoError::from)?;
    let bytes = todo.iter().fold(0_u64, |sum, part| sum.saturating_add(part.info.bytes));
    let mut counts = PartCounts { known: todo.len() as u64, bytes, ..PartCounts::default() };
    let tell = |counts: PartCounts| {
        let mut progress = Progress {
            bytes_received: net.traffic.received_bytes.load(Ordering::Relaxed),
            requests: net.traffic.requests.load(Ordering::Relaxed),
            ..Progress::default()
        };
        counts.add_to(&mut progress);
        on_event(PullEvent::Progress(progress));
    };
    let threads = AT_ONCE.min(todo.len());
    let todo = Todo::new(todo, &options.limits);
    let context = sapwood_fsio::fault::context();
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..threads {
            let (context, sender, todo) = (context.clone(), sender.clone(), &todo);
            scope.spawn(move || {
                let _in = context.enter();
                work(workshop, net, runtime, todo, &sender);
            });
        }
        drop(sender);
        let mut failed = None;
        loop {
            match receiver.recv_timeout(options.progress_interval) {
                Ok(Done::Applied) => counts.applied += 1,
                Ok(Done::Useless((delta, part), error)) if options.deltas != Deltas::Require => {
                    tracing::warn!(%error, %delta, part, "a part is of no use, fetching its objects instead");
                }
                Ok(Done::Useless(_, error) | Done::Failed(error)) => {
                    todo.clear();
                    failed.get_or_insert(error);
                }
                Err(RecvTimeoutError::Timeout) => {
                    tell(counts);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            counts.done += 1;
        }
        tell(counts);
        match failed {
            Some(error) => Err(error),
            None => Ok(counts),
        }
    })
}

/// Parts to be done, and how much memory those take that are being done.
struct Todo<'a> {
    parts: Mutex<(VecDeque<Needed<'a>>, u64)>,
    freed: Condvar,
    limits: &'a PullLimits,
}

/// A part that is being done; its memory counts until this is dropped.
struct Doing<'t, 'a> {
    todo: &'t Todo<'a>,
    part: Needed<'a>,
}

impl<'a> Todo<'a> {
    fn new(parts: VecDeque<Needed<'a>>, limits: &'a PullLimits) -> Self {
        Self { parts: Mutex::new((parts, 0)), freed: Condvar::new(), limits }
    }

    /// The next part, as soon as there is memory for it; one that is too large for all there is comes when nothing else is
    /// under way, to be refused.
    fn next(&self) -> Option<Doing<'_, 'a>> {
        let mut state = self.lock();
        loop {
            let needs = memory_of(state.0.front()?.info, self.limits);
            if state.1 == 0 || state.1.saturating_add(needs) <= self.limits.max_parts_memory_bytes {
                state.1 = state.1.saturating_add(needs);
                return state.0.pop_front().map(|part| Doing { todo: self, part });
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn clear(&self) {
        self.lock().0.clear();
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Needed<'a>>, u64)> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Doing<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.todo.lock();
        state.1 = state.1.saturating_sub(memory_of(self.part.info, self.todo.limits));
        self.todo.freed.notify_all();
    }
}

/// What a part takes in memory at most: its bytes, of which no more are taken than the limit, and what comes out of them.
fn memory_of(info: &PartInfo, limits: &PullLimits) -> u64 {
    info.bytes.min(limits.max_part_bytes).saturating_add(info.max_payload_bytes())
}

fn work(workshop: &Workshop<'_>, net: &Net, runtime: &Handle, todo: &Todo<'_>, news: &Sender<Done>) {
    while let Some(doing) = todo.next() {
        let done = one(workshop, net, runtime, doing.part);
        drop(doing);
        // Nobody listens if the pull has failed otherwise.
        drop(news.send(done));
    }
}

fn one(workshop: &Workshop<'_>, net: &Net, runtime: &Handle, part: Needed<'_>) -> Done {
    let useless = |error| Done::Useless((part.delta, part.index), error);
    let unusable = |source| PullError::Delta { delta: part.delta, source: Box::new(source) };
    let limit_bytes = net.limits.max_parts_memory_bytes;
    if memory_of(part.info, &net.limits) > limit_bytes {
        return useless(unusable(DeltaError::TooLarge { what: "part", limit_bytes }.into()));
    }
    // What is left out is asked for by itself, and refused there.
    let takes = |id: sapwood_objstore::Id<_>, header: &_, size| {
        size <= net.limits.max_file_bytes
            && (workshop.file_modes == FileModes::Any || workshop.check_mode(id.raw(), header).is_ok())
    };
    for elsewhere in [false, true] {
        let bytes = match &part.info.inline {
            Some(inline) => Bytes::copy_from_slice(inline),
            None => match runtime.block_on(fetch(net, part, elsewhere)) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    return useless(unusable(DeltaError::Missing { name: part.delta.to_string() }.into()));
                }
                Err(source) => {
                    let what = format!("part {} of delta {}", part.index, part.delta).into();
                    return useless(PullError::Fetch { what, source: Box::new(source) });
                }
            },
        };
        let apply = || apply_part(workshop.objects, part.info, &bytes, &takes);
        match net.scratch.with_room(RepoError::is_no_space, apply) {
            Ok(()) => return Done::Applied,
            // Damaged on the way, perhaps.
            Err(RepoError::Delta(DeltaError::Corrupt { .. })) if !elsewhere => {}
            Err(error) if is_useless(&error) => return useless(unusable(error)),
            Err(error) => return Done::Failed(error.into()),
        }
    }
    useless(unusable(DeltaError::Missing { name: part.delta.to_string() }.into()))
}

/// Whether a part failed for what it is, or for what it builds on, rather than for this machine.
fn is_useless(error: &RepoError) -> bool {
    match error {
        RepoError::Delta(_) => true,
        RepoError::Store(source) => is_bad(source) || matches!(source, StoreError::Missing { .. }),
        _ => false,
    }
}

/// Reads a part whole; no byte more than the superblock says is taken.
async fn fetch(net: &Net, part: Needed<'_>, elsewhere: bool) -> Result<Option<Bytes>, FetchError> {
    let path = format!("{}/{}", part.delta.path(), part.index);
    let limits = crate::Limits { max_bytes: part.info.bytes.min(net.limits.max_part_bytes) };
    let response = if elsewhere {
        net.traffic.requests.fetch_add(1, Ordering::Relaxed);
        net.remote.get_elsewhere(&path, limits).await?
    } else {
        net.get(&path, None, limits).await?
    };
    let Some(mut response) = response else { return Ok(None) };
    let mut bytes = bytes::BytesMut::new();
    while let Some(chunk) = net.traffic.chunk(&mut response).await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.freeze()))
}
