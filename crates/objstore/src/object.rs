//! The object model: checked values, no I/O, no format.

mod commit;
mod file;
mod meta;
mod name;
mod tree;
mod value;
mod xattrs;

pub use commit::{Commit, Metadata, Totals};
pub use file::{FileHeader, FileType};
pub use meta::DirMeta;
pub use name::{EntryName, NameError};
pub use tree::{DirEntry, DirTree, FileEntry};
pub(crate) use value::Budget;
pub use value::Value;
pub use xattrs::{XattrError, Xattrs};
