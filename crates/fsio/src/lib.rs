//! Durable, directory-relative file operations.
//!
//! Everything that Sapwood writes to a disk goes through this crate, so that one place knows how to stage, sync,
//! rename and lock, and so that tests can make any single write the last one before a crash ([`fault`]).
//!
//! Functions take a [`Dir`] and a path relative to it. The last component is never followed when it is a symlink;
//! the components before it are resolved inside the directory, so nothing outside of it is ever touched. Paths that are
//! empty, absolute, or end in `..` are refused.
//!
//! # Example
//!
//! ```
//! use sapwood_fsio as fsio;
//! use std::io::Write;
//!
//! # let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority())?;
//! // One small file, durable when this returns, old or new after a crash at any moment:
//! fsio::replace(&dir, "config", 0o644, b"[core]\n")?;
//!
//! // Many files: written, made durable together, then made visible.
//! let objects = fsio::ensure_dir(&dir, "objects", 0o755)?;
//! let mut staged = fsio::Staged::create(&dir)?;
//! staged.write_all(b"content")?;
//! fsio::syncfs(&dir)?;
//! staged.publish_noreplace(&objects, "ab12")?;
//! fsio::sync_dir(&objects)?;
//!
//! assert_eq!(fsio::read(&dir, "objects/ab12", 1 << 20)?, b"content");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What has to be mounted
//!
//! `/proc`: extended attributes by name, and modes of files that were opened with `O_PATH`, go through
//! `/proc/self/fd`, as Linux has no other way that works on all kernels in use.

mod at;
mod checkpoint;
mod copy;
mod dir;
mod error;
pub mod fault;
mod file;
mod filesystem;
pub mod lock;
mod meta;
pub mod mount;
mod remove;
mod scratch;
pub mod xattr;

pub use cap_std::fs::Dir;
pub use checkpoint::checkpoint;
pub use copy::{copy_contents, copy_range, reflink};
pub use dir::{
    Entry, Kind, create_dir, ensure_dir, entries, exchange, hardlink, make_node, open_dir, open_dir_followed,
    open_dir_optional, read_link, remove_dir, remove_file, remove_file_optional, rename, rename_noreplace,
    replace_symlink, symlink, sync_dir, syncfs,
};
pub use error::{At, Error, Result};
pub use file::{
    Staged, append, open_file, open_file_and_stat, open_file_optional, read, read_optional, replace,
};
pub use filesystem::{ChangeTimes, Filesystem, boot_id, filesystem};
pub use meta::{
    FreeSpace, Stat, free_space, is_fat, may_reflink, set_immutable, set_mode, set_mode_of, set_mtime,
    set_owner, set_owner_of, stat, stat_dir, stat_open, stat_optional,
};
pub use remove::remove_tree;
pub use scratch::Scratch;
