//! What interrupted runs left: their staging directories, and other files in `tmp`.

use super::staging::{prefix_of_this_boot, try_lock};
use crate::{Error, ObjectName, Store, Verdict, layout};
use rayon::prelude::*;
use sapwood_fsio::lock::{Lock, LockError};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What an interrupted run staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its directory, relative to the repository's.
    pub dir: String,
    /// Whether it is of this boot: then the next transaction takes it over; else it is removed, and was not looked into.
    pub is_of_this_boot: bool,
    /// How many objects are in it that would be taken over.
    pub objects: u64,
    /// Their size on disk, in bytes.
    pub bytes: u64,
    /// Those of them that do not hash to their names, sorted.
    pub damaged: Vec<ObjectName>,
}

/// What happens to damaged objects that are found in staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamaged {
    /// They stay.
    Leave,
    /// They are removed.
    Remove,
}

impl Store {
    /// Looks into the staging directories of interrupted runs, ours and those of real `ostree`, which publishes unread what it
    /// takes over. Those in use, and those that this user may not lock, are not looked into.
    ///
    /// # Errors
    /// [`Error::Lock`], [`Error::Io`].
    pub fn leftovers(&self, on_damaged: OnDamaged) -> Result<Vec<Leftover>, Error> {
        let this_boot = prefix_of_this_boot();
        let mut found = Vec::new();
        self.each_idle_staging(&mut |name, dir| {
            let is_of_this_boot = name.starts_with(&this_boot);
            let mut leftover = Leftover {
                dir: format!("{}/{name}", layout::TMP),
                is_of_this_boot,
                objects: 0,
                bytes: 0,
                damaged: Vec::new(),
            };
            if is_of_this_boot {
                self.look_into(dir, on_damaged, &mut leftover)?;
            }
            found.push(leftover);
            Ok(())
        })?;
        found.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(found)
    }

    fn look_into(&self, staging: &Dir, on_damaged: OnDamaged, into: &mut Leftover) -> Result<(), Error> {
        let into = Mutex::new(into);
        let context = fsio::fault::context();
        (0..=u8::MAX).into_par_iter().try_for_each(|shard| {
            let _in = context.enter();
            let Some(dir) = fsio::open_dir_optional(staging, layout::shard_name(shard))? else {
                return Ok(());
            };
            for entry in fsio::entries(&dir)? {
                let file = entry.name.to_string_lossy();
                let Some(name) = layout::parse_name(self.mode(), shard, &file) else { continue };
                let Some(stat) = fsio::stat_optional(&dir, &entry.name)? else { continue };
                let is_good = self.verify_at(&dir, &file, name)? == Verdict::Good;
                if !is_good && on_damaged == OnDamaged::Remove {
                    fsio::remove_tree(&dir, &entry.name)?;
                }
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                into.objects += 1;
                into.bytes += stat.size;
                if !is_good {
                    into.damaged.push(name);
                }
            }
            Ok::<_, Error>(())
        })?;
        into.into_inner().unwrap_or_else(PoisonError::into_inner).damaged.sort_unstable();
        Ok(())
    }

    /// Calls `each` with every staging directory that nobody uses, locked.
    fn each_idle_staging(&self, each: &mut dyn FnMut(&str, &Dir) -> Result<(), Error>) -> Result<(), Error> {
        let Some(tmp) = fsio::open_dir_optional(self.dir(), layout::TMP)? else { return Ok(()) };
        for entry in fsio::entries(&tmp)? {
            let Some(name) = entry.name.to_str() else { continue };
            if entry.kind != Kind::Dir || !name.starts_with(layout::STAGING_PREFIX) {
                continue;
            }
            let Some(_lock) = lock_if_idle(&tmp, name)? else { continue };
            if let Some(dir) = fsio::open_dir_optional(&tmp, name)? {
                each(name, &dir)?;
            }
        }
        Ok(())
    }

