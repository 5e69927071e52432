//! File headers: in the hashed stream, before archived content, and in the attribute of bare-user repositories.
#![deny(clippy::indexing_slicing)]

use crate::format::{ArchiveHeader, MAX_HEADER_BYTES, read_exactly};
use crate::gvariant::{Layout, Reader, Writer};
use crate::{DecodeError, FileHeader, FileType, XattrError, Xattrs};
use std::io::{self, Read};

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// Length (big-endian) and four zero bytes, before either header.
pub(in crate::format) const PREFIX_BYTES: usize = 8;

/// The mode with its type. Kinds that OSTree has not get theirs too, and no decoder takes it.
fn full_mode(header: &FileHeader) -> u32 {
    let kind = match header.file_type {
        FileType::Regular => S_IFREG,
        FileType::Symlink(_) => S_IFLNK,
        FileType::Fifo => 0o010_000,
        FileType::CharDevice(_) => 0o020_000,
        FileType::BlockDevice(_) => 0o060_000,
    };
    kind | header.mode
}

fn write_owner(w: &mut Writer, header: &FileHeader) {
    w.u32_be(header.uid);
    w.u32_be(header.gid);
    w.u32_be(full_mode(header));
}

/// Owner, mode, rdev, target, attributes: `uuuusa(ayay)`.
fn write_members(w: &mut Writer, header: &FileHeader) {
    write_owner(w, header);
    w.u32_be(0);
    w.str(if let FileType::Symlink(target) = &header.file_type { target } else { "" });
    write_xattrs(w, &header.xattrs);
}

fn prefixed(writer: Writer) -> Vec<u8> {
    let header = writer.finish();
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len());
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(header);
    bytes
}

/// Type `(uuuusa(ayay))`, prefixed.
pub(in crate::format) fn file_prefix(header: &FileHeader) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tuple(4, |w| write_members(w, header));
    prefixed(writer)
}

/// Type `(tuuuusa(ayay))`, prefixed.
pub(in crate::format) fn encode_archive_header(header: &FileHeader, size: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tuple(8, |w| {
        w.u64_be(size);
        write_members(w, header);
    });
    prefixed(writer)
}

pub(in crate::format) fn read_archive_header(
    input: &mut dyn Read,
) -> io::Result<Result<ArchiveHeader, DecodeError>> {
    let prefix = read_exactly(input, PREFIX_BYTES)?;
    let Ok([a, b, c, d, rest @ ..]) = <[u8; PREFIX_BYTES]>::try_from(prefix.as_slice()) else {
        return Ok(Err(DecodeError { offset: prefix.len(), what: "file ends in the length of its header" }));
    };
    if rest != [0; 4] {
        return Ok(Err(DecodeError { offset: 4, what: "padding is not zero" }));
    }
    let length = match usize::try_from(u32::from_be_bytes([a, b, c, d])) {
        Ok(length) if length <= MAX_HEADER_BYTES => length,
        _ => return Ok(Err(DecodeError { offset: 0, what: "header of a file is too long" })),
    };
    let bytes = read_exactly(input, length)?;
    if bytes.len() != length {
        return Ok(Err(DecodeError { offset: PREFIX_BYTES + bytes.len(), what: "file ends in its header" }));
    }
    let decoded = decode_archive_header(&bytes);
    Ok(decoded.map_err(|error| DecodeError { offset: error.offset + PREFIX_BYTES, ..error }))
}

