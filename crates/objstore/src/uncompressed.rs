//! The cache of uncompressed files that an archive repository keeps for checkouts as the user: later ones hardlink it.
//!
//! It is OSTree's, in its place: `uncompressed-objects-cache/ab/cdef….file`, each with the mode that it has in such a
//! checkout. Files are linked from there without being read, so nothing may have a name there before it is durable: what
//! a checkout adds is staged below `tmp`, and moved in at its end. A file goes when its object is removed from the store.

use crate::deliver::As;
use crate::store::{DIR_MODE, Shards};
use crate::{Delivered, Error, Id, LinkPolicy, Mode, ObjectKind, ObjectName, Store, kind, layout};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Dir};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The cache during one checkout. Dropping it forgets what was added.
#[derive(Debug)]
#[must_use = "nothing is kept until `publish` returns"]
pub struct Uncompressed<'store> {
    store: &'store Store,
    /// The cache as it was found, if there is one.
    found: Option<Dir>,
    shards: Shards,
    /// What is added; `None` where nothing can be written.
    staging: OnceLock<Option<Staging>>,
}

#[derive(Debug)]
struct Staging {
    tmp: Dir,
    name: String,
    dir: Dir,
    shards: Shards,
    next: AtomicU64,
}

impl Store {
    /// The cache of uncompressed files, for a checkout onto the same filesystem. `None` if this is no archive store, or
    /// [`StoreOptions::uncompressed_cache`](crate::StoreOptions::uncompressed_cache) is off.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn uncompressed(&self) -> Result<Option<Uncompressed<'_>>, Error> {
        if self.mode() != Mode::Archive || !self.options().uncompressed_cache {
            return Ok(None);
        }
        let found = fsio::open_dir_optional(self.dir(), layout::UNCOMPRESSED)?;
        Ok(Some(Uncompressed { store: self, found, shards: Shards::new(), staging: OnceLock::new() }))
    }
}

impl Uncompressed<'_> {
    /// Puts a file into the directory `to` as `name`, as [`Store::deliver_as_user`] does, by a hardlink to the cache. A
    /// file that it does not have is decompressed into it, verified; empty files and special ones are made anew.
    ///
    /// Where the repository cannot be written, or the file not be linked, it is copied.
    ///
    /// # Errors
    /// As [`Store::deliver`].
    pub fn deliver(&self, id: Id<kind::File>, to: &Dir, name: &Path) -> Result<Delivered, Error> {
        let shard = layout::shard(id.raw());
        let file = file_name(id);
        if let Some(found) = &self.found
            && let Some(dir) = self.shards.get(found, shard)?
            && link(&dir, &file, to, name)?
        {
            return Ok(Delivered::Linked);
        }
        let copy = || self.store.deliver_as_user(id, to, name, LinkPolicy::Prefer);
        let Some(staging) = self.staging() else { return copy() };
        let dir = staging.shards.get_or_create(&staging.dir, shard, 0o700)?;
        if link(&dir, &file, to, name)? {
            return Ok(Delivered::Linked);
        }
        let (here, raw) = self.store.locate(id)?;
        if !std::ptr::eq(here, self.store) || !raw.header.is_regular() || raw.size == 0 {
            return copy();
        }
        let new = format!("{}{}", layout::UNFINISHED_PREFIX, staging.next.fetch_add(1, Ordering::Relaxed));
        here.copy_out(As::User, id, raw, &dir, Path::new(&new))?;
        match fsio::rename_noreplace(&dir, &new, &dir, &file) {
            // Another thread was faster with the same file.
            Err(error) if error.is_exists() => fsio::remove_file(&dir, &new)?,
            renamed => renamed?,
        }
        if link(&dir, &file, to, name)? { Ok(Delivered::Copied) } else { copy() }
    }

    /// Whether a file is a second name of the copy of this object that the cache had before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_linked(&self, id: Id<kind::File>, file: &fsio::Stat) -> Result<bool, Error> {
        let Some(found) = &self.found else { return Ok(false) };
        let Some(dir) = self.shards.get(found, layout::shard(id.raw()))? else { return Ok(false) };
        let cached = fsio::stat_optional(&dir, file_name(id))?;
        Ok(cached.is_some_and(|cached| (cached.dev, cached.ino) == (file.dev, file.ino)))
    }

    fn staging(&self) -> Option<&Staging> {
        self.staging
            .get_or_init(|| {
                Staging::create(self.store)
                    .inspect_err(
                        |error| tracing::debug!(%error, "nothing is added to the uncompressed cache"),
                    )
                    .ok()
            })
            .as_ref()
    }

    /// Makes what was added durable, then part of the cache.
    ///
    /// # Errors
    /// [`Error::Io`]: then a part of it is in the cache, each file whole.
    pub fn publish(mut self) -> Result<(), Error> {
        let Some(Some(staging)) = self.staging.take() else { return Ok(()) };
        self.store.sync()?;
        let cache = fsio::ensure_dir(self.store.dir(), layout::UNCOMPRESSED, DIR_MODE)?;
        for shard in 0..=u8::MAX {
            let Some(from) = staging.shards.get(&staging.dir, shard)? else { continue };
            let to = self.shards.get_or_create(&cache, shard, DIR_MODE)?;
            for entry in fsio::entries(&from)? {
                match fsio::rename_noreplace(&from, &entry.name, &to, &entry.name) {
                    Err(error) if error.is_exists() => {}
                    renamed => renamed?,
                }
            }
        }
        staging.remove()
    }
}

impl Drop for Uncompressed<'_> {
    fn drop(&mut self) {
        if let Some(Some(staging)) = self.staging.take()
            && let Err(error) = staging.remove()
        {
            tracing::debug!(%error, "left in `tmp` until that is cleaned");
        }
    }
}

impl Staging {
    fn create(store: &Store) -> Result<Self, Error> {
        let tmp = fsio::ensure_dir(store.dir(), layout::TMP, DIR_MODE)?;
        loop {
            let name = format!("{}{:016x}", layout::UNCOMPRESSED_PREFIX, crate::txn::random());
            match fsio::create_dir(&tmp, &name, 0o700) {
                Err(error) if error.is_exists() => {}
                created => {
                    let dir = created?;
                    return Ok(Self { tmp, name, dir, shards: Shards::new(), next: AtomicU64::new(0) });
                }
            }
        }
    }

    fn remove(self) -> Result<(), Error> {
        let Self { tmp, name, dir, shards, .. } = self;
        drop((dir, shards));
        Ok(fsio::remove_tree(&tmp, name)?)
    }
}

/// The name of a file in its shard of the cache.
fn file_name(id: Id<kind::File>) -> String {
    layout::file_name(Mode::BareUserOnly, id.name())
}

/// Forgets an object that is being removed from the store.
pub(crate) fn forget(store: &Store, name: ObjectName) -> Result<(), Error> {
    if store.mode() == Mode::Archive && name.kind == ObjectKind::File {
        let shard = layout::shard_name(layout::shard(name.id));
        let path = format!("{}/{shard}/{}", layout::UNCOMPRESSED, file_name(Id::new(name.id)));
        fsio::remove_file_optional(store.dir(), path)?;
    }
    Ok(())
}

/// Hardlinks a file. `false` if it is not there, or the system does not allow this link.
fn link(from: &Dir, file: &str, to: &Dir, name: &Path) -> Result<bool, Error> {
    const NO_LINK: [Errno; 3] = [Errno::PERM, Errno::XDEV, Errno::MLINK];
    match fsio::hardlink(from, file, to, name) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) if NO_LINK.iter().any(|no| error.source.raw_os_error() == Some(no.raw_os_error())) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
