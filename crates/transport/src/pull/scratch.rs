//! Large objects on their way: in files on the store's disk, so that a killed pull goes on in the middle of one.
//!
//! Each attempt writes a part of its own, `HEX.0`, `HEX.1` and so on; the object is all of them joined. Nothing is synced
//! or trusted here: what is wrong is found when the object is hashed, and fetched once more as a whole.
//!
//! Parts are held by the transfer that goes on with them, or idle: left by an earlier pull, perhaps of objects that this one
//! never comes to. Idle ones [give way](Scratch::give_way) as soon as there is no room for anything else. What does not fit then
//! either is given up, with all that was there of it: kept, it would be in the way of others.

use sapwood_fsio::fault::Context;
use sapwood_fsio::{At, Dir, Staged};
use sapwood_objstore::{Error, ObjectId, Room, Rooms, Transaction};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The parts of one object.
#[derive(Debug)]
pub(super) struct Parts {
    /// File names in order.
    pub(super) names: Vec<String>,
    /// Their size in bytes together.
    pub(super) bytes: u64,
    /// What they take of the disk, until they are removed.
    room: Room,
}

/// The directory of parts.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: Dir,
    rooms: Rooms,
    context: Context,
    idle: Mutex<Idle>,
}

#[derive(Debug)]
struct Idle {
    /// Parts that nobody holds.
    parts: HashMap<ObjectId, Parts>,
    /// How often some gave way.
    gave_way: u64,
}

impl Scratch {
    /// Takes up what earlier pulls left to this transaction.
    pub(super) fn of(objects: &Transaction<'_>) -> Result<Self, Error> {
        let (dir, rooms) = (objects.scratch()?, objects.rooms());
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
            let bytes = list.iter().map(|(_, size)| size).sum();
            let parts = Parts { names, bytes, room: rooms.of(bytes) };
            if in_order {
                found.insert(id, parts);
            } else {
                remove(&dir, &parts)?;
            }
        }
        let idle = Mutex::new(Idle { parts: found, gave_way: 0 });
        Ok(Self { dir, rooms, context: sapwood_fsio::fault::context(), idle })
    }

    /// What there is of an object already. Whoever takes it holds it, goes on with it, or [gives it back](Self::give_back).
    pub(super) fn take_found(&self, id: ObjectId) -> Parts {
        self.idle().parts.remove(&id).unwrap_or_else(|| self.nothing())
    }

    fn nothing(&self) -> Parts {
        Parts { names: Vec::new(), bytes: 0, room: self.rooms.of(0) }
    }

    /// Notes what there is of an object that could not be fetched to its end.
    pub(super) fn give_back(&self, id: ObjectId, parts: Parts) {
        if !parts.names.is_empty() {
            self.idle().parts.insert(id, parts);
        }
    }

    /// Removes the parts that nobody holds; says whether there were any, so that there is more room now.
    pub(super) fn give_way(&self) -> bool {
        // Until they are gone nobody begins to write others of the same names.
        let mut idle = self.idle();
        let before = idle.parts.len();
        idle.parts.retain(|id, parts| {
            let removed = remove(&self.dir, parts);
            removed.inspect_err(|error| tracing::debug!(%error, object = %id, "parts stay")).is_err()
        });
        let gave = idle.parts.len() < before;
        idle.gave_way += u64::from(gave);
        gave
    }

    /// Does what needs room, and where there is none does it again once idle parts have given way, for this or for another who
    /// needed room meanwhile.
    pub(super) fn with_room<T, E>(
        &self,
        lacks_room: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.idle().gave_way;
        match attempt() {
            Err(error) if lacks_room(&error) && (self.give_way() || self.idle().gave_way != before) => {
                attempt()
            }
            other => other,
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next part of an object, which has `whole` bytes if that is known. What is sent is written by another thread.
    pub(super) fn write(
        self: &Arc<Self>,
        id: ObjectId,
        mut parts: Parts,
        whole: Option<u64>,
        discard: bool,
    ) -> Writer {
        let (sender, receiver) = mpsc::channel::<bytes::Bytes>(4);
        let scratch = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _in = scratch.context.enter();
            if discard {
                remove(&scratch.dir, &parts)?;
                parts = scratch.nothing();
            }
            let next = name(id, u32::try_from(parts.names.len()).unwrap_or(u32::MAX));
            match scratch.receive(&next, &mut parts, whole, receiver) {
                Ok(()) => {
                    parts.names.push(next);
                    Ok(parts)
                }
                Err(error) => {
                    // Why it came to this says more than that it cannot be removed.
                    drop(remove(&scratch.dir, &parts));
                    Err(error)
                }
            }
        });
        Writer { sender, task }
    }

    /// Writes what comes as the next part, which is there when all has come: also what is not whole is kept, and the next pull
    /// goes on from there.
    fn receive(
        &self,
        next: &str,
        parts: &mut Parts,
        whole: Option<u64>,
        mut receiver: mpsc::Receiver<bytes::Bytes>,
    ) -> Result<(), Error> {
        let mut staged = Staged::create_named(&self.dir, next)?;
        while let Some(bytes) = receiver.blocking_recv() {
            self.with_room(Error::is_no_space, || parts.room.grow(bytes.len() as u64, whole.unwrap_or(0)))?;
            staged.write_all(&bytes).at("write", next)?;
            parts.bytes += bytes.len() as u64;
        }
        drop(staged.keep()?);
        Ok(())
    }

    /// The joined parts.
    pub(super) fn read(&self, parts: &Parts) -> Result<Box<dyn Read + Send>, sapwood_fsio::Error> {
        let mut joined: Box<dyn Read + Send> = Box::new(io::empty());
        for name in &parts.names {
            joined = Box::new(joined.chain(sapwood_fsio::open_file(&self.dir, name)?));
        }
        Ok(joined)
    }

    /// Removes the parts of an object.
    pub(super) fn remove(&self, parts: &Parts) -> Result<(), sapwood_fsio::Error> {
        remove(&self.dir, parts)
    }
}

