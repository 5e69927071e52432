//! The staging directory: complete objects under the names they will have, and unfinished ones under others.
//!
//! Commits lie apart from the rest. Real `ostree` takes over the staging of a killed run, and publishes what is in
//! directories that have names of shards. A commit may not go that way: what it refers to was perhaps in the store when it
//! was staged, and has been pruned since.

use crate::store::{Shard, Shards};
use crate::{Error, FileHeader, Mode, ObjectId, ObjectKind, ObjectName, Store, Verdict, layout};
use rayon::prelude::*;
use sapwood_fsio::lock::{Lock, LockError, LockKind, Wait};
use sapwood_fsio::{self as fsio, At, Dir, Kind, Staged};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A staging directory, locked: nobody else writes there.
#[derive(Debug)]
pub(super) struct Staging {
    tmp: Dir,
    name: String,
    content: Shelf,
    commits: Shelf,
    next: AtomicU64,
    owner: (u32, u32),
    device: u64,
    #[expect(dead_code, reason = "held, not read: dropping it lets others have the directory")]
    lock: Lock,
}

/// Staged objects below one directory, by shard.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: Dir,
    shards: Shards,
    /// Which shards exist. Nobody else makes any, so the others need not be looked for.
    present: Box<[AtomicBool]>,
}

impl Shelf {
    fn open(dir: Dir) -> Result<Self, Error> {
        let found = fsio::entries(&dir)?;
        let is_there = |name: String| found.iter().any(|entry| entry.name == name.as_str());
        let present =
            (0..=u8::MAX).map(|shard| AtomicBool::new(is_there(layout::shard_name(shard)))).collect();
        Ok(Self { dir, shards: Shards::new(), present })
    }

    pub(super) fn shard(&self, shard: u8) -> Result<Option<Shard<'_>>, Error> {
        if !self.present(shard).load(Ordering::Acquire) {
            return Ok(None);
        }
        self.shards.get(&self.dir, shard)
    }

    pub(super) fn shard_or_create(&self, shard: u8) -> Result<Shard<'_>, Error> {
        let found = self.shards.get_or_create(&self.dir, shard, 0o700)?;
        self.present(shard).store(true, Ordering::Release);
        Ok(found)
    }

    fn present(&self, shard: u8) -> &AtomicBool {
        &self.present[usize::from(shard)]
    }
}

impl Staging {
    /// Takes over what an interrupted transaction of this boot left, else makes a new directory.
    pub(super) fn open(store: &Store) -> Result<Self, Error> {
        let tmp = fsio::ensure_dir(store.dir(), layout::TMP, 0o775)?;
        let prefix = prefix_of_this_boot();
        remove_orphaned_locks(&tmp)?;
        for entry in fsio::entries(&tmp)? {
            let Some(name) = entry.name.to_str() else { continue };
            if entry.kind != Kind::Dir || !name.starts_with(&prefix) {
                continue;
            }
            if let Some(staging) = Self::take(&tmp, name)? {
                staging.keep_what_verifies(store)?;
                return Ok(staging);
            }
        }
        loop {
            let name = format!("{prefix}{:016x}", random());
            match fsio::create_dir(&tmp, &name, 0o700) {
                // In the second case another process took it over, used it and removed it, before we opened it.
                Err(e) if e.is_exists() || e.is_not_found() => continue,
                created => drop(created?),
            }
            // Another process may take it before us; then it is theirs.
            if let Some(staging) = Self::take(&tmp, &name)? {
                return Ok(staging);
            }
        }
    }

    /// Locks and opens a staging directory; `None` if others hold it, or had it and have removed it.
    fn take(tmp: &Dir, name: &str) -> Result<Option<Self>, Error> {
        let Some(lock) = try_lock(tmp, name)? else { return Ok(None) };
        let Some(dir) = fsio::open_dir_optional(tmp, name)? else { return Ok(None) };
        // What is created here belongs to whom a new file belongs, which a setgid directory or a mount option decides.
        let probe = fsio::stat_open(Staged::create(&dir)?.file())?;
        // Commits of who had it before are not taken up.
        fsio::remove_tree(&dir, layout::STAGED_COMMITS)?;
        let commits = fsio::create_dir(&dir, layout::STAGED_COMMITS, 0o700)?;
        Ok(Some(Self {
            tmp: fsio::open_dir(tmp, ".")?,
            name: name.to_owned(),
            content: Shelf::open(dir)?,
            commits: Shelf::open(commits)?,
            next: AtomicU64::new(0),
            owner: (probe.uid, probe.gid),
            device: probe.dev,
            lock,
        }))
    }

