//! The native codec; see `docs/FORMAT.md`.
//!
//! Records are postcard after a version byte. What is decoded is encoded again and compared, so there is one form only.

mod commit;
mod file;
mod record;
mod tree;

pub(super) use commit::{decode_commit, decode_metadata, encode_commit, encode_metadata};
pub(super) use file::{
    PREFIX_BYTES, decode_user_meta, encode_archive_header, encode_user_meta, file_prefix, read_archive_header,
};
pub(super) use tree::{decode_dirmeta, decode_dirtree, encode_dirmeta, encode_dirtree};

/// Sizes and totals are less than this. A number that is missing is written as `u64::MAX`, which no decoder takes.
const SIZE_LIMIT: u64 = 1 << 63;

#[cfg(test)]
mod tests;
