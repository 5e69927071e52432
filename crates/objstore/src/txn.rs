//! Adding objects to the store.
//!
//! Objects are staged below `tmp`, in parallel; [`Transaction::publish`] syncs all of them at once, renames each to the
//! name its hash gives, and syncs the directories. So a name in the store has its whole content behind it, whatever
//! moment the power fails; and commits come last, so that none is visible before all that it may refer to. What a crash
//! leaves in staging is verified and reused by the next transaction of the same boot, and removed after a reboot, since
//! nobody knows whether it ever reached the disk.

mod adopt;
mod ahead;
mod budget;
mod leftover;
mod payload;
mod publish;
mod room;
mod staging;
mod write;

use crate::read::check_meta;
use crate::{
    Commit, Error, FileHeader, FileType, Id, MetaObject, Metadata, Mode, ObjectKind, ObjectName, Store, kind,
    layout,
};
use crate::{RepoLock, Verdict};
use budget::Budget;
use sapwood_fsio::lock::LockKind;
use sapwood_fsio::{self as fsio, Dir};
use staging::Staging;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub use leftover::{Leftover, OnDamaged};
pub use publish::PublishGuard;
pub use room::{Room, Rooms};
pub(crate) use staging::random;

/// Objects being added together. Shared between threads; dropping it leaves nothing visible.
#[derive(Debug)]
#[must_use = "nothing is stored until `publish` returns"]
pub struct Transaction<'store> {
    store: &'store Store,
    staging: Staging,
    budget: Arc<Budget>,
    counts: Counts,
    can_share: OnceLock<bool>,
    /// What the store has is not taken for these.
    replaced: HashSet<ObjectName>,
    lock: Option<RepoLock>,
}

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

#[derive(Debug, Default)]
struct Counts {
    meta_total: AtomicU64,
    meta_written: AtomicU64,
    files_total: AtomicU64,
    files_written: AtomicU64,
    bytes_written: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl<'store> Transaction<'store> {
    pub(crate) fn begin(store: &'store Store) -> Result<Self, Error> {
        let lock = store.lock(LockKind::Shared)?;
        // What runs before a reboot have left is of no use to anyone, and takes space from this one.
        if let Err(error) = store.clean_staging_of_other_boots() {
            tracing::debug!(%error, "what other boots have staged was not removed");
        }
        let staging = Staging::open(store)?;
        let budget = Arc::new(Budget::new(fsio::free_space(store.dir())?, store.options().reserve));
        let (counts, can_share, replaced) = (Counts::default(), OnceLock::new(), HashSet::new());
        Ok(Self { store, staging, budget, counts, can_share, replaced, lock })
    }

    /// The store that objects are added to.
    pub fn store(&self) -> &'store Store {
        self.store
    }

    /// Has these objects made anew, since what the store has under their names is damaged: to this transaction they are not
    /// there. Publishing puts what was staged of them in the place of the damaged ones, each in one step, once it is
    /// durable; what was not staged stays as it is.
    pub fn replace(&mut self, names: impl IntoIterator<Item = ObjectName>) {
        self.replaced.extend(names);
    }

