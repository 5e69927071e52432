//! The `/var` of a stateroot: one for all of its deployments.
//!
//! An update never touches it. Only while it is as new, with nothing in it but the directories made here, is it filled
//! from the first commit that has content for it: beside it, durable, then exchanged. One that is mounted there is not
//! new, whatever is in it: it is that of a running system, or of whoever mounted it, and cannot be exchanged.

use crate::deployment::{Deployment, StaterootName};
use crate::labels::{self, Relabel};
use crate::{Result, Sysroot, layout, tree};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::LinkPolicy;
use sapwood_repo::selinux::Labels;
use sapwood_repo::{Node, Root, TreePath, WalkEntry};
use std::path::Path;

/// The directories of a new `/var`, and their modes.
const DIRS: [(&str, u32); 3] = [("tmp", 0o1777), ("lib", 0o755), ("log", 0o755)];
/// Its links: programs that know nothing of `/run` find there what is gone after a reboot.
const LINKS: [(&str, &str); 2] = [("run", "../run"), ("lock", "../run/lock")];
const VAR: &str = "var";
const NEW_VAR: &str = ".var-new";
/// A stamp of systemd: services that run once for an update run when it is missing.
const UPDATED: &str = ".updated";

/// Creates `var` in the directory of a stateroot.
pub(crate) fn create(stateroot: &Dir) -> Result<()> {
    add_missing(&fsio::create_dir(stateroot, VAR, 0o755)?)
}

fn add_missing(var: &Dir) -> Result<()> {
    for (name, mode) in DIRS {
        if fsio::stat_optional(var, name)?.is_none() {
            fsio::create_dir(var, name, mode)?;
        }
    }
    for (name, target) in LINKS {
        if fsio::stat_optional(var, name)?.is_none() {
            fsio::symlink(target, var, name)?;
        }
    }
    Ok(())
}

/// Where a `/var` is made.
pub(crate) fn unfinished(stateroot: &StaterootName) -> String {
    format!("{}/{NEW_VAR}", layout::stateroot_dir(stateroot))
}

/// What became of the content for `/var` in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Var {
    /// It has none.
    Nothing,
    /// The stateroot got it.
    Populated,
    /// The stateroot has its own already.
    Ignored,
}

/// Whether nothing was put into a `/var` yet.
fn is_new(var: &Dir) -> Result<bool> {
    for entry in fsio::entries(var)? {
        let dir = DIRS.iter().any(|(name, _)| *name == entry.name) && entry.kind == Kind::Dir;
        let link = LINKS.iter().any(|(name, _)| *name == entry.name) && entry.kind == Kind::Symlink;
        let empty = link || (dir && fsio::entries(&fsio::open_dir(var, &entry.name)?)?.is_empty());
        if !empty {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the stamp by which systemd would take the system for not updated. Durable when it returns.
pub(crate) fn forget_update(
    sysroot: &Sysroot,
    stateroot: &StaterootName,
    current: &[Deployment],
) -> Result<()> {
    let mut dirs = vec![layout::var_dir(stateroot)];
    if current.iter().any(|deployment| deployment.booted && deployment.id.stateroot == *stateroot) {
        // What runs may have a filesystem of its own there.
        dirs.push(VAR.to_owned());
    }
    for dir in dirs {
        let stamp = format!("{dir}/{UPDATED}");
        // On what is mounted read-only, removing fails even where there is nothing.
        if fsio::stat_optional(sysroot.root(), &stamp)?.is_some()
            && fsio::remove_file_optional(sysroot.root(), stamp)?
        {
            fsio::sync_dir(&fsio::open_dir_followed(sysroot.root(), &dir)?)?;
        }
    }
    Ok(())
}

/// Makes sure that a stateroot has a `/var`, and fills a new one from the commit with this root.
///
/// What is new in it is labelled.
pub(crate) fn prepare(
    sysroot: &Sysroot,
    stateroot: &StaterootName,
    root: Root,
    labels: Option<&Labels>,
) -> Result<Var> {
    let label = |var: &Dir| match labels {
        Some(labels) => labels::relabel(var, "/var", labels, Relabel::Missing).map(drop),
        None => Ok(()),
    };
    let dir = fsio::open_dir(sysroot.root(), layout::stateroot_dir(stateroot))?;
    if fsio::stat_optional(&dir, VAR)?.is_none() {
        fsio::create_dir(&dir, VAR, 0o755)?;
    }
    let var = fsio::open_dir(&dir, VAR)?;
    // Before Linux 5.8, and where it is mounted out of sight, nobody can tell: then it cannot be exchanged.
    let is_mounted = fsio::mount::is_mount_point(&var).unwrap_or(false);
    let new = !is_mounted && is_new(&var)?;
    if new {
        add_missing(&var)?;
        label(&var)?;
    }
    let path = TreePath::parse("/var")?;
    let Some(Node::Dir(content)) = tree::lookup(sysroot, root, &path)? else { return Ok(Var::Nothing) };
    if !has_content(sysroot, content)? {
        return Ok(Var::Nothing);
    }
    if !new {
        return Ok(Var::Ignored);
    }
    fsio::remove_tree(&dir, NEW_VAR)?;
    tree::checkout(sysroot, root, Some(&path), &dir, Path::new(NEW_VAR), LinkPolicy::Copy, &|_| {})?;
    let filled = fsio::open_dir(&dir, NEW_VAR)?;
    add_missing(&filled)?;
    label(&filled)?;
    fsio::syncfs(&dir)?;
    match fsio::exchange(&dir, NEW_VAR, &dir, VAR) {
        Err(error) if cannot_exchange(&error) => {
            // Each filesystem replaces an empty directory.
            for entry in fsio::entries(&var)? {
                fsio::remove_tree(&var, &entry.name)?;
            }
            fsio::rename(&dir, NEW_VAR, &dir, VAR)?;
        }
        Err(error) if is_in_use(&error) => {
            fsio::remove_tree(&dir, NEW_VAR)?;
            return Ok(Var::Ignored);
        }
        exchanged => exchanged?,
    }
    fsio::sync_dir(&dir)?;
    fsio::remove_tree(&dir, NEW_VAR)?;
    Ok(Var::Populated)
}

/// Whether the filesystem is one that never exchanges names.
fn cannot_exchange(error: &fsio::Error) -> bool {
    let unsupported = [Errno::INVAL, Errno::NOSYS].map(Errno::raw_os_error);
    error.source.raw_os_error().is_some_and(|errno| unsupported.contains(&errno))
}

/// Whether something is mounted there, in this mount namespace or another.
fn is_in_use(error: &fsio::Error) -> bool {
    error.source.raw_os_error() == Some(Errno::BUSY.raw_os_error())
}

/// Whether a `/var` in a commit has more than directories, and the links that each has.
fn has_content(sysroot: &Sysroot, content: Root) -> Result<bool> {
    for entry in sysroot.repo().walk(content) {
        if let WalkEntry::File { path, .. } = entry?
            && !LINKS.iter().any(|(name, _)| path.trim_start_matches('/') == *name)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
