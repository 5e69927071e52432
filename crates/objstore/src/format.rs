//! The two formats: a digest and a codec each for the one object model. Pure; no I/O.

mod compress;
mod native;
mod ostree;

use crate::{
    Commit, DecodeError, Digest, DirMeta, DirTree, FileHeader, FileType, Metadata, ObjectId, ObjectKind,
    Xattrs,
};
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

impl ArchiveHeader {
    /// Whether nothing follows the header of a file that is not regular.
    ///
    /// # Errors
    /// The outer one when `input` fails, the inner one when it has not ended.
    pub fn check_end(&self, input: &mut dyn Read) -> std::io::Result<Result<(), DecodeError>> {
        let what = "bytes after the header of what is no regular file";
        let ends = read_exactly(input, 1)?.is_empty();
        Ok(if ends { Ok(()) } else { Err(DecodeError { offset: self.encoded_len, what }) })
    }
}

/// Largest header of a file in an archive repository, in bytes.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// Most attributes on one file or directory. Linux gives at most 64 KiB of names.
const MAX_XATTRS: usize = 1 << 15;

/// Longest target of a symlink, in bytes, as on Linux.
const MAX_TARGET_BYTES: usize = 4095;

/// Objects that are stored as their encoded bytes: all but files.
pub trait MetaObject: crate::Kind + Sized {
    /// The bytes that are stored and hashed.
    ///
    /// What the format cannot hold (a size that is missing in the native format, a NUL in a text) is encoded so that
    /// [`decode`](Self::decode) refuses it.
    fn encode(&self, format: Format) -> Vec<u8>;
    /// Whether the formats can hold it, as far as its size does not tell.
    ///
    /// # Errors
    /// What they cannot hold, for a message.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
    /// Checks and reads them. What is accepted encodes to the same bytes again.
    ///
    /// # Errors
    /// When the bytes are not an object of this kind, with the byte where they stop being one.
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl Format {
    /// Largest metadata object accepted, in bytes: 128 MiB.
    pub const MAX_META_BYTES: u64 = 128 << 20;

    /// What it is called: `native` or `ostree`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ostree => "ostree",
        }
    }

    /// What people call it: `native` or `ostree`, as in `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ostree => "ostree",
        }
    }

    /// The one that it is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Native => Self::Ostree,
            Self::Ostree => Self::Native,
        }
    }

    /// Whether directory entries carry the size of their content, and commits their totals.
    pub fn records_sizes(self) -> bool {
        match self {
            Self::Native => true,
            Self::Ostree => false,
        }
    }
    /// Whether extended attributes with an empty value are recorded from disk. OSTree leaves them out when it commits,
    /// and they take part in ids.
    pub fn records_empty_xattrs(self) -> bool {
        match self {
            Self::Native => true,
            Self::Ostree => false,
        }
    }
    /// The id of a metadata object (any kind but a file) with these bytes.
    pub fn id_of(self, kind: ObjectKind, bytes: &[u8]) -> ObjectId {
        let mut digest = Digest::new(self, kind);
        digest.update(bytes);
        digest.finish()
    }
    /// What is hashed before the content of a file.
    pub fn file_prefix(self, header: &FileHeader) -> Vec<u8> {
        match self {
            Self::Native => native::file_prefix(header),
            Self::Ostree => ostree::file_prefix(header),
        }
    }
    /// Whether the format can hold such a file, whatever the size of its content.
    ///
    /// # Errors
    /// What it cannot hold, for a message.
    pub fn check_file(self, header: &FileHeader) -> Result<(), &'static str> {
        check_header(header)?;
        self.check_length(header)?;
        match (self, &header.file_type) {
            (Self::Native, _) | (Self::Ostree, FileType::Regular | FileType::Symlink(_)) => Ok(()),
            (Self::Ostree, FileType::Fifo) => Err("the OSTree format has no named pipes"),
            (Self::Ostree, FileType::CharDevice(_) | FileType::BlockDevice(_)) => {
                Err("the OSTree format has no device nodes")
            }
        }
    }
    /// Headers are read up to a length. Only one with many attributes is encoded to learn its own.
    fn check_length(self, header: &FileHeader) -> Result<(), &'static str> {
        // Owner, mode, size and target take less than these, and the lengths of a name and a value less than those.
        const FIXED_BYTES: usize = 8 << 10;
        const PAIR_BYTES: usize = 32;
        let pairs = header.xattrs.iter().map(|(name, value)| name.len() + value.len() + PAIR_BYTES);
        if FIXED_BYTES + pairs.sum::<usize>() <= MAX_HEADER_BYTES {
            return Ok(());
        }
        let (encoded, prefix) = match self {
            Self::Native => (native::encode_archive_header(header, u64::MAX), native::PREFIX_BYTES),
            Self::Ostree => (ostree::encode_archive_header(header, u64::MAX), ostree::PREFIX_BYTES),
        };
        if encoded.len() > prefix + MAX_HEADER_BYTES {
            return Err("extended attributes of more than 16 MiB");
        }
        Ok(())
    }
    /// The bytes before the compressed content in an archive repository. `size` is 0 for all but regular files.
    pub fn encode_archive_header(self, header: &FileHeader, size: u64) -> Vec<u8> {
        match self {
            Self::Native => native::encode_archive_header(header, size),
            Self::Ostree => ostree::encode_archive_header(header, size),
        }
    }
    /// Reads that from the beginning of an archived file, and not a byte more; refuses one of over 16 MiB. Of a regular file
    /// the [content](Self::archived_content) follows, of others [nothing](ArchiveHeader::check_end).
    ///
    /// # Errors
    /// The outer one when `input` fails, the inner one when what it yields is not a header.
    pub fn read_archive_header(
        self,
        input: &mut dyn Read,
    ) -> std::io::Result<Result<ArchiveHeader, DecodeError>> {
        match self {
            Self::Native => native::read_archive_header(input),
            Self::Ostree => ostree::read_archive_header(input),
        }
    }
    /// The header as bare-user repositories keep it in an extended attribute. A symlink's target is not in it.
    pub fn encode_user_meta(self, header: &FileHeader) -> Vec<u8> {
        match self {
            Self::Native => native::encode_user_meta(header),
            Self::Ostree => ostree::encode_user_meta(header),
        }
    }
    /// Reads that. A symlink comes with an empty target, which the caller fills in.
    ///
    /// # Errors
    /// When the bytes are not such a header.
    pub fn decode_user_meta(self, bytes: &[u8]) -> Result<FileHeader, DecodeError> {
        match self {
            Self::Native => native::decode_user_meta(bytes),
            Self::Ostree => ostree::decode_user_meta(bytes),
        }
    }
    /// Reads the attributes of a file of a `bare-split-xattrs` repository.
    ///
    /// # Errors
    /// When the bytes are not attributes; the native format has no such repositories.
    pub fn decode_split_xattrs(self, bytes: &[u8]) -> Result<Xattrs, DecodeError> {
        match self {
            Self::Native => Err(DecodeError { offset: 0, what: "the native format keeps none apart" }),
            Self::Ostree => ostree::decode_split_xattrs(bytes),
        }
    }
    /// The name of that attribute.
    pub fn user_meta_attribute(self) -> &'static str {
        match self {
            Self::Native => "user.sapwoodmeta",
            Self::Ostree => "user.ostreemeta",
        }
    }
    /// Detached metadata as it is stored beside a commit.
    pub fn encode_metadata(self, metadata: &Metadata) -> Vec<u8> {
        match self {
            Self::Native => native::encode_metadata(metadata),
            Self::Ostree => ostree::encode_metadata(metadata),
        }
    }
    /// Reads that. (A file of no bytes beside an OSTree commit stands for no metadata: it is an empty dictionary.)
    ///
    /// # Errors
    /// When the bytes are not such metadata.
    pub fn decode_metadata(self, bytes: &[u8]) -> Result<Metadata, DecodeError> {
        check_size(bytes)?;
        match self {
            Self::Native => native::decode_metadata(bytes),
            Self::Ostree => ostree::decode_metadata(bytes),
        }
    }
    /// Compresses content as archive repositories keep it; what is still held back is written by
    /// [`Compressor::finish`]. `level` is cut to what the compression has: 0 to 9 for deflate (6 if `None`), 1 to 19 for
    /// zstd (3 if `None`).
    ///
    /// # Errors
    /// When the compression library has no memory.
    pub fn compressor<'w>(
        self,
        to: Box<dyn Write + Send + 'w>,
        level: Option<i32>,
    ) -> std::io::Result<Box<dyn Compressor + 'w>> {
        match self {
            Self::Native => Ok(compress::zstd_writer(to, level)),
            Self::Ostree => Ok(compress::deflate_writer(to, level)),
        }
    }
    /// Most bytes that content of this size may take when it is compressed: more than any honest compressor makes of it. As
    /// compressed bytes take part in no id, anything could be put between them.
    ///
    /// Zstd adds 3 bytes to a block that it cannot make smaller, and so to each piece that a careful writer flushes. Deflate,
    /// at the least thrifty settings of zlib, adds an eighth and some, and 5 bytes to each flush.
    pub fn max_compressed(self, size: u64) -> u64 {
        const BESIDE: u64 = 64 << 10;
        let grown = match self {
            Self::Native => size / 128,
            Self::Ostree => size / 4,
        };
        size.saturating_add(grown).saturating_add(BESIDE)
    }
    /// Decompresses the content of an archived file, of which `from` yields what comes after the header.
    ///
    /// As [`decompressor`](Self::decompressor); and content of another size than the header says is an error of the reader, as
    /// are more compressed bytes than [`max_compressed`](Self::max_compressed) allows. Then a [`DecodeError`] is in it.
    ///
    /// # Errors
    /// When the compression library has no memory.
    pub fn archived_content<'r>(
        self,
        archive: &ArchiveHeader,
        from: Box<dyn Read + Send + 'r>,
    ) -> std::io::Result<Box<dyn Read + Send + 'r>> {
        let (at, size) = (archive.encoded_len, archive.size);
        let bounded = compress::AtMost::new(from, self.max_compressed(size), at);
        Ok(Box::new(compress::Exactly::new(self.decompressor(Box::new(bounded))?, size, at)))
    }
    /// Decompresses such content. The caller limits how much it reads: a few bytes may become many. Compressed data
    /// that ends too early, and anything after it, is an error of the reader.
    ///
    /// # Errors
    /// When the compression library has no memory.
    pub fn decompressor<'r>(
        self,
        from: Box<dyn Read + Send + 'r>,
    ) -> std::io::Result<Box<dyn Read + Send + 'r>> {
        match self {
            Self::Native => compress::zstd_reader(from),
            Self::Ostree => Ok(compress::deflate_reader(from)),
        }
    }
}

