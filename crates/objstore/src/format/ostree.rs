//! OSTree's codec: GVariant in normal form, little-endian framing, owners, modes and times swapped to big-endian.
//!
//! The decoders take what an honest OSTree writes and nothing else: exact types, normal form, names that are valid,
//! ascending and unique, ids of 32 bytes, modes of the right type. What they accept encodes to the same bytes again.

mod commit;
mod file;
mod tree;

pub(super) use commit::{decode_commit, decode_metadata, encode_commit, encode_metadata};
pub(super) use file::{
    PREFIX_BYTES, decode_split_xattrs, decode_user_meta, encode_archive_header, encode_user_meta,
    file_prefix, read_archive_header,
};
pub(super) use tree::{decode_dirmeta, decode_dirtree, encode_dirmeta, encode_dirtree};

#[cfg(test)]
mod tests;
