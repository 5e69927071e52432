//! How a store keeps objects, and its limits and habits.

use crate::{DecodeError, ObjectId};
use sapwood_fsio::lock::Wait;
use std::time::Duration;

/// How objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Files are the real inodes, with owner and attributes: hardlinked into deployments. Needs root for foreign owners.
    Bare,
    /// Files belong to whoever runs the program; the truth is in a user attribute.
    BareUser,
    /// As `BareUser`, but owner and attributes are not kept at all.
    BareUserOnly,
    /// Compressed, for serving.
    Archive,
    /// As `Bare`, with attributes in objects of their own. OSTree writes it as an experiment; here it is only read.
    BareSplitXattrs,
}

impl Mode {
    /// As the configuration spells it: `bare`, `bare-user`, `bare-user-only`, `archive-z2`, `bare-split-xattrs`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareUser => "bare-user",
            Self::BareUserOnly => "bare-user-only",
            Self::Archive => "archive-z2",
            Self::BareSplitXattrs => "bare-split-xattrs",
        }
    }

    /// Reads that spelling, and `archive`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "bare" => Some(Self::Bare),
            "bare-user" => Some(Self::BareUser),
            "bare-user-only" => Some(Self::BareUserOnly),
            "archive-z2" | "archive" => Some(Self::Archive),
            "bare-split-xattrs" => Some(Self::BareSplitXattrs),
            _ => None,
        }
    }
}

/// Free space to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// This share of the filesystem, in percent.
    Percent(u8),
    /// This many bytes.
    Bytes(u64),
}

impl Reserve {
    /// How much that is on a filesystem, in bytes.
    pub fn on(self, space: sapwood_fsio::FreeSpace) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => space.total_bytes / 100 * u64::from(percent),
        }
    }
}

/// Limits and habits of a store.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct StoreOptions {
    /// Whether writes are synced. Default: yes.
    pub fsync: bool,
    /// Compression level of archived content; `None` is the format's default (deflate 6, zstd 3).
    pub compression_level: Option<i32>,
    /// Free space that transactions leave. Default: none.
    pub reserve: Reserve,
    /// Whether each file is synced when it is written, so that little is left for the sync at the end. Default: no.
    pub per_object_fsync: bool,
    /// From which size on, in bytes, files with the same content share their blocks, where the filesystem can. Default:
    /// none do.
    pub payload_link_threshold: Option<u64>,
    /// How long to wait for the repository's lock. Default: 300 s.
    pub lock_wait: Wait,
    /// Whether locks are taken at all. Default: yes.
    pub locking: bool,
    /// Whether extended attributes are kept. Default: yes.
    pub xattrs: bool,
    /// Whether an archive store keeps uncompressed files for checkouts as the user. Default: yes.
    pub uncompressed_cache: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            fsync: true,
            compression_level: None,
            reserve: Reserve::Bytes(0),
            per_object_fsync: false,
            payload_link_threshold: None,
            lock_wait: Wait::For(Duration::from_mins(5)),
            locking: true,
            xattrs: true,
            uncompressed_cache: true,
        }
    }
}

/// How a file left the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// A second name of the object itself.
    Linked,
    /// Shares its extents.
    Reflinked,
    /// A copy.
    Copied,
}

/// Which ways of delivering a file are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkPolicy {
    /// Hardlink, else reflink, else copy.
    #[default]
    Prefer,
    /// Hardlink or fail; empty files, of which links would save nothing, are still copied.
    Require,
    /// Never hardlink.
    Copy,
}

/// What [`Store::verify`](crate::Store::verify) found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It hashes to its name.
    Good,
    /// It hashes to this.
    Corrupt(ObjectId),
    /// It is not a valid object. Metadata has been found to hash to its name before.
    Malformed(DecodeError),
    /// No file is in its place, or one past all limits.
    Unreadable,
    /// It is not there.
    Missing,
}
