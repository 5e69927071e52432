//! What can go wrong with stored objects.

use crate::{ObjectId, ObjectName};

/// Bytes that are not a valid object of their kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub struct DecodeError {
    /// Where in the input.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store has no such object.
    #[error("object {name} is missing")]
    Missing {
        /** Which. */
        name: ObjectName,
    },
    /// The stored bytes hash to something else: disk corruption, or tampering.
    #[error("object {name} is corrupt: its content hashes to {actual}")]
    Corrupt {
        /** What it is stored as. */
        name: ObjectName,
        /** The id of its bytes. */
        actual: ObjectId,
    },
    /// The bytes are not a valid object.
    #[error("object {name} is malformed")]
    Malformed {
        /** Which. */
        name: ObjectName,
        /** Where and why. */
        source: DecodeError,
    },
    /// Larger than the limit for its kind.
    #[error("object {name} is larger than {limit_bytes} bytes")]
    TooLarge {
        /** Which. */
        name: ObjectName,
        /** The limit. */
        limit_bytes: u64,
    },
    /// The mode of the store cannot hold this file.
    #[error("a {mode} repository cannot hold {what}")]
    Unsupported {
        /** The mode. */
        mode: &'static str,
        /** What it cannot hold. */
        what: String,
    },
    /// A hardlink is required, and files of this mode are not what such a checkout has.
    #[error("files of a {mode} repository cannot be hardlinked into this kind of checkout")]
    NoLink {
        /** The mode. */
        mode: &'static str,
    },
    /// The free-space reserve would be used up.
    #[error(
        "{needed_bytes} bytes needed, but only {available_bytes} are free beyond the reserve of {reserve_bytes}"
    )]
    NoSpace {
        /** Wanted. */
        needed_bytes: u64,
        /** Had. */
        available_bytes: u64,
        /** Kept back. */
        reserve_bytes: u64,
        /** The same, as it is configured. */
        reserve: crate::Reserve,
    },
    /// Reading the content to be stored failed.
    #[error("cannot read the content to store")]
    Source(#[source] std::io::Error),
    /// The repository's lock was not got.
    #[error(transparent)]
    Lock(#[from] sapwood_fsio::lock::LockError),
    /// A file operation inside the store failed.
    #[error(transparent)]
    Io(#[from] sapwood_fsio::Error),
}
