//! SELinux labels of what is not as it was committed: the `/etc` of a deployment, a new `/var`, and overlays.
//!
//! They are those of the policy that the deployment's own tree has. Where it has none, or who deploys may not set labels,
//! there are none to set.

use crate::{Result, Sysroot, tree};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Dir, Kind, xattr};
use sapwood_repo::Ownership;
use sapwood_repo::selinux::{LABEL, LabelEpoch, Labels, Policy};
use std::path::Path;
use std::sync::Arc;

/// Which files get a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relabel {
    /// Those that have another one than the policy says.
    All,
    /// Those that have none.
    Missing,
}

/// The labels of a tree that is installed; `None` where there are none to set.
pub(crate) fn of_tree(sysroot: &Sysroot, tree: &Dir) -> Result<Option<Labels>> {
    if tree::ownership(sysroot) != Ownership::Full || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    of_root(tree)
}

/// The labels by the policy of a root file system, if it has one.
fn of_root(root: &Dir) -> Result<Option<Labels>> {
    let policy = Policy::of_dir(root)?;
    let labels = |policy| Labels { policy: Arc::new(policy), epoch: LabelEpoch::One, prefix: String::new() };
    Ok(policy.map(labels))
}

/// Labels `dir`, which is or will be at the absolute path `at` of the running system, and all below it; says how many
/// files got a label. Nothing is followed. Where the filesystem has no labels, or this process may not set them, the rest
/// is left as it is.
///
/// Directories are descended into one after the other: whoever calls this knows that they are not nested without limit.
///
/// # Errors
/// When a label cannot be read or set for another reason, or the policy is malformed.
pub fn relabel(dir: &Dir, at: &str, labels: &Labels, which: Relabel) -> Result<u64> {
    let mut labeled = 0;
    match relabel_below(dir, at.trim_end_matches('/'), labels, which, &mut labeled) {
        Err(crate::Error::Io(error)) if is_refused(&error) => {
            tracing::warn!(%error, at, "labels cannot be set here");
            Ok(labeled)
        }
        other => other.map(|()| labeled),
    }
}

/// Has `upper`, which is to be laid over `lower`, look like it: an overlay shows its own root as the upper directory is,
/// with its mode and its label. Where labels cannot be set, it gets none.
pub(crate) fn imitate(upper: &Dir, lower: &Dir) -> fsio::Result<()> {
    fsio::set_mode(upper, fsio::stat_dir(lower)?.mode)?;
    let Some(label) = xattr::get(lower, LABEL)? else { return Ok(()) };
    if xattr::get(upper, LABEL)?.as_ref() == Some(&label) {
        return Ok(());
    }
    match xattr::set(upper, LABEL, &label) {
        Err(error) if is_refused(&error) => {
            tracing::warn!(%error, "an overlay gets no label");
            Ok(())
        }
        set => set,
    }
}

/// Labels the directory `dir` alone, which is at the absolute path `at` of the system whose root is `root`, by the policy
/// of that system, if it has one.
pub(crate) fn label_dir(root: &Dir, dir: &Dir, at: &str) -> Result<()> {
    let Some(labels) = of_root(root)? else { return Ok(()) };
    if let Some(label) = wanted(xattr::get(dir, LABEL)?.as_deref(), at, Kind::Dir, &labels, Relabel::All)? {
        xattr::set(dir, LABEL, &label)?;
    }
    Ok(())
}

fn is_refused(error: &fsio::Error) -> bool {
    let refused = [Errno::PERM, Errno::ACCESS, Errno::NOTSUP].map(Errno::raw_os_error);
    error.source.raw_os_error().is_some_and(|errno| refused.contains(&errno))
}

fn relabel_below(dir: &Dir, at: &str, labels: &Labels, which: Relabel, labeled: &mut u64) -> Result<()> {
    let path = if at.is_empty() { "/" } else { at };
    if let Some(label) = wanted(xattr::get(dir, LABEL)?.as_deref(), path, Kind::Dir, labels, which)? {
        xattr::set(dir, LABEL, &label)?;
        *labeled += 1;
    }
    for entry in fsio::entries(dir)? {
        let Some(name) = entry.name.to_str() else { continue };
        let path = format!("{at}/{name}");
        if entry.kind == Kind::Dir {
            relabel_below(&fsio::open_dir(dir, name)?, &path, labels, which, labeled)?;
            continue;
        }
        let name = Path::new(name);
        if let Some(label) =
            wanted(xattr::get_of(dir, name, LABEL)?.as_deref(), &path, entry.kind, labels, which)?
        {
            xattr::set_of(dir, name, LABEL, &label)?;
            *labeled += 1;
        }
    }
    Ok(())
}

/// The label to set, if one is.
fn wanted(
    there: Option<&[u8]>,
    path: &str,
    kind: Kind,
    labels: &Labels,
    which: Relabel,
) -> Result<Option<Vec<u8>>> {
    if which == Relabel::Missing && there.is_some() {
        return Ok(None);
    }
    Ok(labels.of(path, kind)?.filter(|label| there != Some(label.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_over_a_directory_looks_like_it_and_a_directory_gets_the_label_of_its_path() {
        let root = cap_tempfile::tempdir(cap_std::ambient_authority()).unwrap();
        let dir = |name| fsio::ensure_dir(&root, name, 0o755).unwrap();
        let (lower, upper) = (dir("lower"), dir("upper"));
        fsio::set_mode(&lower, 0o711).unwrap();
        if xattr::set(&lower, LABEL, b"u:r:usr:s0\0").is_err() {
            imitate(&upper, &lower).unwrap();
            assert_eq!(fsio::stat_dir(&upper).unwrap().mode & 0o7777, 0o711);
            // Labels are for root.
            return;
        }
        for _ in 0..2 {
            imitate(&upper, &lower).unwrap();
            assert_eq!(fsio::stat_dir(&upper).unwrap().mode & 0o7777, 0o711);
            assert_eq!(xattr::get(&upper, LABEL).unwrap().as_deref(), Some(&b"u:r:usr:s0\0"[..]));
        }
        label_dir(&root, &upper, "/etc").unwrap();
        assert_eq!(xattr::get(&upper, LABEL).unwrap().as_deref(), Some(&b"u:r:usr:s0\0"[..]), "no policy");
        let contexts = dir("usr/etc/selinux/mini/contexts/files");
        fsio::replace(&contexts, "file_contexts", 0o644, b"/.* u:r:any:s0\n/etc(/.*)? u:r:etc:s0\n").unwrap();
        fsio::replace(&root, "usr/etc/selinux/config", 0o644, b"SELINUX=enforcing\nSELINUXTYPE=mini\n")
            .unwrap();
        label_dir(&root, &upper, "/etc").unwrap();
        assert_eq!(xattr::get(&upper, LABEL).unwrap().as_deref(), Some(&b"u:r:etc:s0\0"[..]));
    }
}