fn decode_archive_header(bytes: &[u8]) -> Result<ArchiveHeader, DecodeError> {
    use Layout as L;
    let members = [L::U64, L::U32, L::U32, L::U32, L::U32, L::STR, L::variable(1)];
    let [size, uid, gid, mode, rdev, target, xattrs] = Reader::new(bytes).tuple(members)?;
    if rdev.u32_be()? != 0 {
        return Err(rdev.error("device number is not 0"));
    }
    let size_bytes = size.u64_be()?;
    if size_bytes > i64::MAX.unsigned_abs() {
        return Err(size.error("size of the content is beyond all limits"));
    }
    let target_text = target.str()?;
    let full = mode.u32_be()?;
    let file_type = match full & S_IFMT {
        S_IFREG if !target_text.is_empty() => return Err(target.error("regular file with a symlink target")),
        S_IFREG => FileType::Regular,
        S_IFLNK if size_bytes != 0 => return Err(size.error("symlink with content")),
        S_IFLNK => FileType::Symlink(target_text.to_owned()),
        _ => return Err(mode.error("mode is neither a regular file's nor a symlink's")),
    };
    let header = FileHeader {
        uid: uid.u32_be()?,
        gid: gid.u32_be()?,
        mode: permissions(mode, full)?,
        file_type,
        // OSTree writes these as it got them, and sorts them only to hash them.
        xattrs: read_xattrs(xattrs, Order::Any)?,
    };
    crate::format::check_header(&header).map_err(|what| target.error(what))?;
    Ok(ArchiveHeader { header, size: size_bytes, encoded_len: PREFIX_BYTES + bytes.len() })
}

fn permissions(place: Reader<'_>, full: u32) -> Result<u32, DecodeError> {
    if full & !(S_IFMT | 0o7777) != 0 {
        return Err(place.error("mode has unknown bits"));
    }
    Ok(full & 0o7777)
}

/// Type `(uuua(ayay))`.
pub(in crate::format) fn encode_user_meta(header: &FileHeader) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tuple(4, |w| {
        write_owner(w, header);
        write_xattrs(w, &header.xattrs);
    });
    writer.finish()
}

pub(in crate::format) fn decode_user_meta(bytes: &[u8]) -> Result<FileHeader, DecodeError> {
    let members = [Layout::U32, Layout::U32, Layout::U32, Layout::variable(1)];
    let [uid, gid, mode, xattrs] = Reader::new(bytes).tuple(members)?;
    let full = mode.u32_be()?;
    let file_type = match full & S_IFMT {
        S_IFREG => FileType::Regular,
        S_IFLNK => FileType::Symlink(String::new()),
        _ => return Err(mode.error("mode is neither a regular file's nor a symlink's")),
    };
    let permissions = permissions(mode, full)?;
    if full & S_IFMT == S_IFLNK && permissions != 0o777 {
        return Err(mode.error("mode of a symlink is not 0777"));
    }
    let xattrs = read_xattrs(xattrs, Order::Any)?;
    Ok(FileHeader { uid: uid.u32_be()?, gid: gid.u32_be()?, mode: permissions, file_type, xattrs })
}

/// How attributes must be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Each name greater than the one before.
    Ascending,
    /// No matter; but no name twice.
    Any,
}

pub(in crate::format) fn decode_split_xattrs(bytes: &[u8]) -> Result<Xattrs, DecodeError> {
    read_xattrs(Reader::new(bytes), Order::Any)
}

/// Type `a(ayay)`; names end with NUL.
pub(super) fn write_xattrs(w: &mut Writer, xattrs: &Xattrs) {
    w.array(1, |w| {
        for (name, value) in xattrs.iter() {
            w.tuple(1, |w| {
                w.bytestring(name);
                w.bytes(value);
            });
        }
    });
}

pub(super) fn read_xattrs(value: Reader<'_>, order: Order) -> Result<Xattrs, DecodeError> {
    let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let items = value.array(Layout::variable(1))?;
    if items.len() > crate::format::MAX_XATTRS {
        return Err(value.error("too many attributes"));
    }
    for item in items {
        let [name, content] = item?.tuple([Layout::BYTES; 2])?;
        let text = name.bytestring()?;
        if order == Order::Ascending && list.last().is_some_and(|(last, _)| last.as_slice() >= text) {
            return Err(name.error("attributes are not sorted"));
        }
        list.push((text.to_vec(), content.bytes().to_vec()));
    }
    Xattrs::new(list).map_err(|error| {
        value.error(match error {
            XattrError::Duplicate(_) => "attribute is there twice",
            _ => "attribute without a name",
        })
    })
}
