//! Adding objects to the store.
//!
//! Objects are staged below `tmp`, in parallel; [`Transaction::publish`] syncs all of them at once, renames each to the
//! name its hash gives, and syncs the directories. So a name in the store has its whole content behind it, whatever
//! moment the power fails. What a crash leaves is resumed (after re-verification) in the same boot, else removed.

use crate::{DecodeError, Error, FileHeader, Id, MetaObject, Metadata, ObjectId, ObjectKind, ObjectName, Store, kind};
use std::io::Read;

/// How a transaction writes.
#[derive(Debug, Clone, Default)]
pub struct TxnOptions {}

/// Objects being added together. Shared between threads; dropping it leaves nothing visible.
#[derive(Debug)]
#[must_use = "nothing is stored until `publish` returns"]
pub struct Transaction<'store> { store: &'store Store }

/// What a transaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Metadata objects offered.
    pub meta_total: u64,
    /// Metadata objects that were new.
    pub meta_written: u64,
    /// Files offered.
    pub files_total: u64,
    /// Files that were new.
    pub files_written: u64,
    /// Content bytes of new files.
    pub bytes_written: u64,
}

impl Transaction<'_> {
    /// Whether the object is in the store or in this transaction.
    pub fn contains(&self, name: ObjectName) -> Result<bool, Error> { todo!() }
    /// Stages a metadata object and returns its id.
    pub fn put<K: MetaObject>(&self, object: &K) -> Result<Id<K>, Error> { todo!() }
    /// Stages the bytes of a metadata object from elsewhere: checked to be valid and, byte for byte, `expected`.
    pub fn put_bytes(&self, expected: ObjectName, bytes: &[u8]) -> Result<(), Error> { todo!() }
    /// Stages a file: reads `content` once, to its end, hashing and compressing as it goes.
    pub fn put_file(&self, header: &FileHeader, content: &mut (dyn Read + Send)) -> Result<Id<kind::File>, Error> { todo!() }
    /// As [`put_file`](Self::put_file), failing unless the id is `expected`.
    pub fn put_file_as(&self, expected: Id<kind::File>, header: &FileHeader, content: &mut (dyn Read + Send)) -> Result<(), Error> { todo!() }
    /// Stages a file as an archive repository of the same format serves it: decompressed and verified on the way; an
    /// archive store keeps the compressed bytes as they are. `stored_limit` bounds what is decompressed.
    pub fn put_archived(&self, expected: Id<kind::File>, archived: &mut (dyn Read + Send)) -> Result<(), Error> { todo!() }
    /// Takes an object over from another store of the same format: hardlinked or reflinked where both modes allow and `trusted`, else read, verified and written.
    pub fn import(&self, from: &Store, name: ObjectName, trusted: bool) -> Result<(), Error> { todo!() }
    /// Stages the metadata beside a commit; on publishing it replaces what is there.
    pub fn put_detached(&self, commit: Id<crate::Commit>, metadata: &Metadata) -> Result<(), Error> { todo!() }
    /// What was offered and written so far.
    pub fn stats(&self) -> Published { todo!() }
    /// A directory on the store's filesystem for the caller's own half-done downloads; kept for a resumed transaction.
    pub fn scratch(&self) -> Result<sapwood_fsio::Dir, Error> { todo!() }
    /// Makes everything durable, then visible. The shared lock is held until the returned guard is dropped, so that refs can be moved under it.
    pub fn publish(self) -> Result<(Published, PublishGuard), Error> { todo!() }
}

/// Holds the repository's shared lock after publishing, until the refs have moved.
#[derive(Debug)]
pub struct PublishGuard { _todo: () }
#[allow(dead_code)] fn _k(_: ObjectKind, _: ObjectId, _: DecodeError) {}
