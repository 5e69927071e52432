//! The store: objects of one format in one mode, below a repository directory.

use crate::{Error, FileObject, Format, Id, MetaObject, Metadata, ObjectId, ObjectKind, ObjectName, Transaction, TxnOptions, kind};
use sapwood_fsio::Dir;
use std::path::Path;

/// How objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Files are the real inodes, with owner and attributes: hardlinked into deployments. Needs root for foreign owners.
    Bare,
    /// Files belong to whoever runs the program; the truth is in a user attribute.
    BareUser,
    /// As `BareUser`, but owner and attributes are not kept at all.
    BareUserOnly,
    /// Compressed, for serving.
    Archive,
}

impl Mode {
    /// As the configuration spells it: `bare`, `bare-user`, `bare-user-only`, `archive-z2`.
    pub fn as_str(self) -> &'static str { todo!() }
    /// Reads that spelling, and `archive`.
    pub fn parse(text: &str) -> Option<Self> { todo!() }
}

/// Limits and habits of a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Whether writes are synced. Default: yes.
    pub fsync: bool,
    /// Compression level of archived content; `None` is the format's default (deflate 6, zstd 3).
    pub compression_level: Option<i32>,
    /// Free space in bytes that transactions leave. Default: 0; the repository computes it from its configuration.
    pub reserve: Reserve,
    /// How long to wait for the repository's lock. Default: 300 s.
    pub lock_wait: sapwood_fsio::lock::Wait,
    /// Whether locks are taken at all. Default: yes.
    pub locking: bool,
    /// Whether extended attributes are kept. Default: yes.
    pub xattrs: bool,
}

/// How a file left the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered { /** A second name of the object itself. */ Linked, /** Shares its extents. */ Reflinked, /** A copy. */ Copied }

/// Which ways of delivering a file are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkPolicy { /** Hardlink, else reflink, else copy. */ #[default] Prefer, /** Hardlink or fail. */ Require, /** Never hardlink. */ Copy }

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict { /** It hashes to its name. */ Good, /** It hashes to this. */ Corrupt(ObjectId), /** It is not a valid object. */ Malformed, /** It is not there. */ Missing }

/// Free space to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve { /** This share of the filesystem, in percent. */ Percent(u8), /** This many bytes. */ Bytes(u64) }

/// Objects below a repository directory.
#[derive(Debug)]
pub struct Store { _todo: () }

impl Store {
    /// Creates the directories `objects` and `tmp` below `repo`.
    pub fn create(repo: &Dir, format: Format, mode: Mode, options: StoreOptions) -> Result<Self, Error> { todo!() }
    /// Opens what is below `repo`.
    pub fn open(repo: &Dir, format: Format, mode: Mode, options: StoreOptions) -> Result<Self, Error> { todo!() }
    /// With a store to look into, read-only, for what is not here.
    #[must_use]
    pub fn with_parent(self, parent: Store) -> Self { todo!() }
    /// Its format.
    pub fn format(&self) -> Format { todo!() }
    /// Its mode.
    pub fn mode(&self) -> Mode { todo!() }
    /// Its options.
    pub fn options(&self) -> &StoreOptions { todo!() }
    /// The repository directory.
    pub fn dir(&self) -> &Dir { todo!() }

    /// Whether the object is here (or in a parent). Its content is not looked at.
    pub fn contains(&self, name: ObjectName) -> Result<bool, Error> { todo!() }
    /// Reads, verifies and decodes a metadata object.
    pub fn load<K: MetaObject>(&self, id: Id<K>) -> Result<K, Error> { todo!() }
    /// Reads and verifies the bytes of a metadata object.
    pub fn load_bytes(&self, name: ObjectName) -> Result<Vec<u8>, Error> { todo!() }
    /// Opens a file object: its header now, its content through a reader that verifies at its end.
    pub fn open_file(&self, id: Id<kind::File>) -> Result<FileObject, Error> { todo!() }
    /// Size on disk in bytes.
    pub fn stored_size(&self, name: ObjectName) -> Result<u64, Error> { todo!() }
    /// Size of the content of a file before any compression, without reading it.
    pub fn content_size(&self, id: Id<kind::File>) -> Result<u64, Error> { todo!() }
    /// The metadata kept beside a commit (signatures); it is not covered by the id. `None` if there is none.
    pub fn detached(&self, commit: Id<crate::Commit>) -> Result<Option<Metadata>, Error> { todo!() }
    /// Replaces the metadata beside a commit, durably; `None` removes it.
    pub fn set_detached(&self, commit: Id<crate::Commit>, metadata: Option<&Metadata>) -> Result<(), Error> { todo!() }
    /// Calls `each` with every object here, directory by directory; parents are not listed.
    pub fn for_each(&self, each: &mut dyn FnMut(ObjectName) -> Result<(), Error>) -> Result<(), Error> { todo!() }
    /// Reads an object whole and checks that it hashes to its name.
    pub fn verify(&self, name: ObjectName) -> Result<Verdict, Error> { todo!() }
    /// Removes an object. Only for a caller that holds the lock exclusively and has made sure that nothing refers to it.
    pub fn remove(&self, name: ObjectName) -> Result<(), Error> { todo!() }

    /// Puts a file object into the directory `to` as `name` with owner, mode and attributes: a checkout "as is".
    pub fn deliver(&self, id: Id<kind::File>, to: &Dir, name: &Path, policy: LinkPolicy) -> Result<Delivered, Error> { todo!() }
    /// As [`deliver`](Self::deliver), but as the user who runs the program: owner and attributes are left out.
    pub fn deliver_as_user(&self, id: Id<kind::File>, to: &Dir, name: &Path, policy: LinkPolicy) -> Result<Delivered, Error> { todo!() }

    /// Begins a transaction.
    pub fn begin(&self, options: TxnOptions) -> Result<Transaction<'_>, Error> { todo!() }
    /// Takes the repository's lock.
    pub fn lock(&self, kind: sapwood_fsio::lock::LockKind) -> Result<Option<sapwood_fsio::lock::Lock>, Error> { todo!() }
    /// Removes from `tmp` what interrupted runs left and nobody uses: staging of earlier boots, and other entries older than `expiry`.
    pub fn clean_tmp(&self, expiry: std::time::Duration) -> Result<u64, Error> { todo!() }
}
#[allow(dead_code)] fn _k(_: ObjectKind) {}
