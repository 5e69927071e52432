//! The object model: checked values, no I/O, no format.

mod commit;
mod file;
mod meta;
mod name;
mod tree;
mod xattrs;

pub use commit::{Commit, Metadata, Totals, Value};
pub use file::{FileHeader, FileType};
pub use meta::DirMeta;
pub use name::{EntryName, NameError};
pub use tree::{DirEntry, DirTree, FileEntry};
pub use xattrs::{XattrError, Xattrs};
