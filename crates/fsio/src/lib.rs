//! Durable, directory-relative file operations.
//!
//! Everything that Sapwood writes to a disk goes through this crate, so that one place knows how to stage, sync,
//! rename and lock, and so that tests can make any single write the last one before a crash ([`fault`]).
//!
//! Functions take a [`Dir`] and a path relative to it. The last component is never followed when it is a symlink;
//! the components before it are resolved inside the directory, so nothing outside of it is ever touched.

mod at;
mod copy;
mod dir;
mod error;
pub mod fault;
mod file;
pub mod lock;
mod meta;
mod remove;
pub mod xattr;

pub use cap_std::fs::Dir;
pub use copy::{copy_contents, copy_range, reflink};
pub use dir::{
    Entry, Kind, create_dir, ensure_dir, entries, exchange, hardlink, make_node, open_dir, open_dir_optional,
    read_link, remove_dir, remove_file, remove_file_optional, rename, rename_noreplace, replace_symlink,
    symlink, sync_dir, syncfs,
};
pub use error::{At, Error, Result};
pub use file::{Staged, open_file, open_file_optional, read, read_optional, replace};
pub use meta::{
    FreeSpace, Stat, free_space, set_immutable, set_mode, set_mode_of, set_mtime, set_owner, set_owner_of,
    stat, stat_dir, stat_open, stat_optional,
};
pub use remove::remove_tree;
