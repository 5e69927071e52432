//! The tree of a new deployment: checked out, with an `/etc` of its own.
//!
//! It is made where it will be. A crash leaves a part of it, which no boot entry names: the next run removes it.

use crate::deployment::DeploymentId;
use crate::etc::{self, Defaults};
use crate::{Result, Sysroot, layout};
use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::{LinkPolicy, Mode};
use sapwood_repo::{Checkout, CheckoutEvent, CheckoutOptions, Node, Ownership, Root, TreePath};
use std::path::Path;

/// What is at a path of a commit.
pub(crate) fn lookup(sysroot: &Sysroot, root: Root, path: &TreePath) -> Result<Option<Node>> {
    match sysroot.repo().lookup(root, path) {
        Ok(node) => Ok(Some(node)),
        Err(sapwood_repo::Error::NoSuchPath { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As whose what is checked out comes.
pub(crate) fn ownership(sysroot: &Sysroot) -> Ownership {
    match sysroot.repo().store().mode() {
        Mode::Bare => Ownership::Full,
        Mode::BareUserOnly => Ownership::User,
        Mode::BareUser | Mode::Archive | Mode::BareSplitXattrs => {
            if rustix::process::geteuid().is_root() {
                Ownership::Full
            } else {
                Ownership::User
            }
        }
    }
}

/// Checks out a tree, or a part of it, as its owner if the sysroot can have foreign owners, else as the user.
pub(crate) fn checkout(
    sysroot: &Sysroot,
    root: Root,
    subpath: Option<&TreePath>,
    parent: &Dir,
    name: &Path,
    links: LinkPolicy,
    on_files: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let ownership = ownership(sysroot);
    let options =
        CheckoutOptions { ownership, links, passthrough_whiteouts: true, ..CheckoutOptions::default() };
    let on_event = |event: CheckoutEvent| {
        let CheckoutEvent::Files { files } = event else { return };
        on_files(files);
    };
    sysroot.repo().checkout(&Checkout { root, subpath }, parent, name, &options, &on_event)?;
    Ok(())
}

/// Makes the tree of a deployment, with the defaults as its `/etc`. Not durable yet.
pub(crate) fn install(
    sysroot: &Sysroot,
    id: &DeploymentId,
    root: Root,
    on_files: &(dyn Fn(u64) + Sync),
) -> Result<Dir> {
    let defaults = etc::defaults(sysroot, id.commit, root)?;
    let parent = fsio::ensure_dir(sysroot.root(), layout::deployments_dir(&id.stateroot), 0o755)?;
    let name = id.dir_name();
    checkout(sysroot, root, None, &parent, Path::new(&name), LinkPolicy::Prefer, on_files)?;
    let tree = fsio::open_dir(&parent, &name)?;
    match defaults {
        Defaults::Nowhere => return Ok(tree),
        Defaults::UsrEtc => {
            if fsio::stat_optional(&tree, etc::ETC)?.is_some() {
                fsio::remove_dir(&tree, etc::ETC)?;
            }
        }
        Defaults::Etc => {
            fsio::ensure_dir(&tree, "usr", 0o755)?;
            fsio::rename(&tree, etc::ETC, &tree, etc::USR_ETC)?;
        }
    }
    etc::create(sysroot, &tree, root, defaults)?;
    Ok(tree)
}
