//! A content-addressed store of operating system trees.
//!
//! Objects (commits, directory trees, directory metadata, files) are named by a digest of their bytes. The model is
//! neutral; a [`Format`] is a digest and a codec for it, and there are exactly two: the native one and OSTree's. A
//! [`Store`] keeps objects of one format in one [`Mode`] below a repository directory, and knows nothing of refs.

mod deliver;
mod digest;
mod error;
mod format;
pub mod gvariant;
mod id;
mod layout;
mod mode;
mod object;
mod read;
mod store;
mod txn;
mod uncompressed;

pub use digest::{Digest, VerifyReader};
pub use error::{DecodeError, Error};
pub use format::{ArchiveHeader, Compressor, Format, MetaObject};
pub use id::{Id, Kind, ObjectId, ObjectKind, ObjectName, ParseIdError, Prefix, kind};
pub use mode::{Delivered, LinkPolicy, Mode, Reserve, StoreOptions, Verdict};
pub use object::{
    Commit, DirEntry, DirMeta, DirTree, EntryName, FileEntry, FileHeader, FileType, Metadata, NameError,
    Totals, Value, XattrError, Xattrs,
};
pub use read::{FileObject, FileReader};
pub use store::{RepoLock, Store};
pub use txn::{Leftover, OnDamaged, PublishGuard, Published, Room, Rooms, Transaction, Trust};
pub use uncompressed::Uncompressed;
