//! Large objects on their way: in files on the store's disk, so that a killed pull goes on in the middle of one.
//!
//! Each attempt writes a part of its own, `HEX.0`, `HEX.1` and so on; the object is all of them joined. Nothing is synced
//! or trusted here: what is wrong is found when the object is hashed, and fetched once more as a whole.

use sapwood_fsio::fault::Context;
use sapwood_fsio::{At, Dir, Error, Staged};
use sapwood_objstore::ObjectId;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The parts of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// File names in order.
    pub(super) names: Vec<String>,
    /// Their size in bytes together.
    pub(super) bytes: u64,
}

/// The directory of parts.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: Dir,
    context: Context,
    /// Parts that earlier pulls left.
    found: Mutex<HashMap<ObjectId, Parts>>,
}

impl Scratch {
    /// Takes up what is in `dir`.
    pub(super) fn open(dir: Dir) -> Result<Self, Error> {
        let mut numbered: HashMap<ObjectId, Vec<(u32, u64)>> = HashMap::new();
        for entry in sapwood_fsio::entries(&dir)? {
            let parsed = entry.name.to_str().and_then(|name| {
                let (id, number) = name.split_once('.')?;
                Some((ObjectId::from_hex(id).ok()?, number.parse().ok()?))
            });
            let Some((id, number)) = parsed else { continue };
            let size = sapwood_fsio::stat(&dir, &entry.name)?.size;
            numbered.entry(id).or_default().push((number, size));
        }
        let mut found = HashMap::new();
        for (id, mut list) in numbered {
            list.sort_unstable();
            // A part in the middle was lost: what comes after it cannot be used. It is overwritten in time.
            let in_order = list.iter().enumerate().all(|(at, (number, _))| u32::try_from(at) == Ok(*number));
            let names = list.iter().map(|(number, _)| name(id, *number)).collect();
            let parts = Parts { names, bytes: list.iter().map(|(_, size)| size).sum() };
            if in_order {
                found.insert(id, parts);
            } else {
                remove(&dir, &parts)?;
            }
        }
        Ok(Self { dir, context: sapwood_fsio::fault::context(), found: Mutex::new(found) })
    }

    /// What there is of an object already; said once.
    pub(super) fn take_found(&self, id: ObjectId) -> Option<Parts> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Notes what there is of an object that could not be fetched to its end.
    pub(super) fn give_back(&self, id: ObjectId, parts: Parts) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(id, parts);
    }

    /// Begins the next part of an object. What is sent is written by another thread.
    pub(super) fn write(self: &Arc<Self>, id: ObjectId, mut parts: Parts, discard: bool) -> Writer {
        let (sender, mut receiver) = mpsc::channel::<bytes::Bytes>(4);
        let scratch = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _in = scratch.context.enter();
            if discard {
                remove(&scratch.dir, &parts)?;
                parts = Parts::default();
            }
            let next = name(id, u32::try_from(parts.names.len()).unwrap_or(u32::MAX));
            let mut staged = Staged::create_named(&scratch.dir, &next)?;
            let mut written = Ok(());
            while let Some(bytes) = receiver.blocking_recv() {
                written = staged.write_all(&bytes).at("write", &next);
                if written.is_err() {
                    break;
                }
                parts.bytes += bytes.len() as u64;
            }
            // Also what is not whole is kept: the next pull goes on from there.
            drop(staged.keep()?);
            parts.names.push(next);
            written.map(|()| parts)
        });
        Writer { sender, task }
    }

    /// The joined parts.
    pub(super) fn read(&self, parts: &Parts) -> Result<Box<dyn Read + Send>, Error> {
        let mut joined: Box<dyn Read + Send> = Box::new(io::empty());
        for name in &parts.names {
            joined = Box::new(joined.chain(sapwood_fsio::open_file(&self.dir, name)?));
        }
        Ok(joined)
    }

    /// Removes the parts of an object.
    pub(super) fn remove(&self, parts: &Parts) -> Result<(), Error> {
        remove(&self.dir, parts)
    }
}

fn remove(dir: &Dir, parts: &Parts) -> Result<(), Error> {
    // From the end, so that a crash leaves a beginning.
    for name in parts.names.iter().rev() {
        sapwood_fsio::remove_file_optional(dir, name)?;
    }
    Ok(())
}

fn name(id: ObjectId, number: u32) -> String {
    format!("{}.{number}", id.to_hex())
}

/// A part being written.
#[derive(Debug)]
pub(super) struct Writer {
    sender: mpsc::Sender<bytes::Bytes>,
    task: tokio::task::JoinHandle<Result<Parts, Error>>,
}

impl Writer {
    /// Hands over bytes, waiting while too many are not written yet. `false` if writing failed: see
    /// [`finish`](Self::finish).
    pub(super) async fn send(&self, bytes: bytes::Bytes) -> bool {
        self.sender.send(bytes).await.is_ok()
    }

    /// Waits until all is written. `None` if the runtime is shutting down.
    pub(super) async fn finish(self) -> Option<Result<Parts, Error>> {
        drop(self.sender);
        self.task.await.ok()
    }
}
