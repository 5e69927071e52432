//! Entries of a layer that stand for what is not there.
//!
//! *Docker's* take effect on what the destination has from layers below: `.wh.NAME` removes NAME, `.wh..wh..opq` the directory
//! itself, or what else has its name, so that nothing of it is left. They are seen to before anything of their own layer is made, so they never hide that.
//! *Overlay's*, passed through as `.ostree-wh.NAME`, become the devices that the kernel takes for whiteouts.

use crate::{Error, Result};
use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::{DirTree, FileEntry};
use std::path::Path;

const OVERLAY_PREFIX: &str = ".ostree-wh.";
const DOCKER_PREFIX: &str = ".wh.";
const DOCKER_OPAQUE: &str = ".wh..wh..opq";

/// The name that a file passed through hides, if it stands for a whiteout.
pub(super) fn passed_through(entry: &FileEntry) -> Option<&Path> {
    let hidden = entry.name.as_str().strip_prefix(OVERLAY_PREFIX)?;
    is_name(hidden).then(|| Path::new(hidden))
}

/// Whether a file is a whiteout of Docker's, which is not made itself.
pub(super) fn is_docker(entry: &FileEntry) -> bool {
    entry.name.as_str().starts_with(DOCKER_PREFIX)
}

/// Whether a directory takes the place of whatever has its name in the layers below.
pub(super) fn is_opaque(tree: &DirTree) -> bool {
    tree.file(DOCKER_OPAQUE).is_some()
}

/// Removes from `dir`, which was there already, what the whiteouts of `tree` say, save those that are left out.
pub(super) fn apply(dir: &Dir, tree: &DirTree, is_skipped: &dyn Fn(&str) -> bool) -> Result<()> {
    let whiteouts = tree.files().iter().filter(|entry| is_docker(entry) && !is_skipped(entry.name.as_str()));
    for entry in whiteouts {
        apply_one(dir, entry)?;
    }
    Ok(())
}

/// Removes from `dir` what one whiteout says; an opaque one says nothing where no directory is checked out.
pub(super) fn apply_one(dir: &Dir, entry: &FileEntry) -> Result<()> {
    match entry.name.as_str().strip_prefix(DOCKER_PREFIX) {
        Some(hidden) if entry.name.as_str() != DOCKER_OPAQUE => {
            Ok(fsio::remove_tree(dir, checked(entry, hidden)?)?)
        }
        _ => Ok(()),
    }
}

/// Refuses whiteouts that hide nothing.
pub(super) fn check(tree: &DirTree) -> Result<()> {
    for entry in tree.files() {
        if let Some(hidden) = entry.name.as_str().strip_prefix(DOCKER_PREFIX) {
            checked(entry, hidden)?;
        }
    }
    Ok(())
}

fn checked<'a>(entry: &FileEntry, hidden: &'a str) -> Result<&'a str> {
    if is_name(hidden) { Ok(hidden) } else { Err(Error::BadWhiteout { name: entry.name.to_string() }) }
}

fn is_name(hidden: &str) -> bool {
    !matches!(hidden, "" | "." | "..")
}