fn remove(dir: &Dir, parts: &Parts) -> Result<(), sapwood_fsio::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use cap_tempfile::{TempDir, ambient_authority};
    use sapwood_objstore::{Format, Mode, Reserve, Store, StoreOptions};

    fn store(reserve: Reserve) -> (TempDir, Store) {
        let dir = cap_tempfile::tempdir(ambient_authority()).expect("a temporary directory");
        let options = StoreOptions { reserve, ..StoreOptions::default() };
        let store = Store::create(&dir, Format::Native, Mode::Archive, options).expect("creates");
        (dir, store)
    }

    async fn write(scratch: &Arc<Scratch>, id: ObjectId) -> Result<Parts, Error> {
        let writer = scratch.write(id, scratch.take_found(id), Some(50_000), false);
        writer.send(vec![7; 5000].into()).await;
        writer.finish().await.expect("the runtime runs")
    }

    #[tokio::test]
    async fn what_does_not_fit_is_given_up_with_all_that_there_was_of_it() {
        let id = ObjectId::from_bytes([5; 32]);
        let (_dir, roomy) = store(Reserve::Bytes(1));
        let txn = roomy.begin().expect("begins");
        let scratch = Arc::new(Scratch::of(&txn).expect("opens"));
        let parts = write(&scratch, id).await.expect("there is room");
        assert_eq!((parts.bytes, parts.names.len()), (5000, 1));
        scratch.give_back(id, parts);
        let parts = write(&scratch, id).await.expect("there is room for more");
        assert_eq!((parts.bytes, parts.names.len()), (10_000, 2));

        let (_dir, full) = store(Reserve::Bytes(u64::MAX));
        let txn = full.begin().expect("begins");
        let dir = txn.scratch().expect("a directory");
        sapwood_fsio::replace(&dir, name(id, 0), 0o600, b"from an earlier pull").expect("writes");
        let scratch = Arc::new(Scratch::of(&txn).expect("opens"));
        assert_eq!(scratch.idle().parts.get(&id).map(|parts| parts.bytes), Some(20));
        let refused = write(&scratch, id).await;
        assert!(matches!(refused, Err(Error::NoSpace { needed_bytes: 50_000.., .. })), "{refused:?}");
        assert!(sapwood_fsio::entries(&dir).expect("lists").is_empty());
    }

    /// What could still be kept in the store, in bytes.
    fn left_to_keep(txn: &Transaction<'_>) -> u64 {
        match txn.check_space(u64::MAX) {
            Err(Error::NoSpace { available_bytes, .. }) => available_bytes,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_parts_take_is_not_held_against_what_is_still_to_come() {
        let id = ObjectId::from_bytes([5; 32]);
        let (_dir, store) = store(Reserve::Bytes(1));
        let txn = store.begin().expect("begins");
        let dir = txn.scratch().expect("a directory");
        let before = left_to_keep(&txn);
        sapwood_fsio::replace(&dir, name(id, 0), 0o600, &[7; 5000]).expect("writes");
        let scratch = Arc::new(Scratch::of(&txn).expect("opens"));
        // What an earlier pull left was not free when this one began, and will be.
        let with_found = left_to_keep(&txn);
        assert!(with_found >= before + 5000, "{before} {with_found}");
        let parts = write(&scratch, id).await.expect("there is room");
        let other = write(&scratch, ObjectId::from_bytes([6; 32])).await.expect("there is room");
        assert_eq!((parts.bytes, other.bytes), (10_000, 5000));
        assert_eq!(left_to_keep(&txn), with_found);
        for parts in [parts, other] {
            scratch.remove(&parts).expect("removes");
        }
        assert_eq!(left_to_keep(&txn), with_found);
    }
}