    /// Removes files from among the objects that never became any. OSTree moves them there with the rest when it takes over
    /// the staging of a run of ours that was killed. Nobody may be adding objects meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clean_unfinished(&self) -> Result<(), Error> {
        for shard in 0..=u8::MAX {
            let Some(dir) = self.shard(shard)? else { continue };
            for entry in fsio::entries(&dir)? {
                let is_unfinished = entry.name.to_string_lossy().starts_with(layout::UNFINISHED_PREFIX);
                if is_unfinished && entry.kind != Kind::Dir {
                    fsio::remove_file_optional(&dir, &entry.name)?;
                }
            }
        }
        Ok(())
    }

    /// Removes the commits that killed runs have staged. Whoever deletes objects does so before: real `ostree` publishes what
    /// it finds staged of this boot, and what such a commit refers to may be about to go. Nobody may be adding objects
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn discard_staged_commits(&self) -> Result<(), Error> {
        self.each_idle_staging(&mut |_, staging| {
            for shard in 0..=u8::MAX {
                let Some(dir) = fsio::open_dir_optional(staging, layout::shard_name(shard))? else {
                    continue;
                };
                for entry in fsio::entries(&dir)? {
                    if entry.name.to_string_lossy().ends_with(layout::COMMIT_SUFFIX) {
                        fsio::remove_file_optional(&dir, &entry.name)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Removes the half-done downloads of killed runs, which take the space that is looked for. Those in use stay.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clean_scratch(&self) -> Result<(), Error> {
        self.each_idle_staging(&mut |_, staging| Ok(fsio::remove_tree(staging, layout::SCRATCH)?))
    }

    /// Removes from `tmp` what interrupted runs left and nobody uses: staging of earlier boots, and whatever else was
    /// not touched for longer than `expiry`. Returns the number of entries removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clean_tmp(&self, expiry: Duration) -> Result<u64, Error> {
        let oldest = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(expiry);
        self.clean(Some(i128::try_from(oldest.as_nanos()).unwrap_or(i128::MAX)))
    }

    /// Removes from `tmp` what runs of other boots have staged, unless somebody uses it.
    pub(super) fn clean_staging_of_other_boots(&self) -> Result<u64, Error> {
        self.clean(None)
    }

    /// Removes from `tmp` staging of other boots, and whatever else was not touched since `oldest_ns`.
    fn clean(&self, oldest_ns: Option<i128>) -> Result<u64, Error> {
        let Some(tmp) = fsio::open_dir_optional(self.dir(), layout::TMP)? else { return Ok(0) };
        let this_boot = prefix_of_this_boot();
        let mut removed = 0;
        for entry in fsio::entries(&tmp)? {
            let name = entry.name.to_string_lossy();
            if name == layout::TMP_CACHE || name.ends_with(layout::LOCK_SUFFIX) {
                continue;
            }
            let is_staging = name.starts_with(layout::STAGING_PREFIX);
            if !is_staging || name.starts_with(&this_boot) {
                let Some(oldest_ns) = oldest_ns else { continue };
                let Some(stat) = fsio::stat_optional(&tmp, &entry.name)? else { continue };
                if stat.mtime_ns > oldest_ns {
                    continue;
                }
            }
            let lock_name = format!("{name}{}", layout::LOCK_SUFFIX);
            let lock = if is_staging { lock_if_idle(&tmp, &name)? } else { None };
            if is_staging && lock.is_none() {
                continue;
            }
            fsio::remove_tree(&tmp, &entry.name)?;
            if is_staging {
                fsio::remove_file_optional(&tmp, lock_name)?;
            }
            removed += 1;
        }
        Ok(removed)
    }
}

/// Locks a staging directory; `None` also where this user may not.
fn lock_if_idle(tmp: &Dir, name: &str) -> Result<Option<Lock>, Error> {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match try_lock(tmp, name) {
        Err(Error::Lock(LockError::Io(error)))
            if matches!(error.source.kind(), PermissionDenied | ReadOnlyFilesystem) =>
        {
            Ok(None)
        }
        other => other,
    }
}
