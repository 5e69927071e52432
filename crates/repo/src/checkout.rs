//! Checking out trees: hardlinks where modes agree, else reflinks, else copies.

use crate::{Repo, Result, Root, TreePath};
use sapwood_fsio::Dir;
use sapwood_objstore::LinkPolicy;
use std::path::Path;

/// What becomes of owners and attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership { /** As committed; foreign owners need root. */ #[default] Full, /** Everything belongs to the user who runs the program, without extended attributes. */ User }

/// What happens to files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite { /** The destination must not exist. */ #[default] Refuse, /** Files are replaced, directories merged. */ UnionFiles, /** Files that are there stay. */ AddFiles, /** Files that are there must be the same. */ UnionIdentical }

/// How a tree is checked out.
#[derive(Debug, Clone)]
pub struct CheckoutOptions {
    /// Owners and attributes.
    pub ownership: Ownership,
    /// Files in the way.
    pub overwrite: Overwrite,
    /// Hardlinks or copies. Empty files are always copied.
    pub links: LinkPolicy,
    /// Whether the checkout is synced before it is reported as done. Default: no; deployments sync for themselves.
    pub fsync: bool,
    /// Whether directories keep modification time 0. Default: yes.
    pub zero_dir_mtime: bool,
    /// Entries `.ostree-wh.NAME` become 0:0 character devices NAME. Default: no.
    pub passthrough_whiteouts: bool,
    /// Threads. Default: one for each core.
    pub threads: usize,
}

/// Where to check out from.
#[derive(Debug, Clone)]
pub struct Checkout<'a> { /** The tree. */ pub root: Root, /** The directory or file in it; `None` is all of it. */ pub subpath: Option<&'a TreePath> }

/// What was checked out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckoutStats { /** Hardlinked files. */ pub linked: u64, /** Reflinked files. */ pub reflinked: u64, /** Copied files. */ pub copied: u64, /** Directories. */ pub dirs: u64, /** Files left as they were. */ pub kept: u64 }

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckoutEvent { /** So many files until now. */ Files { /** How many. */ files: u64 } }

impl Default for CheckoutOptions { fn default() -> Self { todo!() } }

impl Repo {
    /// Checks out a tree as the directory `name` of `parent`.
    ///
    /// With [`Overwrite::Refuse`] `name` must not exist, and appears complete or not at all to who looks after the
    /// call; a failed or killed checkout may leave a part, which the caller removes.
    pub fn checkout(&self, from: &Checkout<'_>, parent: &Dir, name: &Path, options: &CheckoutOptions, on_event: &(dyn Fn(CheckoutEvent) + Sync)) -> Result<CheckoutStats> { todo!() }
}
