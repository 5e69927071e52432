//! Changing refs: edits are collected, then checked together under the lock, then made.
//!
//! [`RefTxn`] becomes [`PreparedRefs`] once every edit is known to be possible, and that is committed. New ref files are
//! written and synced in `tmp` before the first one is renamed into place. The order is that of [`Overlay::steps`], and
//! each of its groups is durable before the next: a crash between two leaves the later ones as they were.

use super::check::{Overlay, Step};
use super::read::{HEADS, MIRRORS, REMOTES, alias_link, base_of};
use super::{LOCK, RefDb, RefEdit, Stored};
use crate::reflog::{self, Moved};
use crate::{Error, RefName, Refspec, Result};
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
    groups: Vec<Vec<Step>>,
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
        overlay.check()?;
        let groups = overlay.steps()?;
        Ok(PreparedRefs { dir, fsync: self.writing.fsync, groups, _lock: lock })
    }
}

/// A new ref that has its content, but not its name yet.
enum New {
    File(Staged),
    Link(String),
}

/// A step that can be made now: to what is new, or, without it, to nothing.
type Ready = (Moved, Option<New>);

impl PreparedRefs<'_> {
    /// Makes the changes, durably. On an error some are made, the first ones in the order in which they are to be; the log of refs
    /// has these.
    pub(crate) fn commit(mut self) -> Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let tmp = sapwood_fsio::ensure_dir(self.dir, "tmp", 0o775)?;
        let groups = std::mem::take(&mut self.groups).into_iter().map(|group| {
            group.into_iter().map(|step| self.stage(&tmp, step)).collect::<Result<Vec<Ready>>>()
        });
        let groups: Vec<Vec<Ready>> = groups.collect::<Result<_>>()?;
        let mut done = Vec::new();
        let made = groups.into_iter().try_for_each(|group| self.make(&tmp, group, &mut done));
        if done.is_empty() {
            return made;
        }
        reflog::note(self.dir, done);
        let touched = touch(self.dir);
        made.and(touched)
    }

    /// Makes the changes of one group, durably; `done` gets those that are made.
    fn make(&self, tmp: &Dir, group: Vec<Ready>, done: &mut Vec<Moved>) -> Result<()> {
        let mut touched = BTreeSet::new();
        for (moved, new) in group {
            let path = format!("{}/{}", base_of(&moved.0.namespace), moved.0.name);
            if let Some(new) = new {
                self.publish(tmp, &path, new, &mut touched)?;
                done.push(moved);
            } else {
                sapwood_fsio::remove_file_optional(self.dir, &path)?;
                done.push(moved);
                self.remove_empty_parents(&path, &mut touched)?;
            }
        }
        self.sync(touched)
    }

    fn stage(&self, tmp: &Dir, Step { after, moved }: Step) -> Result<Ready> {
        let name = &moved.0;
        let new = match after {
            Stored::Alias(of) => Some(New::Link(stage_alias(tmp, name, &of)?)),
            Stored::At(id) => Some(New::File(self.stage_file(tmp, name, id)?)),
            Stored::Absent => None,
            Stored::Malformed => return Err(Error::MalformedRef { name: name.clone() }),
        };
        Ok((moved, new))
    }

    fn stage_file(&self, tmp: &Dir, name: &Refspec, id: Id<Commit>) -> Result<Staged> {
        let mut file = Staged::create(tmp)?;
        let written = file.write_all(format!("{id}\n").as_bytes());
        sapwood_fsio::At::at(written, "write the ref", name.name.as_str())?;
        sapwood_fsio::set_mode(file.file(), 0o644)?;
        if self.fsync {
            file.sync()?;
        }
        Ok(file)
    }

    fn publish(&self, tmp: &Dir, path: &str, new: New, touched: &mut BTreeSet<String>) -> Result<()> {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
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

    /// Removes the directories that a ref left empty.
    fn remove_empty_parents(&self, path: &str, touched: &mut BTreeSet<String>) -> Result<()> {
        let mut at = path;
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

    fn sync(&self, touched: BTreeSet<String>) -> Result<()> {
        for path in touched {
            if self.fsync
                && let Some(dir) = sapwood_fsio::open_dir_optional(self.dir, path)?
            {
                sapwood_fsio::sync_dir(&dir)?;
            }
        }
        Ok(())
    }
}

/// Makes the symlink of an alias under a name of its own.
fn stage_alias(tmp: &Dir, name: &Refspec, of: &RefName) -> Result<String> {
    let link = alias_link(&name.name, of);
    for attempt in 0..u32::MAX {
        let temporary = format!("alias-{}-{attempt}", std::process::id());
        match sapwood_fsio::symlink(&link, tmp, &temporary) {
            Err(error) if error.is_exists() => {}
            made => return Ok(made.map(|()| temporary)?),
        }
    }
    Err(Error::MalformedRef { name: name.clone() })
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
