//! SELinux labels of what is not as it was committed: the `/etc` of a deployment, and a new `/var`.
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
    let policy = Policy::of_dir(tree)?;
    Ok(policy.map(|policy| Labels {
        policy: Arc::new(policy),
        epoch: LabelEpoch::One,
        prefix: String::new(),
    }))
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
