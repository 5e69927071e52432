//! Checking out trees: hardlinks where modes agree, else reflinks, else copies.
//!
//! A plan is made first, from values alone: what is checked out, and whether owners and links can be had from this
//! repository at all. Then several threads make directories and files. A directory is private (mode 0700) until all in
//! it is there; owner, attributes, mode and time come last. Every file is made relative to the open directory that
//! holds it and nothing is ever followed, so a symlink in the destination leads nowhere.

mod apply;
mod place;
mod plan;
mod whiteout;

use crate::selinux::Labels;
use crate::{Repo, Result, Root, TreePath, pool};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::LinkPolicy;
use std::collections::HashSet;
use std::path::Path;

/// What becomes of owners and attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// As committed; foreign owners need root. Files of a `bare-user-only` repository have none, and come as `User`.
    #[default]
    Full,
    /// Everything belongs to the user who runs the program, without extended attributes, and files are never setuid or
    /// setgid.
    User,
}

/// What happens to files that are there already. Directories that are there are merged and keep their attributes;
/// a directory is never replaced by a file (but see [`CheckoutOptions::whiteouts`]), nor anything else by a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// The destination must not exist.
    #[default]
    Refuse,
    /// Files are replaced, each atomically.
    UnionFiles,
    /// Whatever is there stays.
    AddFiles,
    /// Files that are there must be the same: kind, content, owner, mode and attributes.
    UnionIdentical,
}

/// How a tree is checked out.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct CheckoutOptions {
    /// Owners and attributes.
    pub ownership: Ownership,
    /// Files in the way.
    pub overwrite: Overwrite,
    /// Hardlinks or copies. Empty files are always copied.
    pub links: LinkPolicy,
    /// Labels that are given to what is made; what the policy has none for keeps the committed one. Files are copied then.
    /// Without effect in checkouts as the user. Default: none.
    pub labels: Option<Labels>,
    /// Whether the checkout is synced before it is reported as done. Default: no; deployments sync for themselves.
    pub fsync: bool,
    /// Whether new directories get modification time 0. Default: yes.
    pub zero_dir_mtime: bool,
    /// Whether modes of new directories are limited to 0775. Default: no, except for `bare-user-only` repositories.
    pub limit_dir_modes: bool,
    /// Paths that are left out, from the top of the checkout on, with `/` before each name; a directory, which
    /// has `/` at its end too, with all below. Without effect where a single file is checked out. Default: none.
    pub skip: HashSet<String>,
    /// Whether `.wh.NAME` removes NAME, and `.wh..wh..opq` all that a directory holds, from what was there before; then
    /// [`Overwrite::UnionFiles`] also replaces directories by files. Default: no.
    pub whiteouts: bool,
    /// Entries `.ostree-wh.NAME` become 0:0 character devices NAME. Default: no.
    pub passthrough_whiteouts: bool,
    /// Whether a checkout as the user from an archive repository takes files from the cache of uncompressed files, and
    /// adds to it. Default: yes; without effect where the configuration says no, or files are not to be hardlinked.
    pub use_cache: bool,
    /// Threads. Default: one for each core.
    pub threads: usize,
}

impl Default for CheckoutOptions {
    fn default() -> Self {
        Self {
            ownership: Ownership::default(),
            overwrite: Overwrite::default(),
            links: LinkPolicy::default(),
            labels: None,
            fsync: false,
            zero_dir_mtime: true,
            limit_dir_modes: false,
            skip: HashSet::new(),
            whiteouts: false,
            passthrough_whiteouts: false,
            use_cache: true,
            threads: pool::default_threads(),
        }
    }
}

/// Where to check out from.
#[derive(Debug, Clone)]
pub struct Checkout<'a> {
    /// The tree.
    pub root: Root,
    /// The directory or file in it; `None` is all of it.
    pub subpath: Option<&'a TreePath>,
}

/// What was checked out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckoutStats {
    /// Hardlinked files.
    pub linked: u64,
    /// Reflinked files.
    pub reflinked: u64,
    /// Copied files, and symlinks and nodes that were made anew.
    pub copied: u64,
    /// Directories that were made.
    pub dirs: u64,
    /// Files left as they were.
    pub kept: u64,
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckoutEvent {
    /// So many files until now.
    Files {
        /** How many. */
        files: u64,
    },
}

impl Repo {
    /// Checks out a tree as the directory `name` of `parent`.
    ///
    /// A subpath that is a file is put, under its own name, into the directory `name`, which is made (mode 0700) where
    /// it does not exist.
    ///
    /// With [`Overwrite::Refuse`] `name` must not exist, and its mode is the committed one only once all is there; a
    /// failed or killed checkout may leave a part, which the caller removes. With the others a failed or killed
    /// checkout leaves some files new and some as they were, each whole; checking out again completes it.
    ///
    /// # Errors
    /// - [`Error::NoSuchPath`] if there is nothing at the subpath; [`Error::OtherDevice`] if hardlinks are required and
    ///   cannot be had there. Nothing was written then.
    /// - [`Error::CheckoutConflict`] if something is in the way, [`Error::BadWhiteout`].
    /// - [`Error::CheckoutFile`] if a file is missing in the store, corrupt, or cannot be made or hardlinked as is required;
    ///   [`Error::Store`] if a directory is missing or corrupt.
    /// - [`Error::Io`], with the path in the checkout, if the disk is full or fails, or an owner may not be set.
    ///
    /// [`Error::NoSuchPath`]: crate::Error::NoSuchPath
    /// [`Error::OtherDevice`]: crate::Error::OtherDevice
    /// [`Error::CheckoutConflict`]: crate::Error::CheckoutConflict
    /// [`Error::BadWhiteout`]: crate::Error::BadWhiteout
    /// [`Error::CheckoutFile`]: crate::Error::CheckoutFile
    /// [`Error::Store`]: crate::Error::Store
    /// [`Error::Io`]: crate::Error::Io
    pub fn checkout(
        &self,
        from: &Checkout<'_>,
        parent: &Dir,
        name: &Path,
        options: &CheckoutOptions,
        on_event: &(dyn Fn(CheckoutEvent) + Sync),
    ) -> Result<CheckoutStats> {
        let devices = Devices { repo: fsio::stat_dir(self.dir())?.dev, destination: device(parent, name)? };
        let plan = plan::plan(self, from, options, devices)?;
        apply::apply(self, &plan, parent, name, on_event)
    }
}

/// On which devices both sides are.
#[derive(Debug, Clone, Copy)]
struct Devices {
    repo: u64,
    destination: u64,
}

/// Where a checkout will be: something may be mounted on a destination that exists.
fn device(parent: &Dir, name: &Path) -> Result<u64> {
    let found = fsio::stat_optional(parent, name)?.filter(|stat| stat.kind == Kind::Dir);
    Ok(match found {
        Some(stat) => stat.dev,
        None => fsio::stat_dir(parent)?.dev,
    })
}
