//! The store: objects of one format in one mode, below a repository directory.
//!
//! Reading takes no lock: an object that can be seen is complete. Only deletion excludes others, and it is for callers
//! that hold the lock exclusively.

mod lock;
mod shards;

use crate::{
    Commit, Error, Format, Id, MetaObject, Metadata, Mode, ObjectKind, ObjectName, StoreOptions, Transaction,
    Value, Xattrs, layout,
};
use sapwood_fsio::{self as fsio, At as _, Dir};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lock::Holding;
pub use lock::RepoLock;
pub(crate) use shards::{Shard, Shards};

/// Permission bits of the directories of a repository, less the umask.
pub(crate) const DIR_MODE: u32 = 0o775;

/// With more directories than this to sync, one `syncfs` costs less than an `fsync` each.
const FEW_DIRS: usize = 8;
/// Tombstones that are written side by side, each an open file.
const TOMBSTONES_AT_ONCE: usize = 128;

/// Objects below a repository directory.
#[derive(Debug)]
pub struct Store {
    repo: Dir,
    objects: Dir,
    shards: Shards,
    format: Format,
    mode: Mode,
    options: StoreOptions,
    parent: Option<Box<Store>>,
    holding: Holding,
}

impl Store {
    /// Creates the directories `tmp` and then `objects` below `repo`, where they are missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(repo: &Dir, format: Format, mode: Mode, options: StoreOptions) -> Result<Self, Error> {
        fsio::ensure_dir(repo, layout::TMP, DIR_MODE)?;
        fsio::ensure_dir(repo, layout::OBJECTS, DIR_MODE)?;
        Self::open(repo, format, mode, options)
    }

    /// Opens what is below `repo`. Nothing is written.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no directory `objects`.
    pub fn open(repo: &Dir, format: Format, mode: Mode, options: StoreOptions) -> Result<Self, Error> {
        let objects = fsio::open_dir(repo, layout::OBJECTS)?;
        let repo = fsio::open_dir(repo, ".")?;
        Ok(Self {
            repo,
            objects,
            shards: Shards::new(),
            format,
            mode,
            options,
            parent: None,
            holding: Holding::default(),
        })
    }

    /// With a store to look into, read-only, for what is not here.
    #[must_use]
    pub fn with_parent(mut self, parent: Store) -> Self {
        self.parent = Some(Box::new(parent));
        self
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Its options.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Overrides [`StoreOptions::fsync`].
    pub fn set_fsync(&mut self, fsync: bool) {
        self.options.fsync = fsync;
    }

    /// Overrides [`StoreOptions::per_object_fsync`].
    pub fn set_per_object_fsync(&mut self, each: bool) {
        self.options.per_object_fsync = each;
    }

    /// Those attributes that the store does anything with: all, or none.
    pub(crate) fn kept<'x>(&self, xattrs: &'x Xattrs) -> impl Iterator<Item = (&'x [u8], &'x [u8])> {
        xattrs.iter().filter(|_| self.options.xattrs)
    }

    /// The repository directory.
    pub fn dir(&self) -> &Dir {
        &self.repo
    }

    /// The directory that holds the objects.
    pub fn objects(&self) -> &Dir {
        &self.objects
    }

    /// The store that is looked into for what is not here.
    pub fn parent(&self) -> Option<&Store> {
        self.parent.as_deref()
    }

    /// The directory of a shard, if it exists.
    pub(crate) fn shard(&self, shard: u8) -> Result<Option<Shard<'_>>, Error> {
        self.shards.get(&self.objects, shard)
    }

    /// The directory of a shard, created where it is missing.
    pub(crate) fn shard_or_create(&self, shard: u8) -> Result<Shard<'_>, Error> {
        self.shards.get_or_create(&self.objects, shard, DIR_MODE)
    }

    /// Whether the object is here (or in a parent). Its content is not looked at.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn contains(&self, name: ObjectName) -> Result<bool, Error> {
        if self.stat(name)?.is_some() {
            return Ok(true);
        }
        self.parent().map_or(Ok(false), |parent| parent.contains(name))
    }

    pub(crate) fn stat(&self, name: ObjectName) -> Result<Option<fsio::Stat>, Error> {
        match self.shard(layout::shard(name.id))? {
            Some(dir) => Ok(fsio::stat_optional(&dir, layout::file_name(self.mode, name))?),
            None => Ok(None),
        }
    }

    /// Reads, verifies and decodes a metadata object.
    ///
    /// # Errors
    /// As [`load_bytes`](Self::load_bytes), and [`Error::Malformed`].
    pub fn load<K: MetaObject>(&self, id: Id<K>) -> Result<K, Error> {
        let bytes = self.load_bytes(id.name())?;
        K::decode(self.format, &bytes).map_err(|source| Error::malformed(id.name(), &bytes, source))
    }

    /// Reads and verifies the bytes of a metadata object.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Corrupt`], [`Error::Io`] (also past [`Format::MAX_META_BYTES`]).
    pub fn load_bytes(&self, name: ObjectName) -> Result<Vec<u8>, Error> {
        let bytes = match self.shard(layout::shard(name.id))? {
            Some(dir) => {
                fsio::read_optional(&dir, layout::file_name(self.mode, name), Format::MAX_META_BYTES)?
            }
            None => None,
        };
        let Some(bytes) = bytes else {
            return self.parent().map_or(Err(Error::Missing { name }), |parent| parent.load_bytes(name));
        };
        let actual = self.format.id_of(name.kind, &bytes);
        if actual == name.id { Ok(bytes) } else { Err(Error::Corrupt { name, actual }) }
    }

    /// Size on disk in bytes.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`].
    pub fn stored_size(&self, name: ObjectName) -> Result<u64, Error> {
        match (self.stat(name)?, self.parent()) {
            (Some(stat), _) => Ok(stat.size),
            (None, Some(parent)) => parent.stored_size(name),
            (None, None) => Err(Error::Missing { name }),
        }
    }

    /// When the object was put here, as far as its inode tells (change time). `None` if it is not here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stored_at(&self, name: ObjectName) -> Result<Option<SystemTime>, Error> {
        Ok(self.stat(name)?.map(|stat| changed_at(&stat)))
    }

    /// The metadata kept beside a commit (signatures); it is not covered by the id. `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Detached`], [`Error::Io`].
    pub fn detached(&self, commit: Id<Commit>) -> Result<Option<Metadata>, Error> {
        let Some(bytes) = self.detached_bytes(commit)? else { return Ok(None) };
        self.format
            .decode_metadata(&bytes)
            .map(Some)
            .map_err(|source| Error::Detached { commit: commit.raw(), source })
    }

    fn detached_bytes(&self, commit: Id<Commit>) -> Result<Option<Vec<u8>>, Error> {
        let bytes = match self.shard(layout::shard(commit.raw()))? {
            Some(dir) => {
                fsio::read_optional(&dir, layout::detached_name(commit.raw()), Format::MAX_META_BYTES)?
            }
            None => None,
        };
        match (bytes, self.parent()) {
            (None, Some(parent)) => parent.detached_bytes(commit),
            (bytes, _) => Ok(bytes.filter(|bytes| !bytes.is_empty())),
        }
    }

    /// Replaces the metadata beside a commit, durably; `None` removes it.
    ///
    /// # Errors
    /// [`Error::Io`]: then the old metadata is still there, or the new.
    pub fn set_detached(&self, commit: Id<Commit>, metadata: Option<&Metadata>) -> Result<(), Error> {
        let name = layout::detached_name(commit.raw());
        match metadata {
            Some(metadata) => {
                let dir = self.shard_or_create(layout::shard(commit.raw()))?;
                fsio::replace(&dir, name, 0o644, &self.format.encode_metadata(metadata))?;
            }
            None => {
                if let Some(dir) = self.shard(layout::shard(commit.raw()))?
                    && fsio::remove_file_optional(&dir, name)?
                {
                    fsio::sync_dir(&dir)?;
                }
            }
        }
        Ok(())
    }

    /// Notes beside where commits are that they were deleted on purpose, durably (but see [`StoreOptions::fsync`]), and with few
    /// syncs for many. Clients then take history to end there.
    ///
    /// # Errors
    /// [`Error::Io`]; some of them may be noted then.
    pub fn put_tombstones(&self, commits: &[Id<Commit>]) -> Result<(), Error> {
        let are_few = commits.len() <= FEW_DIRS;
        for some in commits.chunks(TOMBSTONES_AT_ONCE) {
            let mut all_staged = Vec::with_capacity(some.len());
            for commit in some {
                let mut metadata = Metadata::default();
                metadata.set("commit", Value::Bytes(format!("{commit}\0").into_bytes()));
                let dir = self.shard_or_create(layout::shard(commit.raw()))?;
                let name = layout::tombstone_name(commit.raw());
                let mut staged = fsio::Staged::create(&dir)?;
                staged.write_all(&self.format.encode_metadata(&metadata)).at("write", &name)?;
                fsio::set_mode(staged.file(), 0o644)?;
                if self.options.fsync && are_few {
                    staged.sync()?;
                }
                all_staged.push((staged, dir, name));
            }
            // None is to be seen before it is whole.
            if !are_few {
                self.sync()?;
            }
            for (staged, dir, name) in all_staged {
                staged.publish(&dir, &name)?;
            }
        }
        self.sync_commits(commits)
    }

    /// Whether it is noted that a commit was deleted on purpose.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_tombstone(&self, commit: Id<Commit>) -> Result<bool, Error> {
        match self.shard(layout::shard(commit.raw()))? {
            Some(dir) => Ok(fsio::stat_optional(&dir, layout::tombstone_name(commit.raw()))?.is_some()),
            None => Ok(false),
        }
    }

    /// Calls `each` with every object here, shard by shard; parents are not listed, nor are foreign files.
    ///
    /// # Errors
    /// [`Error::Io`], or what `each` returns.
    pub fn for_each(&self, each: &mut dyn FnMut(ObjectName) -> Result<(), Error>) -> Result<(), Error> {
        for shard in 0..=u8::MAX {
            for name in self.shard_objects(shard)? {
                each(name)?;
            }
        }
        Ok(())
    }

    /// The objects of one of the 256 shards, by the first byte of their ids: to divide a listing between threads.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn shard_objects(&self, shard: u8) -> Result<Vec<ObjectName>, Error> {
        let Some(dir) = self.shard(shard)? else { return Ok(Vec::new()) };
        let entries = fsio::entries(&dir)?;
        Ok(entries
            .iter()
            .filter_map(|entry| layout::parse_name(self.mode, shard, entry.name.to_str()?))
            .collect())
    }

    /// The commits of one of the 256 shards: as [`shard_objects`](Self::shard_objects), with less work.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn shard_commits(&self, shard: u8) -> Result<Vec<Id<Commit>>, Error> {
        let Some(dir) = self.shard(shard)? else { return Ok(Vec::new()) };
        let entries = fsio::entries(&dir)?;
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        Ok(names
            .filter(|name| name.ends_with(layout::COMMIT_SUFFIX))
            .filter_map(|name| layout::parse_name(self.mode, shard, name))
            .filter(|name| name.kind == ObjectKind::Commit)
            .map(|name| Id::new(name.id))
            .collect())
    }

    /// Size on disk in bytes, and when the object was put here, as far as its inode tells (change time). `None` if it is
    /// not here; parents are not looked into.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn size_and_time(&self, name: ObjectName) -> Result<Option<(u64, SystemTime)>, Error> {
        Ok(self.stat(name)?.map(|stat| (stat.size, changed_at(&stat))))
    }

    /// Device and inode of each object of one kind in one of the 256 shards, with its id.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn shard_inodes(
        &self,
        shard: u8,
        kind: ObjectKind,
    ) -> Result<Vec<(u64, u64, crate::ObjectId)>, Error> {
        let Some(dir) = self.shard(shard)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in self.shard_objects(shard)?.into_iter().filter(|name| name.kind == kind) {
            if let Some(stat) = fsio::stat_optional(&dir, layout::file_name(self.mode, name))? {
                found.push((stat.dev, stat.ino, name.id));
            }
        }
        Ok(found)
    }

    /// Removes an object, with a commit what is kept beside it, and with a file its uncompressed copy. Nothing there is
    /// success. Not synced.
    ///
    /// Only for a caller that holds the lock exclusively and has made sure that nothing refers to it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, name: ObjectName) -> Result<(), Error> {
        let Some(dir) = self.shard(layout::shard(name.id))? else { return Ok(()) };
        // Before the object, without which nobody would look for it.
        crate::uncompressed::forget(self, name)?;
        fsio::remove_file_optional(&dir, layout::file_name(self.mode, name))?;
        if name.kind == ObjectKind::Commit {
            fsio::remove_file_optional(&dir, layout::detached_name(name.id))?;
        }
        Ok(())
    }

    /// Makes it durable that these commits are here or not: a few by their directories, many with the whole filesystem.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync_commits(&self, commits: &[Id<Commit>]) -> Result<(), Error> {
        let shards: BTreeSet<u8> = commits.iter().map(|id| layout::shard(id.raw())).collect();
        self.sync_shards(&shards.into_iter().collect::<Vec<u8>>())
    }

    /// Makes durable which names are in these shards.
    pub(crate) fn sync_shards(&self, shards: &[u8]) -> Result<(), Error> {
        if !self.options.fsync || shards.is_empty() {
            return Ok(());
        }
        if shards.len() > FEW_DIRS {
            return self.sync();
        }
        for shard in shards {
            if let Some(dir) = self.shard(*shard)? {
                fsio::sync_dir(&dir)?;
            }
        }
        Ok(fsio::sync_dir(&self.objects)?)
    }

    /// Makes all durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        if self.options.fsync {
            fsio::syncfs(&self.repo)?;
        }
        Ok(())
    }

    /// Begins a transaction, under the shared lock. What an interrupted one staged in this boot is verified and reused.
    ///
    /// # Errors
    /// [`Error::Lock`], [`Error::Io`]; [`Error::Unsupported`] for a mode that is only read.
    pub fn begin(&self) -> Result<Transaction<'_>, Error> {
        if self.mode == Mode::BareSplitXattrs {
            let what = "new objects: it can only be read".to_owned();
            return Err(Error::Unsupported { mode: self.mode.as_str(), what });
        }
        Transaction::begin(self)
    }
}

fn changed_at(stat: &fsio::Stat) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(stat.ctime_ns).unwrap_or(0))
}
