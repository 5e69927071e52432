//! What can go wrong with stored objects.

use crate::{NameError, ObjectId, ObjectName};

/// Bytes that are not a valid object of their kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub struct DecodeError {
    /// Where in the input.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl Error {
    /// Whether there is no room: the reserve, the disk or the quota would be used up.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Io(error) => error.is_no_space(),
            _ => false,
        }
    }

    /// Bytes that are no object of their kind; with the name in it, where that is what leads elsewhere.
    pub(crate) fn malformed(object: ObjectName, bytes: &[u8], source: DecodeError) -> Self {
        let text = bytes.get(source.offset..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        match text {
            Some(text) if source.what == NameError::Slash.what() && text.contains(&b'/') => {
                let text = text.get(..MAX_SHOWN_BYTES).unwrap_or(text);
                Self::SlashInName { object, text: String::from_utf8_lossy(text).into_owned() }
            }
            _ => Self::Malformed { name: object, source },
        }
    }
}

/// So much of a bad name is shown.
const MAX_SHOWN_BYTES: usize = 255;

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
    /// A name in a directory leads elsewhere.
    #[error("object {object} is malformed: the name {text:?} holds a slash")]
    SlashInName {
        /** Which. */
        object: ObjectName,
        /** The name, or its beginning. */
        text: String,
    },
    /// The bytes are not a valid object.
    #[error("object {name} is malformed")]
    Malformed {
        /** Which. */
        name: ObjectName,
        /** Where and why. */
        source: DecodeError,
    },
    /// What is beside a commit is no metadata. The commit itself may be good.
    #[error("the metadata beside commit {commit} is malformed")]
    Detached {
        /** The commit. */
        commit: crate::ObjectId,
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
    /// A device node, which would belong to the user, is not made for a checkout as the user.
    #[error("a device node is not made for the user")]
    DeviceForUser,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectKind;

    #[test]
    fn a_name_that_leads_elsewhere_is_told() {
        let object = ObjectName { kind: ObjectKind::DirTree, id: ObjectId::from_bytes([0; 32]) };
        let slash = |offset| DecodeError { offset, what: NameError::Slash.what() };
        let told = |bytes: &[u8], offset| match Error::malformed(object, bytes, slash(offset)) {
            Error::SlashInName { text, .. } => Some(text),
            _ => None,
        };
        assert_eq!(told(b"..../afile\0rest", 2).as_deref(), Some("../afile"));
        let long = [b"/".as_slice(), &[b'a'; 1000]].concat();
        assert_eq!(told(&long, 0).map(|text| text.len()), Some(255));
        // Where no such name is at the place, the place is told.
        assert_eq!(told(b"afile\0", 0), None);
        assert_eq!(told(b"a/b", 9), None);
    }
}
