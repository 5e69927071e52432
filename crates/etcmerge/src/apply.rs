//! Carrying out a plan.
//!
//! Each action says how a path has to be in the end, not what to change about it, so that carrying out a plan twice, or
//! again after it was interrupted, gives the same tree. The local tree and the new defaults are only read.

use crate::walker::{Walker, at, last};
use crate::{Action, Entry, EntryKind, Error, MergePlan, Source, Tree};
use sapwood_fsio::{self as fsio, Dir, Staged, Stat, xattr};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What of a file's attributes the system did not let us set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotKeptWhat {
    /// Owner and group: that takes privileges.
    Owner,
    /// This extended attribute: it takes privileges, or the filesystem has none.
    Xattr(Vec<u8>),
}

/// An attribute that could not be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotKept {
    /// Of which path.
    pub path: PathBuf,
    /// Which attribute.
    pub what: NotKeptWhat,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files and symlinks that were copied.
    pub copied: u64,
    /// Bytes of content that were copied.
    pub copied_bytes: u64,
    /// Directories that were made or given other attributes.
    pub directories: u64,
    /// Removals of a file or tree.
    pub removed: u64,
    /// Attributes that could not be carried over; as root on an ordinary filesystem there are none.
    pub not_kept: Vec<NotKept>,
}

/// Carries out `plan` on `target`, which holds a copy of the new defaults, or what an earlier call left of it.
///
/// Files are copied from `local`, and under [`Policy::KeepBoth`](crate::Policy::KeepBoth) from `new_defaults`, as they are
/// now: content, mode, owner, extended attributes and time. Nothing outside of `target` is touched, whatever symlinks
/// `local` holds.
///
/// Nothing is synced: that is the caller's, once, before the tree is put into use. After an error or a crash the target is
/// half merged, and the call can be repeated; so a target should not be in use before this returned.
///
/// # Errors
/// [`Error::Changed`] if something that has to be copied is gone or of another type; [`Error::File`] if a file operation
/// fails.
pub fn apply(plan: &MergePlan, local: &Dir, target: &Dir, new_defaults: &Dir) -> Result<Applied, Error> {
    let mut apply = Apply {
        local: Walker::new(Tree::Local, local),
        new_defaults: Walker::new(Tree::NewDefaults, new_defaults),
        target: Walker::new(Tree::Target, target),
        applied: Applied::default(),
    };
    for action in &plan.actions {
        apply.action(action)?;
    }
    Ok(apply.applied)
}

struct Apply<'a> {
    local: Walker<'a>,
    new_defaults: Walker<'a>,
    target: Walker<'a>,
    applied: Applied,
}

/// What a copy takes over besides content.
struct Attributes {
    stat: Stat,
    xattrs: xattr::Xattrs,
}

impl Apply<'_> {
    fn action(&mut self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Remove { path } => self.remove(path),
            Action::MakeDir { path } => self.make_dir(path),
            Action::Copy { path, source, from, entry } => self.copy(path, *source, from, entry),
            Action::SetAttributes { path, source, from } => self.set_attributes(path, *source, from),
        }
    }

    fn remove(&mut self, path: &Path) -> Result<(), Error> {
        let (dir, name) = self.target.parent(path)?;
        fsio::remove_tree(dir, name).map_err(at(Tree::Target, path))?;
        self.applied.removed += 1;
        Ok(())
    }

    fn make_dir(&mut self, path: &Path) -> Result<(), Error> {
        let (dir, name) = self.target.parent(path)?;
        match fsio::create_dir(dir, name, 0o700) {
            Err(error) if !error.is_exists() => Err(at(Tree::Target, path)(error)),
            _ => Ok(()),
        }
    }

    fn copy(&mut self, path: &Path, source: Source, from: &Path, entry: &Entry) -> Result<(), Error> {
        let Self { local, new_defaults, target, applied } = self;
        let source = match source {
            Source::Local => local,
            Source::NewDefaults => new_defaults,
        };
        let tree = source.tree;
        let (from_dir, from_name) = source.parent(from)?;
        let (dir, _) = target.parent(path)?;
        let refused = match &entry.kind {
            EntryKind::File { .. } => {
                let file = fsio::open_file(from_dir, from_name).map_err(at(tree, from))?;
                let attributes = Attributes::of_open(&file).map_err(at(tree, from))?;
                applied.copied_bytes += attributes.stat.size;
                copy_file(&file, &attributes, dir, path).map_err(at(Tree::Target, path))?
            }
            EntryKind::Symlink { .. } => {
                let to = fsio::read_link(from_dir, from_name).map_err(at(tree, from))?;
                let attributes = Attributes::of_name(from_dir, from_name).map_err(at(tree, from))?;
                copy_symlink(&OsString::from_vec(to), &attributes, dir, path)
                    .map_err(at(Tree::Target, path))?
            }
            // A plan from `plan` has none.
            EntryKind::Dir | EntryKind::Other(_) => return Ok(()),
        };
        applied.copied += 1;
        applied.note(path, refused);
        Ok(())
    }

    fn set_attributes(&mut self, path: &Path, source: Source, from: &Path) -> Result<(), Error> {
        let Self { local, new_defaults, target, applied } = self;
        let source = match source {
            Source::Local => local,
            Source::NewDefaults => new_defaults,
        };
        let tree = source.tree;
        let attributes = Attributes::of_open(source.dir(from)?).map_err(at(tree, from))?;
        let dir = target.dir(path)?;
        let refused = attributes.put_on(dir).map_err(at(Tree::Target, path))?;
        applied.directories += 1;
        applied.note(path, refused);
        Ok(())
    }
}

