//! Static deltas of OSTree: what one commit has more than another, in few large files.
//!
//! A delta is a superblock (target commit, list of parts, objects to be fetched one by one) and its parts (a blob and
//! operations that make objects of it and of files that the source commit has). Nothing in a delta is believed: parts
//! are verified against the superblock, every object they make against its own id before it enters the store.
//!
//! Reading is in three steps: [`Superblock::decode`] and [`PartPayload::open`] parse, [`recipes`] plans, and
//! [`Repo::apply_delta`](crate::Repo::apply_delta) makes the objects.

mod apply;
mod content;
mod generate;
mod list;
mod listed;
mod name;
mod ops;
mod part;
mod patch;
mod signed;
mod superblock;

pub use apply::{apply_part, part_is_here};
pub use generate::{DeltaOptions, DeltaStats};
pub use list::DeltaFiles;
pub(crate) use list::{SUPERBLOCK, names_of};
pub(crate) use listed::LISTED;
pub use listed::ListedDelta;
pub(crate) use name::{DELTAS, INDEXES};
pub use name::{DeltaName, delta_index_path};
pub use ops::{Operation, Operations, Piece, Recipe, recipes};
pub use part::{ModeRow, PartPayload};
pub use patch::PatchedFile;
pub use superblock::{ByteOrder, Fallback, PartInfo, Superblock};

use sapwood_objstore::{Commit, DecodeError, Format, Id, ObjectId, ObjectKind, ObjectName};

/// Largest superblock accepted, in bytes; parts may be in it.
pub(crate) const MAX_SUPERBLOCK_BYTES: u64 = 1 << 30;
/// Largest part accepted, in bytes, compressed or not: a part is in memory as a whole.
pub(crate) const MAX_PART_BYTES: u64 = 2 << 30;

/// Why a static delta cannot be used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// There is no such delta.
    #[error("there is no delta {name}")]
    Missing {
        /** Which. */
        name: String,
    },
    /// Its bytes are not what they should be.
    #[error("the {what} of the delta is malformed")]
    Malformed {
        /** `superblock`, `part`, `operations`. */
        what: &'static str,
        /** Where, and why. */
        source: DecodeError,
    },
    /// A superblock is another than the list of deltas names.
    #[error("the superblock of the delta is corrupt: it hashes to {actual} instead of {expected}")]
    OtherSuperblock {
        /** SHA-256 that it should have. */
        expected: ObjectId,
        /** That it has. */
        actual: ObjectId,
    },
    /// A part is another than the superblock names.
    #[error("a part of the delta is corrupt: it hashes to {actual} instead of {expected}")]
    Corrupt {
        /** SHA-256 that it should have. */
        expected: ObjectId,
        /** That it has. */
        actual: ObjectId,
    },
    /// The commit that it builds on is not here.
    #[error("Commit {id}, which is the delta source, is not in repository")]
    NoSource {
        /** Which. */
        id: Id<Commit>,
    },
    /// It does not hold all of its target, and what it lacks is not here.
    #[error("the delta leaves {name} to be fetched by itself")]
    Incomplete {
        /** The first object that is missing. */
        name: ObjectName,
    },
    /// Something is larger than its limit.
    #[error("a {what} of the delta is larger than {limit_bytes} bytes")]
    TooLarge {
        /** `part`. */
        what: &'static str,
        /** The limit. */
        limit_bytes: u64,
    },
    /// A part cannot be decompressed.
    #[error("a part of the delta cannot be decompressed")]
    Decompress(#[source] std::io::Error),
    /// A part cannot be made.
    #[error("a part of the delta cannot be compressed")]
    Compress(#[source] std::io::Error),
    /// It has something that this version does not know.
    #[error("this version does not know {what} of deltas")]
    Unsupported {
        /** `signatures`, `the compression of a part`. */
        what: &'static str,
    },
    /// The repository is of the native format, which has no static deltas.
    #[error("static deltas are for repositories of OSTree's format")]
    NotOstree,
}

/// SHA-256, by which superblocks and parts are known.
pub(crate) fn delta_digest(bytes: &[u8]) -> ObjectId {
    // OSTree's metadata objects are named by the plain SHA-256 of their bytes, so this is one.
    Format::Ostree.id_of(ObjectKind::Commit, bytes)
}
