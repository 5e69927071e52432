//! The two formats: a digest and a codec each for the one object model. Pure; no I/O.

mod native;
mod ostree;

use crate::{Commit, DecodeError, DirMeta, DirTree, FileHeader, Metadata, ObjectId, ObjectKind};
use std::io::{Read, Write};

/// A digest and a codec. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// BLAKE3, postcard, zstd. Specified in `docs/FORMAT.md`.
    Native,
    /// SHA-256, GVariant, deflate: OSTree's.
    Ostree,
}

/// What stands before the compressed content of a file in an archive repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveHeader {
    /// The file's header.
    pub header: FileHeader,
    /// Size of the content before compression, in bytes.
    pub size: u64,
    /// Length of this header in bytes: where the compressed content begins.
    pub encoded_len: usize,
}

/// Objects that are stored as their encoded bytes: all but files.
pub trait MetaObject: crate::Kind + Sized {
    /// The bytes that are stored and hashed.
    fn encode(&self, format: Format) -> Vec<u8>;
    /// Checks and reads them.
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl Format {
    /// Largest metadata object accepted, in bytes: 128 MiB.
    pub const MAX_META_BYTES: u64 = 128 << 20;

    /// The id of a metadata object (any kind but a file) with these bytes.
    pub fn id_of(self, kind: ObjectKind, bytes: &[u8]) -> ObjectId { todo!() }
    /// What is hashed before the content of a file.
    pub fn file_prefix(self, header: &FileHeader) -> Vec<u8> { todo!() }
    /// Whether the format can hold such a file.
    pub fn check_file(self, header: &FileHeader) -> Result<(), &'static str> { todo!() }
    /// The bytes before the compressed content in an archive repository.
    pub fn encode_archive_header(self, header: &FileHeader, size: u64) -> Vec<u8> { todo!() }
    /// Reads that from the beginning of an archived file; at most [`MAX_META_BYTES`](Self::MAX_META_BYTES) of it.
    pub fn read_archive_header(self, input: &mut dyn Read) -> std::io::Result<Result<ArchiveHeader, DecodeError>> { todo!() }
    /// The header as bare-user repositories keep it in an extended attribute. A symlink's target is not in it.
    pub fn encode_user_meta(self, header: &FileHeader) -> Vec<u8> { todo!() }
    /// Reads that. A symlink comes with an empty target, which the caller fills in.
    pub fn decode_user_meta(self, bytes: &[u8]) -> Result<FileHeader, DecodeError> { todo!() }
    /// The name of that attribute.
    pub fn user_meta_attribute(self) -> &'static str { todo!() }
    /// Detached metadata as it is stored beside a commit.
    pub fn encode_metadata(self, metadata: &Metadata) -> Vec<u8> { todo!() }
    /// Reads that.
    pub fn decode_metadata(self, bytes: &[u8]) -> Result<Metadata, DecodeError> { todo!() }
    /// Compresses content as archive repositories keep it; finish by dropping via the returned writer's `finish`.
    pub fn compressor<'w>(self, to: Box<dyn Write + Send + 'w>, level: Option<i32>) -> std::io::Result<Box<dyn Compressor + 'w>> { todo!() }
    /// Decompresses such content. The caller limits how much it reads.
    pub fn decompressor<'r>(self, from: Box<dyn Read + Send + 'r>) -> std::io::Result<Box<dyn Read + Send + 'r>> { todo!() }
}

/// A compressing writer.
pub trait Compressor: Write + Send {
    /// Writes what is still held back.
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

impl MetaObject for Commit {
    fn encode(&self, format: Format) -> Vec<u8> { todo!() }
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
}
impl MetaObject for DirTree {
    fn encode(&self, format: Format) -> Vec<u8> { todo!() }
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
}
impl MetaObject for DirMeta {
    fn encode(&self, format: Format) -> Vec<u8> { todo!() }
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
}