impl Applied {
    fn note(&mut self, path: &Path, refused: Vec<NotKeptWhat>) {
        self.not_kept.extend(refused.into_iter().map(|what| NotKept { path: path.to_owned(), what }));
    }
}

/// The name under which the content for `path` is written. It is always the same, so that a repeated call takes away
/// what an interrupted one left.
fn temporary_name(path: &Path) -> OsString {
    let hash = blake3::hash(path.as_os_str().as_bytes()).to_hex();
    format!(".tmp-{}", hash.get(..16).unwrap_or_default()).into()
}

/// Runs `create` with the temporary name for `path`, after removing what an interrupted call left there.
fn create_temporary<T>(
    dir: &Dir,
    path: &Path,
    create: impl Fn(&OsStr) -> fsio::Result<T>,
) -> fsio::Result<(OsString, T)> {
    let name = temporary_name(path);
    let created = match create(&name) {
        Err(error) if error.is_exists() => {
            fsio::remove_tree(dir, &name)?;
            create(&name)?
        }
        other => other?,
    };
    Ok((name, created))
}

/// Writes under a temporary name with the attributes of `file`, then takes the place of what is at `path`.
fn copy_file(file: &File, attributes: &Attributes, dir: &Dir, path: &Path) -> fsio::Result<Vec<NotKeptWhat>> {
    let (_, staged) = create_temporary(dir, path, |name| Staged::create_named(dir, name))?;
    fsio::copy_contents(file, staged.file())?;
    let refused = attributes.put_on(staged.file())?;
    fsio::set_mtime(staged.file(), attributes.stat.mtime_ns)?;
    staged.publish(dir, last(path))?;
    Ok(refused)
}

/// As [`copy_file`], for a symlink.
fn copy_symlink(
    to: &OsStr,
    attributes: &Attributes,
    dir: &Dir,
    path: &Path,
) -> fsio::Result<Vec<NotKeptWhat>> {
    let (name, ()) = create_temporary(dir, path, |name| fsio::symlink(to, dir, name))?;
    let finish = || {
        let mut refused = Vec::new();
        if !attributes.is_owner(&fsio::stat(dir, &name)?) {
            let set = fsio::set_owner_of(dir, &name, attributes.stat.uid, attributes.stat.gid);
            unless_refused(set, || refused.push(NotKeptWhat::Owner))?;
        }
        for (attribute, value) in &attributes.xattrs {
            let set = xattr::set_of(dir, &name, attribute, value);
            unless_refused(set, || refused.push(NotKeptWhat::Xattr(attribute.clone())))?;
        }
        fsio::rename(dir, &name, dir, last(path))?;
        Ok(refused)
    };
    finish().inspect_err(|_| {
        // The first failure is the one to report.
        drop(fsio::remove_file_optional(dir, &name));
    })
}

impl Attributes {
    fn of_open(file: &impl AsFd) -> fsio::Result<Self> {
        Ok(Self { stat: fsio::stat_open(file)?, xattrs: xattr::list(file)? })
    }

    fn of_name(dir: &Dir, name: &OsStr) -> fsio::Result<Self> {
        Ok(Self { stat: fsio::stat(dir, name)?, xattrs: xattr::list_of(dir, name)? })
    }

    fn is_owner(&self, stat: &Stat) -> bool {
        (self.stat.uid, self.stat.gid) == (stat.uid, stat.gid)
    }

    /// Gives a file or directory these attributes, and returns those that the system refused.
    fn put_on(&self, file: &impl AsFd) -> fsio::Result<Vec<NotKeptWhat>> {
        let mut refused = Vec::new();
        // The owner first: a change of it takes capabilities and setuid bits away.
        let found = fsio::stat_open(file)?;
        if !self.is_owner(&found) {
            let set = fsio::set_owner(file, self.stat.uid, self.stat.gid);
            unless_refused(set, || refused.push(NotKeptWhat::Owner))?;
        }
        let there = xattr::list(file)?;
        for (name, _) in &there {
            // Access lists, for one, are inherited from the directory. What the kernel's security modules put is theirs.
            let wanted = self.xattrs.iter().any(|(kept, _)| kept == name);
            if !wanted && !name.starts_with(b"security.") {
                unless_refused(xattr::remove(file, name), || refused.push(NotKeptWhat::Xattr(name.clone())))?;
            }
        }
        for pair @ (name, value) in &self.xattrs {
            if !there.contains(pair) {
                let set = xattr::set(file, name, value);
                unless_refused(set, || refused.push(NotKeptWhat::Xattr(name.clone())))?;
            }
        }
        // The mode last: it may forbid the rest. Without the owner, setuid would hand rights to somebody else.
        let mode =
            if refused.contains(&NotKeptWhat::Owner) { self.stat.mode & 0o1777 } else { self.stat.mode };
        if fsio::stat_open(file)?.mode != mode {
            fsio::set_mode(file, mode)?;
        }
        Ok(refused)
    }
}

/// Lets pass what needs privileges that we have not, or a filesystem that can.
fn unless_refused(result: fsio::Result<()>, note: impl FnOnce()) -> fsio::Result<()> {
    match result {
        Err(error)
            if matches!(
                error.source.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            note();
            Ok(())
        }
        other => other,
    }
}
