//! Changing refs: edits are collected, then checked together under the lock, then made.
//!
//! [`RefTxn`] becomes [`PreparedRefs`] once every edit is known to be possible, and that is committed. New ref files are
//! written and synced in `tmp` before the first one is renamed into place; what is removed goes last, except where it
//! stands in the way of a new ref. An alias is gone, durably, before what it follows: OSTree cannot list refs of which one leads
//! nowhere.

use super::check::Overlay;
use super::read::{HEADS, MIRRORS, REMOTES, alias_link, base_of};
use super::{LOCK, RefDb, RefEdit, Stored};
use crate::reflog::{self, Moved};
use crate::{Error, Refspec, Result};
use sapwood_fsio::lock::{Lock, LockKind, Wait};
use sapwood_fsio::{Dir, Kind, Staged};
use sapwood_objstore::{Commit, Id};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};

/// How refs are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefWriting {
    /// Whether writes are synced.
    pub(crate) fsync: bool,
    /// How long to wait for the lock; `None` takes none.
    pub(crate) lock_wait: Option<Wait>,
}

/// Edits that nobody has checked yet.
#[derive(Debug)]
pub(crate) struct RefTxn<'a> {
    db: RefDb<'a>,
    writing: RefWriting,
    edits: Vec<RefEdit>,
}

/// Edits that are known to be possible; the lock is held. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "dropping prepared edits abandons them"]
pub(crate) struct PreparedRefs<'a> {
    dir: &'a Dir,
    fsync: bool,
    sets: Vec<(Refspec, Stored)>,
    removed_first: Vec<Refspec>,
    removed_aliases: Vec<Refspec>,
    removed_last: Vec<Refspec>,
    moved: Vec<Moved>,
    _lock: Option<Lock>,
}

impl<'a> RefTxn<'a> {
    pub(crate) fn new(dir: &'a Dir, writing: RefWriting, edits: Vec<RefEdit>) -> Self {
        Self { db: RefDb::new(dir), writing, edits }
    }

    /// Takes the lock, asks `holds` whether what the edits rest on still does, and checks every edit, in order, each on what
    /// those before it would leave.
    ///
    /// `exists` says whether a commit may be pointed to. On an error nothing has changed.
    pub(crate) fn prepare(
        self,
        holds: &dyn Fn() -> Result<()>,
        exists: &dyn Fn(Id<Commit>) -> Result<()>,
    ) -> Result<PreparedRefs<'a>> {
        let dir = self.db.dir;
        let lock = match self.writing.lock_wait {
            Some(wait) => Some(Lock::acquire(dir, LOCK, LockKind::Exclusive, wait)?),
            None => None,
        };
        holds()?;
        let mut overlay = Overlay::new(RefDb::new(dir));
        for edit in self.edits {
            overlay.apply(edit, exists)?;
        }
        let (sets, removed) = overlay.changes();
        if !removed.is_empty() {
            overlay.check_aliases(&removed)?;
        }
        for (name, _) in &sets {
            overlay.check_conflicts(name)?;
        }
        let moved =
            sets.iter().map(|(name, _)| name).chain(&removed).map(|name| overlay.moved(name)).collect();
        let in_the_way = |gone: &Refspec| {
            sets.iter().any(|(new, _)| {
                let is_below = |a: &Refspec, b: &Refspec| {
                    b.name.as_str().strip_prefix(a.name.as_str()).is_some_and(|rest| rest.starts_with('/'))
                };
                new.namespace == gone.namespace && (is_below(gone, new) || is_below(new, gone))
            })
        };
        let (mut removed_first, others): (Vec<_>, Vec<_>) = removed.into_iter().partition(in_the_way);
        removed_first.sort_by_key(|name| !overlay.was_alias(name));
        let (removed_aliases, removed_last) = others.into_iter().partition(|name| overlay.was_alias(name));
        Ok(PreparedRefs {
            dir,
            fsync: self.writing.fsync,
            sets,
            removed_first,
            removed_aliases,
            removed_last,
            moved,
            _lock: lock,
        })
    }
}

/// A new ref that has its content, but not its name yet.
enum New {
    File(Staged),
    Link(String),
}

