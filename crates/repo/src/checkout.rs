//! Checking out trees: hardlinks where modes agree, else reflinks, else copies.
//!
//! A plan is made first, from values alone: what is checked out, and whether owners and links can be had from this
//! repository at all. Then several threads make directories and files. A directory is private (mode 0700) until all in
//! it is there; owner, attributes, mode and time come last. Every file is made relative to the open directory that
//! holds it and nothing is ever followed, so a symlink in the destination leads nowhere.

mod apply;
mod place;
mod plan;

use crate::{Repo, Result, Root, TreePath, pool};
use sapwood_fsio::Dir;
use sapwood_objstore::LinkPolicy;
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
/// a directory is never replaced by a file, nor anything else by a directory.
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
pub struct CheckoutOptions {
    /// Owners and attributes.
    pub ownership: Ownership,
    /// Files in the way.
    pub overwrite: Overwrite,
    /// Hardlinks or copies. Empty files are always copied.
    pub links: LinkPolicy,
    /// Whether the checkout is synced before it is reported as done. Default: no; deployments sync for themselves.
    pub fsync: bool,
    /// Whether new directories get modification time 0. Default: yes.
    pub zero_dir_mtime: bool,
    /// Entries `.ostree-wh.NAME` become 0:0 character devices NAME. Default: no.
    pub passthrough_whiteouts: bool,
    /// Threads. Default: one for each core.
    pub threads: usize,
}

impl Default for CheckoutOptions {
    fn default() -> Self {
        Self {
            ownership: Ownership::default(),
            overwrite: Overwrite::default(),
            links: LinkPolicy::default(),
            fsync: false,
            zero_dir_mtime: true,
            passthrough_whiteouts: false,
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
    /// - [`Error::NoSuchPath`](crate::Error::NoSuchPath) if there is nothing at the subpath, and
    ///   [`Error::NoLinks`](crate::Error::NoLinks) if hardlinks are required and this kind of checkout cannot have them.
    ///   Nothing was written then.
    /// - [`Error::CheckoutConflict`](crate::Error::CheckoutConflict) if something is in the way.
    /// - [`Error::CheckoutFile`](crate::Error::CheckoutFile) if a file is missing in the store, corrupt, or cannot be made;
    ///   [`Error::Store`](crate::Error::Store) if a directory is missing or corrupt.
    /// - [`Error::Io`](crate::Error::Io), with the path in the checkout, if the disk is full or fails, or an owner may
    ///   not be set.
    pub fn checkout(
        &self,
        from: &Checkout<'_>,
        parent: &Dir,
        name: &Path,
        options: &CheckoutOptions,
        on_event: &(dyn Fn(CheckoutEvent) + Sync),
    ) -> Result<CheckoutStats> {
        let plan = plan::plan(self, from, options)?;
        apply::apply(self, &plan, parent, name, on_event)
    }
}
