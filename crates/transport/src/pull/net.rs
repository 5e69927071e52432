//! Fetching: what runs on the async runtime.

use super::events::PullEvent;
use super::frontier::Item;
use super::meta::{Place, Places};
use super::options::PullLimits;
use super::queue::{Job, Payload, Queue};
use super::scratch::Scratch;
use super::throttle::Throttle;
use super::worker::News;
use crate::{FetchError, Limits, PullError, Range, Remote, Response, wire};
use bytes::{Bytes, BytesMut};
use sapwood_objstore::{Commit, Format, Id, ObjectId, ObjectKind, ObjectName};
use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Larger files are written as they come: memory is bounded by this times the number of requests under way.
const MAX_MEMORY_BYTES: usize = 256 << 10;

/// What came over the wire.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) received_bytes: AtomicU64,
    pub(super) requests: AtomicU64,
    /// How long answers were waited for since this was asked last.
    waits: Mutex<Vec<Duration>>,
    throttle: Option<Throttle>,
}

impl Traffic {
    pub(super) fn within(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self {
            received_bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            waits: Mutex::default(),
            throttle: bytes_per_second.map(Throttle::new),
        }
    }

    /// How long each answer was waited for that began since this was asked last.
    pub(super) fn waits(&self) -> Vec<Duration> {
        std::mem::take(&mut self.waits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for a file. How soon the answer begins is noted for objects, of which there are many: what else there is may come from
    /// another server, or have been here already.
    pub(super) async fn get(
        &self,
        remote: &dyn Remote,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        self.sent();
        let sent = Instant::now();
        let response = remote.get(path, range, limits).await?;
        if wire::is_immutable(path) {
            self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(sent.elapsed());
        }
        Ok(response)
    }

    /// A request is sent.
    pub(super) fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The next bytes of a body. Waits where they were more than may come.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, FetchError> {
        let chunk = response.chunk().await?;
        let bytes = chunk.as_ref().map_or(0, Bytes::len) as u64;
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(throttle) = &self.throttle {
            throttle.pass(bytes).await;
        }
        Ok(chunk)
    }
}

/// Everything a fetch needs; shared by all of them.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) format: Format,
    pub(super) limits: PullLimits,
    pub(super) places: Places,
    /// Sizes that the summary gives for commits.
    pub(super) commit_bytes: HashMap<ObjectId, u64>,
    pub(super) scratch: Arc<Scratch>,
    pub(super) traffic: Traffic,
    pub(super) queue: Arc<Queue>,
    pub(super) news: Sender<News>,
    /// The sizes of files as the remote serves them, where its closures were asked for them.
    pub(super) file_bytes: Mutex<HashMap<ObjectId, u64>>,
}

/// Why there is nothing to store.
enum Failure {
    NotThere,
    Fetch(FetchError),
    Disk(sapwood_objstore::Error),
    Shutdown,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl Net {
    /// Fetches an object and has it stored. `whole`: what is there of it already is of no use.
    pub(super) async fn object(self: Arc<Self>, item: Item, whole: bool) {
        let place = self.places.claim();
        let fetched = match item.name.kind {
            ObjectKind::File => self.file(item, whole).await,
            ObjectKind::Commit => self.commit(Id::new(item.name.id), whole, &place).await,
            ObjectKind::DirTree | ObjectKind::DirMeta => {
                self.meta(item.name, whole, item.max_bytes(), &place).await.map(Payload::Bytes)
            }
        };
        let news = match fetched {
            Ok(payload) => return self.queue.push(Job::Store(item, payload, place)),
            Err(Failure::NotThere) => News::NotThere(item),
            Err(Failure::Fetch(source)) => News::Broken(item, source),
            Err(Failure::Disk(source)) => {
                let has_room = !source.is_no_space();
                let error = PullError::Store { object: item.name, source: Box::new(source) };
                if has_room { News::Failed(error) } else { News::NoRoom(item, error) }
            }
            Err(Failure::Shutdown) => {
                News::Failed(PullError::Stopped { why: "the runtime is shutting down" })
            }
        };
        // Nobody listens if the pull has failed otherwise.
        drop(self.news.send(news));
    }

    /// Fetches the metadata beside a commit and has it stored.
    pub(super) async fn detached(self: Arc<Self>, commit: Id<Commit>) {
        let place = self.places.claim();
        match self.beside(commit, &place).await {
            Ok(bytes) => self.queue.push(Job::Detached(commit, bytes, place)),
            Err(source) => {
                let what = format!("the metadata beside commit {commit}").into();
                drop(self.news.send(News::Failed(PullError::Fetch { what, source: Box::new(source) })));
            }
        }
    }

    async fn commit(&self, id: Id<Commit>, whole: bool, place: &Place) -> Result<Payload, Failure> {
        let max_bytes = self.commit_bytes.get(&id.raw()).copied().unwrap_or(u64::MAX);
        let (detached, bytes) =
            tokio::join!(self.beside(id, place), self.meta(id.name(), whole, max_bytes, place));
        Ok(Payload::Commit(bytes?, detached?))
    }

    /// The metadata beside a commit.
    pub(super) async fn beside(
        &self,
        commit: Id<Commit>,
        place: &Place,
    ) -> Result<Option<Bytes>, FetchError> {
        self.metadata(&wire::detached(commit), false, self.limits.max_meta_bytes, place).await
    }

    async fn meta(
        &self,
        name: ObjectName,
        whole: bool,
        max_bytes: u64,
        place: &Place,
    ) -> Result<Bytes, Failure> {
        let max_bytes = max_bytes.min(self.limits.max_meta_bytes);
        self.metadata(&wire::object(name), whole, max_bytes, place).await?.ok_or(Failure::NotThere)
    }

    async fn file(&self, item: Item, whole: bool) -> Result<Payload, Failure> {
        let path = wire::object(item.name);
        let limits = Limits { max_bytes: self.max_file_bytes(item.size()) };
        // Held while it is asked for the rest: an answer that goes on from there is of no use without it.
        let found = self.scratch.take_found(item.name.id);
        let range = (found.bytes > 0 && !whole).then_some(Range { start: found.bytes, if_tag: None });
        let response = if whole {
            self.traffic.sent();
            self.remote.get_elsewhere(&path, limits).await
        } else {
            self.get(&path, range, limits).await
        };
        let mut response = match response {
            Ok(Some(response)) => response,
            other => {
                self.scratch.give_back(item.name.id, found);
                return Err(other.err().map_or(Failure::NotThere, Failure::Fetch));
            }
        };
        let mut memory = BytesMut::new();
        let in_memory =
            found.names.is_empty() && response.length.is_none_or(|length| length <= MAX_MEMORY_BYTES as u64);
        if in_memory {
            // Most objects come in one piece, which then need not be copied.
            let Some(first) = self.traffic.chunk(&mut response).await? else {
                return Ok(Payload::Bytes(Bytes::new()));
            };
            let Some(second) = self.traffic.chunk(&mut response).await? else {
                return Ok(Payload::Bytes(first));
            };
            memory.reserve(first.len() + second.len());
            memory.extend_from_slice(&first);
            memory.extend_from_slice(&second);
            while memory.len() <= MAX_MEMORY_BYTES {
                let Some(more) = self.traffic.chunk(&mut response).await? else {
                    return Ok(Payload::Bytes(memory.freeze()));
                };
                memory.extend_from_slice(&more);
            }
        }
        if response.start == 0 {
            match self.limit_by_header(&mut response, &mut memory).await {
                Ok(true) => {}
                // Whoever stores it says what is wrong with it.
                Ok(false) => {
                    self.scratch.give_back(item.name.id, found);
                    return Ok(Payload::Bytes(memory.freeze()));
                }
                Err(error) => {
                    self.scratch.give_back(item.name.id, found);
                    return Err(error.into());
                }
            }
        }
        let discard = response.start != found.bytes || whole;
        let writer = self.scratch.write(item.name.id, found, response.length, discard);
        let mut more = Some(memory.freeze());
        let mut broken = None;
        while let Some(bytes) = more {
            if !writer.send(bytes).await {
                break;
            }
            more = match self.traffic.chunk(&mut response).await {
                Ok(more) => more,
                Err(error) => {
                    broken = Some(error);
                    None
                }
            };
        }
        let parts = writer.finish().await.ok_or(Failure::Shutdown)?.map_err(Failure::Disk)?;
        match broken {
            None => Ok(Payload::Parts(parts)),
            Some(error) => {
                if matches!(error, FetchError::TooLarge { .. }) {
                    // It cannot become what was asked for.
                    drop(self.scratch.remove(&parts));
                } else {
                    self.scratch.give_back(item.name.id, parts);
                }
                Err(error.into())
            }
        }
    }

    /// Lets no more come of a file, and onto the disk, than its header says; `false` if that makes no sense. `memory` is what came
    /// of it, and grows until the header is there. One that is larger than may be in memory limits nothing: so large is only that
    /// of a file with many attributes.
    async fn limit_by_header(
        &self,
        response: &mut Response,
        memory: &mut BytesMut,
    ) -> Result<bool, FetchError> {
        let mut look_at = 0;
        loop {
            if memory.len() >= look_at {
                // The cost of looking again and again stays within a few times that of the bytes.
                look_at = memory.len() * 2;
                let mut begin = Beginning { rest: memory, ended: false };
                match self.format.read_archive_header(&mut begin) {
                    Ok(Ok(archive)) => {
                        let content = self.format.max_compressed(archive.size);
                        let max_bytes = content.saturating_add(archive.encoded_len as u64);
                        response.limit(memory.len() as u64, Limits { max_bytes })?;
                        return Ok(true);
                    }
                    _ if !begin.ended => return Ok(false),
                    _ => {}
                }
            }
            if memory.len() > MAX_MEMORY_BYTES {
                return Ok(true);
            }
            let Some(more) = self.traffic.chunk(response).await? else { return Ok(true) };
            memory.extend_from_slice(&more);
        }
    }

    /// The largest file that can be the one asked for, as the remote has it: `size` is that of its content, if it is known.
    fn max_file_bytes(&self, size: Option<u64>) -> u64 {
        let fits = size.map_or(u64::MAX, |size| self.format.max_compressed(size));
        fits.saturating_add(Format::MAX_META_BYTES).min(self.limits.max_file_bytes)
    }

    pub(super) async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        self.traffic.get(&*self.remote, path, range, limits).await
    }
}

/// The beginning of a file, which may end before what is read of it does.
struct Beginning<'b> {
    rest: &'b [u8],
    ended: bool,
}

impl io::Read for Beginning<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.ended |= self.rest.len() < into.len();
        io::Read::read(&mut self.rest, into)
    }
}

/// A failure of this machine's own disk.
pub(super) fn of_disk(error: sapwood_objstore::Error) -> PullError {
    match error {
        sapwood_objstore::Error::Io(error) => error.into(),
        other => sapwood_repo::Error::from(other).into(),
    }
}

/// So that news can be told while the refs are resolved.
pub(super) type OnEvent<'a> = &'a (dyn Fn(PullEvent<'_>) + Sync);