impl PreparedRefs<'_> {
    /// Makes the changes, durably.
    pub(crate) fn commit(self) -> Result<()> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let tmp = sapwood_fsio::ensure_dir(self.dir, "tmp", 0o775)?;
        let mut staged = Vec::with_capacity(self.sets.len());
        for (name, value) in &self.sets {
            staged.push((name, self.stage(&tmp, name, value)?));
        }
        let mut touched = BTreeSet::new();
        for name in &self.removed_first {
            self.remove(name, &mut touched)?;
        }
        for (name, new) in staged {
            self.publish(&tmp, name, new, &mut touched)?;
        }
        self.sync(&mut touched)?;
        for names in [&self.removed_aliases, &self.removed_last] {
            for name in names {
                self.remove(name, &mut touched)?;
            }
            self.sync(&mut touched)?;
        }
        reflog::note(self.dir, self.moved);
        touch(self.dir)
    }

    fn stage(&self, tmp: &Dir, name: &Refspec, value: &Stored) -> Result<New> {
        match value {
            Stored::Alias(of) => {
                let link = alias_link(&name.name, of);
                for attempt in 0..u32::MAX {
                    let temporary = format!("alias-{}-{attempt}", std::process::id());
                    match sapwood_fsio::symlink(&link, tmp, &temporary) {
                        Err(error) if error.is_exists() => {}
                        made => return Ok(made.map(|()| New::Link(temporary))?),
                    }
                }
                Err(Error::MalformedRef { name: name.clone() })
            }
            Stored::At(id) => {
                let mut file = Staged::create(tmp)?;
                let written = file.write_all(format!("{id}\n").as_bytes());
                sapwood_fsio::At::at(written, "write the ref", name.name.as_str())?;
                sapwood_fsio::set_mode(file.file(), 0o644)?;
                if self.fsync {
                    file.sync()?;
                }
                Ok(New::File(file))
            }
            Stored::Absent | Stored::Malformed => Err(Error::MalformedRef { name: name.clone() }),
        }
    }

    fn publish(&self, tmp: &Dir, name: &Refspec, new: New, touched: &mut BTreeSet<String>) -> Result<()> {
        let path = format!("{}/{}", base_of(&name.namespace), name.name);
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", &path));
        // What is created has to be synced, and so has what it is created in.
        let mut at = parent;
        touched.insert(at.to_owned());
        while let Some((above, _)) = at.rsplit_once('/')
            && sapwood_fsio::stat_optional(self.dir, at)?.is_none()
        {
            touched.insert(above.to_owned());
            at = above;
        }
        let dir = sapwood_fsio::ensure_dir(self.dir, parent, 0o775)?;
        remove_empty_dirs(&dir, last)?;
        match new {
            New::File(file) => file.publish(&dir, last)?,
            New::Link(temporary) => sapwood_fsio::rename(tmp, temporary, &dir, last)?,
        }
        Ok(())
    }

    /// Removes a ref, and the directories that it leaves empty.
    fn remove(&self, name: &Refspec, touched: &mut BTreeSet<String>) -> Result<()> {
        let path = format!("{}/{}", base_of(&name.namespace), name.name);
        sapwood_fsio::remove_file_optional(self.dir, &path)?;
        let mut at = path.as_str();
        while let Some((parent, _)) = at.rsplit_once('/') {
            touched.insert(parent.to_owned());
            if [HEADS, REMOTES, MIRRORS].contains(&parent) {
                break;
            }
            match sapwood_fsio::remove_dir(self.dir, parent) {
                Ok(()) => touched.remove(parent),
                Err(error) if error.source.kind() == ErrorKind::DirectoryNotEmpty => break,
                Err(error) if error.is_not_found() => touched.remove(parent),
                Err(error) => return Err(error.into()),
            };
            at = parent;
        }
        Ok(())
    }

    fn sync(&self, touched: &mut BTreeSet<String>) -> Result<()> {
        for path in std::mem::take(touched) {
            if self.fsync
                && let Some(dir) = sapwood_fsio::open_dir_optional(self.dir, path)?
            {
                sapwood_fsio::sync_dir(&dir)?;
            }
        }
        Ok(())
    }
}

/// Removes a directory that holds nothing but empty directories; nothing happens where there is none.
fn remove_empty_dirs(dir: &Dir, name: &str) -> Result<()> {
    let is_dir = |path: &str| {
        Ok::<_, Error>(sapwood_fsio::stat_optional(dir, path)?.is_some_and(|stat| stat.kind == Kind::Dir))
    };
    if !is_dir(name)? {
        return Ok(());
    }
    let mut found = vec![name.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        for entry in sapwood_fsio::entries(&sapwood_fsio::open_dir(dir, &path)?)? {
            if entry.kind == Kind::Dir {
                found.push(format!("{path}/{}", entry.name.to_string_lossy()));
            }
        }
        next += 1;
    }
    for path in found.iter().rev() {
        sapwood_fsio::remove_dir(dir, path)?;
    }
    Ok(())
}

/// Programs that watch a repository look at the time of its directory. Only its owner can set that.
fn touch(dir: &Dir) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    match sapwood_fsio::set_mtime(dir, i128::try_from(now.as_nanos()).unwrap_or_default()) {
        Err(error) if error.source.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => Ok(other?),
    }
}