    /// Removes all that is unfinished, every object that does not hash to its name, commits that real `ostree` staged, and
    /// files that others have a name of: those that were to be taken over have stayed with their owner, who may write to
    /// them.
    fn keep_what_verifies(&self, store: &Store) -> Result<(), Error> {
        for entry in fsio::entries(self.dir())? {
            if entry.kind != Kind::Dir {
                fsio::remove_file_optional(self.dir(), &entry.name)?;
            }
        }
        let context = fsio::fault::context();
        (0..=u8::MAX).into_par_iter().try_for_each(|shard| {
            let _in = context.enter();
            let Some(dir) = self.content.shard(shard)? else { return Ok(()) };
            for entry in fsio::entries(&dir)? {
                let file = entry.name.to_string_lossy();
                let good = match layout::parse_name(store.mode(), shard, &file) {
                    Some(ObjectName { kind: ObjectKind::Commit, .. }) | None => false,
                    Some(_) if fsio::stat(&dir, &entry.name)?.nlink > 1 => false,
                    Some(name) => store.verify_at(&dir, &file, name)? == Verdict::Good,
                };
                if !good {
                    tracing::debug!(%file, "removed from an interrupted transaction");
                    fsio::remove_tree(&dir, &entry.name)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.content.dir
    }

    /// Its name in `tmp`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All objects but commits.
    pub(super) fn content(&self) -> &Shelf {
        &self.content
    }

    /// Commits and what is kept beside them.
    pub(super) fn commits(&self) -> &Shelf {
        &self.commits
    }

    /// Where an object is, if anything is there.
    fn home(&self, name: ObjectName) -> Result<Option<Shard<'_>>, Error> {
        self.shelf(name.kind).shard(layout::shard(name.id))
    }

    fn home_or_create(&self, name: ObjectName) -> Result<Shard<'_>, Error> {
        self.shelf(name.kind).shard_or_create(layout::shard(name.id))
    }

    fn shelf(&self, kind: ObjectKind) -> &Shelf {
        if kind == ObjectKind::Commit { &self.commits } else { &self.content }
    }

    pub(super) fn contains(&self, mode: Mode, name: ObjectName) -> Result<bool, Error> {
        match self.home(name)? {
            Some(dir) => Ok(fsio::stat_optional(&dir, layout::file_name(mode, name))?.is_some()),
            None => Ok(false),
        }
    }

    pub(super) fn read_meta(&self, mode: Mode, name: ObjectName) -> Result<Option<Vec<u8>>, Error> {
        match self.home(name)? {
            Some(dir) => {
                Ok(fsio::read_optional(&dir, layout::file_name(mode, name), crate::Format::MAX_META_BYTES)?)
            }
            None => Ok(None),
        }
    }

    pub(super) fn size(&self, mode: Mode, name: ObjectName) -> Result<Option<u64>, Error> {
        match self.home(name)? {
            Some(dir) => Ok(fsio::stat_optional(&dir, layout::file_name(mode, name))?.map(|stat| stat.size)),
            None => Ok(None),
        }
    }

    /// Size of the content of a file.
    pub(super) fn content_size(&self, store: &Store, name: ObjectName) -> Result<Option<u64>, Error> {
        match self.home(name)? {
            Some(dir) => store.content_size_at(&dir, &layout::file_name(store.mode(), name), name),
            None => Ok(None),
        }
    }

    /// The header that stands before a file's content in archives.
    pub(super) fn archive_header(
        &self,
        store: &Store,
        name: ObjectName,
    ) -> Result<Option<(FileHeader, u64)>, Error> {
        let Some(dir) = self.home(name)? else { return Ok(None) };
        let file = layout::file_name(store.mode(), name);
        if store.mode() != Mode::Archive || fsio::stat_optional(&dir, &file)?.is_none() {
            return Ok(None);
        }
        Ok(store.open_raw(&dir, &file, name)?.map(|raw| (raw.header, raw.size)))
    }

    /// Removes an object; `false` if it is not here.
    pub(super) fn remove(&self, mode: Mode, name: ObjectName) -> Result<bool, Error> {
        match self.home(name)? {
            Some(dir) => Ok(fsio::remove_file_optional(&dir, layout::file_name(mode, name))?),
            None => Ok(false),
        }
    }

    /// Whom a new file in staging belongs to.
    pub(super) fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// The device that staging is on.
    pub(super) fn device(&self) -> u64 {
        self.device
    }

    /// A name in staging that nobody has.
    pub(super) fn unfinished(&self) -> String {
        format!("{}{}", layout::UNFINISHED_PREFIX, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// As [`finish`].
    pub(super) fn write_meta(&self, mode: Mode, name: ObjectName, bytes: &[u8]) -> Result<bool, Error> {
        let dir = self.home_or_create(name)?;
        let file = layout::file_name(mode, name);
        let mut staged = Staged::create_named(&dir, self.unfinished())?;
        staged.write_all(bytes).at("write", &file)?;
        fsio::set_mode(staged.file(), 0o644)?;
        finish(staged, &dir, &file)
    }

    pub(super) fn write_detached(&self, commit: ObjectId, bytes: &[u8]) -> Result<(), Error> {
        let dir = self.commits.shard_or_create(layout::shard(commit))?;
        let file = layout::detached_name(commit);
        let mut staged = Staged::create_named(&dir, self.unfinished())?;
        staged.write_all(bytes).at("write", &file)?;
        fsio::set_mode(staged.file(), 0o644)?;
        Ok(staged.publish(&dir, file)?)
    }

    pub(super) fn read_detached(&self, commit: ObjectId) -> Result<Option<Vec<u8>>, Error> {
        let Some(dir) = self.commits.shard(layout::shard(commit))? else { return Ok(None) };
        Ok(fsio::read_optional(&dir, layout::detached_name(commit), crate::Format::MAX_META_BYTES)?)
    }

    /// Hardlinks a file from a store that keeps files alike. `false` where it is not there or cannot be linked.
    pub(super) fn link_from(&self, from: &Store, name: ObjectName) -> Result<bool, Error> {
        let Some(source) = from.shard(layout::shard(name.id))? else { return Ok(false) };
        let file = layout::file_name(from.mode(), name);
        let dir = self.home_or_create(name)?;
        match fsio::hardlink(&source, &file, &dir, &file) {
            Ok(()) => Ok(true),
            Err(e) => Ok(e.is_exists()),
        }
    }

    /// Removes the directory and lets go of it.
    pub(super) fn remove_all(self) -> Result<(), Error> {
        let Self { tmp, name, content, commits, .. } = self;
        drop((content, commits));
        fsio::remove_tree(&tmp, &name)?;
        fsio::remove_file_optional(&tmp, format!("{name}{}", layout::LOCK_SUFFIX))?;
        Ok(())
    }
}

/// Gives a complete object the name it will have; `false` where another thread was faster with the same object.
pub(super) fn finish(staged: Staged, dir: &Dir, file: &str) -> Result<bool, Error> {
    match staged.publish_noreplace(dir, file) {
        Ok(()) => Ok(true),
        Err(e) if e.is_exists() => Ok(false),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn try_lock(tmp: &Dir, name: &str) -> Result<Option<Lock>, Error> {
    match Lock::acquire(tmp, format!("{name}{}", layout::LOCK_SUFFIX), LockKind::Exclusive, Wait::No) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Removes lock files of staging directories that are gone. Whoever still waits for one finds no directory then.
fn remove_orphaned_locks(tmp: &Dir) -> Result<(), Error> {
    for entry in fsio::entries(tmp)? {
        let Some(name) = entry.name.to_str() else { continue };
        let Some(staging) = name.strip_suffix(layout::LOCK_SUFFIX) else { continue };
        if staging.starts_with(layout::STAGING_PREFIX)
            && fsio::stat_optional(tmp, staging)?.is_none()
            && let Some(lock) = try_lock(tmp, staging)?
        {
            fsio::remove_file_optional(tmp, name)?;
            drop(lock);
        }
    }
    Ok(())
}

/// Begins the names of staging directories of this boot.
pub(super) fn prefix_of_this_boot() -> String {
    format!("{}{}-", layout::STAGING_PREFIX, boot_id())
}

/// Tells this boot from others: by `$OSTREE_BOOTID` as in OSTree, else by what the kernel says. Where that says nothing,
/// every process is a boot of its own.
fn boot_id() -> String {
    if let Some(given) = std::env::var("OSTREE_BOOTID").ok().filter(|given| is_word(given)) {
        return given;
    }
    fsio::boot_id().unwrap_or_else(|_unknown| format!("{:016x}", random()))
}

/// Whether it can be a part of a name.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_le_bytes(bytes),
        // A name that is taken is tried again, so the clock is good enough.
        _ => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| u64::from(t.subsec_nanos())),
    }
}