    /// Whether the object is in the store or in this transaction.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn contains(&self, name: ObjectName) -> Result<bool, Error> {
        Ok(self.is_staged(name)? || (!self.replaced.contains(&name) && self.store.contains(name)?))
    }

    /// Whether this transaction adds the object, or makes it anew.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_staged(&self, name: ObjectName) -> Result<bool, Error> {
        self.staging.contains(self.store.mode(), name)
    }

    /// Stages a metadata object and returns its id.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past [`Format::MAX_META_BYTES`](crate::Format::MAX_META_BYTES), [`Error::Unsupported`] for more
    /// attributes than are read back, [`Error::NoSpace`], [`Error::Io`]: then nothing of it is kept, and the transaction
    /// can go on.
    pub fn put<K: MetaObject>(&self, object: &K) -> Result<Id<K>, Error> {
        let mode = self.store.mode().as_str();
        object.check().map_err(|what| Error::Unsupported { mode, what: what.to_owned() })?;
        let bytes = object.encode(self.store.format());
        let id = Id::<K>::new(self.store.format().id_of(K::KIND, &bytes));
        self.write_meta(id.name(), &bytes)?;
        Ok(id)
    }

    /// Stages the bytes of a metadata object from elsewhere: checked to be valid, and to be `expected`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Malformed`], [`Error::TooLarge`], [`Error::NoSpace`], [`Error::Io`]: then nothing of
    /// it is kept, and the transaction can go on.
    pub fn put_bytes(&self, expected: ObjectName, bytes: &[u8]) -> Result<(), Error> {
        check_meta_size(expected, bytes)?;
        let actual = self.store.format().id_of(expected.kind, bytes);
        if actual != expected.id {
            return Err(Error::Corrupt { name: expected, actual });
        }
        check_meta(self.store.format(), expected.kind, bytes)
            .map_err(|source| Error::malformed(expected, bytes, source))?;
        self.write_meta(expected, bytes)
    }

    fn write_meta(&self, name: ObjectName, bytes: &[u8]) -> Result<(), Error> {
        check_meta_size(name, bytes)?;
        add(&self.counts.meta_total, 1);
        if self.contains(name)? {
            return Ok(());
        }
        let taken = self.budget.take(bytes.len() as u64)?;
        if self.staging.write_meta(self.store.mode(), name, bytes)? {
            taken.keep();
            add(&self.counts.meta_written, 1);
        }
        Ok(())
    }

    /// Drops a metadata object from this transaction, if it was written by it. Nothing else in it may refer to that.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(&self, name: ObjectName) -> Result<(), Error> {
        if self.staging.remove(self.store.mode(), name)? {
            self.counts.meta_written.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes an object over from another store of the same format.
    ///
    /// A file is hardlinked where both stores keep files alike, and the directories that lead to it there and the file itself
    /// have the owner of this store: unread from a store that is trusted; from another of the same mode when it was read and
    /// verified. Whom a file of a trusted `bare` or `bare-split-xattrs` store belongs to does not matter: its commit says
    /// that. Otherwise a file is read, verified and written. Metadata is read and verified in any case, and hardlinked from
    /// a trusted store if it and the directories that lead to it have that owner.
    ///
    /// # Errors
    /// What reading there and writing here can fail with; then nothing of it is kept, and the transaction can go on.
    pub fn import(&self, from: &Store, name: ObjectName, trust: Trust) -> Result<(), Error> {
        if self.contains(name)? {
            return Ok(());
        }
        if name.kind != ObjectKind::File {
            let bytes = from.load_bytes(name)?;
            return if trust == Trust::Trusted {
                self.link_meta(from, name, &bytes)
            } else {
                self.put_bytes(name, &bytes)
            };
        }
        let id = Id::<kind::File>::new(name.id);
        if self.may_link(from, name, trust)? && self.staging.link_from(from, name)? {
            add(&self.counts.files_total, 1);
            add(&self.counts.files_written, 1);
            return Ok(());
        }
        if from.mode() == Mode::Archive
            && let Some(dir) = from.shard(layout::shard(name.id))?
            && let Some(mut stored) = fsio::open_file_optional(&dir, layout::file_name(from.mode(), name))?
        {
            return self.put_archived(id, &mut stored);
        }
        let mut object = from.open_file(id)?;
        self.put_file_as(id, &object.header, object.size, &mut object.content)
    }

    /// Whether a file of another store may get a second name here: it is what this store would write, and nobody but the owner
    /// of this store can change it by its other name.
    fn may_link(&self, from: &Store, name: ObjectName, trust: Trust) -> Result<bool, Error> {
        if !self.is_of_our_owner(from, name)? {
            return Ok(false);
        }
        Ok(match (from.mode(), self.store.mode(), trust) {
            (from_mode, mode, Trust::Trusted) if from_mode == mode => {
                // A trusted `bare` store is believed that the file's owner is whom the commit says: he would own it here, too.
                matches!(mode, Mode::Bare | Mode::BareSplitXattrs) || self.has_our_owner(from, name)?
            }
            (from_mode, mode, Trust::Untrusted) if from_mode == mode => {
                self.has_our_owner(from, name)? && from.verify(name)? == Verdict::Good
            }
            (Mode::BareUser, Mode::BareUserOnly, Trust::Trusted) => {
                self.has_our_owner(from, name)? && is_plain(&from.open_file(Id::new(name.id))?.header)
            }
            _ => false,
        })
    }

    /// Whether what leads to an object of another store is of who owns this one: anyone else could exchange it, or give
    /// others the right to write to it.
    fn is_of_our_owner(&self, other: &Store, name: ObjectName) -> Result<bool, Error> {
        let owner = self.staging.owner().0;
        let Some(dir) = other.shard(layout::shard(name.id))? else { return Ok(false) };
        Ok(fsio::stat_dir(&dir)?.uid == owner && fsio::stat_dir(other.objects())?.uid == owner)
    }

    /// Whether an object of another store is itself of who owns this one. In `bare` stores files belong to whom their commits
    /// say, so most of those of a system of several users are not.
    fn has_our_owner(&self, other: &Store, name: ObjectName) -> Result<bool, Error> {
        let Some(dir) = other.shard(layout::shard(name.id))? else { return Ok(false) };
        let object = fsio::stat_optional(&dir, layout::file_name(other.mode(), name))?;
        Ok(object.is_some_and(|object| object.uid == self.staging.owner().0))
    }

    /// Stages metadata by a second name of what another store has, where that can be had; `bytes` is what it holds.
    fn link_meta(&self, from: &Store, name: ObjectName, bytes: &[u8]) -> Result<(), Error> {
        check_meta(self.store.format(), name.kind, bytes)
            .map_err(|source| Error::malformed(name, bytes, source))?;
        let may_link = self.is_of_our_owner(from, name)?
            && self.has_our_owner(from, name)?
            && !self.store.options().per_object_fsync;
        if !may_link || !self.staging.link_from(from, name)? {
            return self.put_bytes(name, bytes);
        }
        add(&self.counts.meta_total, 1);
        add(&self.counts.meta_written, 1);
        Ok(())
    }

    /// Stages the metadata beside a commit; on publishing it replaces what is there.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NoSpace`], [`Error::Io`].
    pub fn put_detached(&self, commit: Id<Commit>, metadata: &Metadata) -> Result<(), Error> {
        let bytes = self.store.format().encode_metadata(metadata);
        check_meta_size(commit.name(), &bytes)?;
        let taken = self.budget.take(bytes.len() as u64)?;
        self.staging.write_detached(commit.raw(), &bytes)?;
        taken.keep();
        Ok(())
    }

    /// Reads a metadata object that is in the store or in this transaction, verified.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub fn load<K: MetaObject>(&self, id: Id<K>) -> Result<K, Error> {
        let bytes = self.load_bytes(id.name())?;
        K::decode(self.store.format(), &bytes).map_err(|source| Error::malformed(id.name(), &bytes, source))
    }

    /// The bytes of a metadata object that is in the store or in this transaction, verified.
    ///
    /// # Errors
    /// As [`Store::load_bytes`].
    pub fn load_bytes(&self, name: ObjectName) -> Result<Vec<u8>, Error> {
        let Some(bytes) = self.staging.read_meta(self.store.mode(), name)? else {
            return self.store.load_bytes(name);
        };
        let actual = self.store.format().id_of(name.kind, &bytes);
        if actual == name.id { Ok(bytes) } else { Err(Error::Corrupt { name, actual }) }
    }

    /// Size on disk, in bytes, of an object that is in the store or in this transaction.
    ///
    /// # Errors
    /// As [`Store::stored_size`].
    pub fn stored_size(&self, name: ObjectName) -> Result<u64, Error> {
        match self.staging.size(self.store.mode(), name)? {
            Some(size) => Ok(size),
            None => self.store.stored_size(name),
        }
    }

    /// As [`Store::content_size`], of a file that is in the store or in this transaction.
    ///
    /// # Errors
    /// As [`Store::open_file`].
    pub fn content_size(&self, id: Id<kind::File>) -> Result<u64, Error> {
        match self.staging.content_size(self.store, id.name())? {
            Some(size) => Ok(size),
            None => self.store.content_size(id),
        }
    }

    /// What a file that is in an archive store, or in a transaction of one, takes when it is checked out, in bytes: its
    /// content, or the target of a symlink. The content is not read.
    ///
    /// # Errors
    /// As [`Store::open_file`]; [`Error::Missing`] for a staged file of a store that is no archive.
    pub fn unpacked_size(&self, id: Id<kind::File>) -> Result<u64, Error> {
        let (header, size) = if let Some(found) = self.staging.archive_header(self.store, id.name())? {
            found
        } else {
            let file = self.store.open_file(id)?;
            (file.header, file.size)
        };
        Ok(if let FileType::Symlink(target) = &header.file_type { target.len() as u64 } else { size })
    }

    /// The metadata beside a commit, as it is in this transaction or else in the store.
    ///
    /// # Errors
    /// As [`Store::detached`].
    pub fn detached(&self, commit: Id<Commit>) -> Result<Option<Metadata>, Error> {
        match self.staging.read_detached(commit.raw())? {
            Some(bytes) => {
                let malformed = |source| Error::Detached { commit: commit.raw(), source };
                self.store.format().decode_metadata(&bytes).map(Some).map_err(malformed)
            }
            None => self.store.detached(commit),
        }
    }

    /// Whether `name` in `dir` is the directory that this transaction stages objects in. It changes while a tree that holds
    /// the repository itself is read.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stages_in(&self, dir: &Dir, name: &OsStr) -> Result<bool, Error> {
        if name != self.staging.name() {
            return Ok(false);
        }
        let (found, own) = (fsio::stat_optional(dir, name)?, fsio::stat_dir(self.staging.dir())?);
        Ok(found.is_some_and(|found| (found.dev, found.ino) == (own.dev, own.ino)))
    }

    /// What was offered and written so far.
    pub fn stats(&self) -> Published {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Published {
            meta_total: get(&self.counts.meta_total),
            meta_written: get(&self.counts.meta_written),
            files_total: get(&self.counts.files_total),
            files_written: get(&self.counts.files_written),
            bytes_written: get(&self.counts.bytes_written),
        }
    }

    /// Whether so many bytes more fit beside what is to stay free, as things stand; nothing is set aside for them. What has
    /// [room](Self::rooms) counts as free, since it goes again.
    ///
    /// # Errors
    /// [`Error::NoSpace`] if they do not.
    pub fn check_space(&self, bytes: u64) -> Result<(), Error> {
        self.budget.check(bytes)
    }

    /// A directory on the store's filesystem for the caller's half-done downloads; a resumed transaction finds it again.
    /// What is written there needs [room](Self::rooms).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scratch(&self) -> Result<Dir, Error> {
        Ok(fsio::ensure_dir(self.staging.dir(), layout::SCRATCH, 0o700)?)
    }
}

/// What is larger than readers take is not written.
fn check_meta_size(name: ObjectName, bytes: &[u8]) -> Result<(), Error> {
    let limit_bytes = crate::Format::MAX_META_BYTES;
    if bytes.len() as u64 > limit_bytes { Err(Error::TooLarge { name, limit_bytes }) } else { Ok(()) }
}

/// Whether a `bare-user` and a `bare-user-only` store keep a file alike, other than that the former notes its header: with
/// this mode on disk, and owned by nobody in particular.
fn is_plain(header: &FileHeader) -> bool {
    let FileHeader { uid, gid, mode, file_type, xattrs } = header;
    (*uid, *gid) == (0, 0)
        && *file_type == FileType::Regular
        && xattrs.is_empty()
        && *mode == mode & 0o775 | 0o400
}

/// Whether a store that objects come from is believed to hold what its names say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Its files may be linked unread, where the directories that lead to them have the owner of the store they come to, and,
    /// but between `bare` or between `bare-split-xattrs` stores, they have it themselves.
    Trusted,
    /// Everything is verified on the way.
    Untrusted,
}