fn check_count(xattrs: &Xattrs) -> Result<(), &'static str> {
    if xattrs.iter().len() > MAX_XATTRS { Err("more than 32768 extended attributes") } else { Ok(()) }
}

/// What both formats demand of a file's header.
fn check_header(header: &FileHeader) -> Result<(), &'static str> {
    check_count(&header.xattrs)?;
    if header.mode & !0o7777 != 0 {
        return Err("mode has bits beyond the permissions");
    }
    match &header.file_type {
        FileType::Symlink(_) if header.mode != 0o777 => Err("mode of a symlink is not 0777"),
        FileType::Symlink(target) if target.is_empty() => Err("symlink without a target"),
        FileType::Symlink(target) if target.len() > MAX_TARGET_BYTES => Err("symlink target is too long"),
        FileType::Symlink(target) if target.contains('\0') => Err("symlink target holds a NUL byte"),
        _ => Ok(()),
    }
}

/// Up to `count` bytes of `input`: fewer if it ends. Memory is taken as they arrive.
fn read_exactly(input: &mut dyn Read, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_size(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() as u64 > Format::MAX_META_BYTES {
        return Err(DecodeError { offset: 0, what: "metadata object is larger than 128 MiB" });
    }
    Ok(())
}

/// A compressing writer.
pub trait Compressor: Write + Send {
    /// Writes what is still held back, and flushes.
    ///
    /// # Errors
    /// When the writer behind it fails.
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

impl MetaObject for Commit {
    fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Native => native::encode_commit(self),
            Format::Ostree => ostree::encode_commit(self),
        }
    }
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_size(bytes)?;
        match format {
            Format::Native => native::decode_commit(bytes),
            Format::Ostree => ostree::decode_commit(bytes),
        }
    }
}

impl MetaObject for DirTree {
    fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Native => native::encode_dirtree(self),
            Format::Ostree => ostree::encode_dirtree(self),
        }
    }
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_size(bytes)?;
        match format {
            Format::Native => native::decode_dirtree(bytes),
            Format::Ostree => ostree::decode_dirtree(bytes),
        }
    }
}

impl MetaObject for DirMeta {
    fn check(&self) -> Result<(), &'static str> {
        check_count(&self.xattrs)
    }
    fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Native => native::encode_dirmeta(self),
            Format::Ostree => ostree::encode_dirmeta(self),
        }
    }
    fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_size(bytes)?;
        match format {
            Format::Native => native::decode_dirmeta(bytes),
            Format::Ostree => ostree::decode_dirmeta(bytes),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
