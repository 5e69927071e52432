//! File headers: in the hashed stream, before archived content, and in the attribute of bare-user repositories.
#![deny(clippy::indexing_slicing)]

use super::SIZE_LIMIT;
use super::record::{Bytes, Places, decode, encode};
use crate::format::{ArchiveHeader, MAX_HEADER_BYTES, MAX_XATTRS, check_header, read_exactly};
use crate::{DecodeError, FileHeader, FileType, XattrError, Xattrs};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// Length of the length of a header block.
pub(in crate::format) const PREFIX_BYTES: usize = 4;

pub(super) type WireXattrs<'a> = Vec<(Bytes<'a>, Bytes<'a>)>;

#[derive(Serialize, Deserialize)]
enum WireType<'a> {
    Regular,
    Symlink(&'a str),
    Fifo,
    CharDevice(u64),
    BlockDevice(u64),
}

#[derive(Serialize, Deserialize)]
struct WireHeader<'a> {
    uid: u32,
    gid: u32,
    mode: u32,
    #[serde(borrow)]
    file_type: WireType<'a>,
    #[serde(borrow)]
    xattrs: WireXattrs<'a>,
}

#[derive(Serialize, Deserialize)]
struct WireArchive<'a> {
    size: u64,
    #[serde(borrow)]
    header: WireHeader<'a>,
}

fn wire(header: &FileHeader) -> WireHeader<'_> {
    let file_type = match &header.file_type {
        FileType::Regular => WireType::Regular,
        FileType::Symlink(target) => WireType::Symlink(target),
        FileType::Fifo => WireType::Fifo,
        FileType::CharDevice(number) => WireType::CharDevice(*number),
        FileType::BlockDevice(number) => WireType::BlockDevice(*number),
    };
    let xattrs = wire_xattrs(&header.xattrs);
    WireHeader { uid: header.uid, gid: header.gid, mode: header.mode, file_type, xattrs }
}

fn block(record: &[u8]) -> Vec<u8> {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + record.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend(record);
    bytes
}

pub(in crate::format) fn file_prefix(header: &FileHeader) -> Vec<u8> {
    block(&encode(&wire(header)))
}

pub(in crate::format) fn encode_archive_header(header: &FileHeader, size: u64) -> Vec<u8> {
    block(&encode(&WireArchive { size, header: wire(header) }))
}

pub(in crate::format) fn read_archive_header(
    input: &mut dyn Read,
) -> io::Result<Result<ArchiveHeader, DecodeError>> {
    let prefix = read_exactly(input, PREFIX_BYTES)?;
    let Ok(length) = <[u8; PREFIX_BYTES]>::try_from(prefix.as_slice()) else {
        return Ok(Err(DecodeError { offset: prefix.len(), what: "file ends in the length of its header" }));
    };
    let length = match usize::try_from(u32::from_le_bytes(length)) {
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
    let record: WireArchive<'_> = decode(bytes)?;
    let header = read_header(Places(bytes), &record.header)?;
    let error = |what| DecodeError { offset: 1, what };
    check_header(&header).map_err(error)?;
    match record.size {
        SIZE_LIMIT.. => Err(error("size of the content is beyond all limits")),
        1.. if !header.is_regular() => Err(error("only regular files have content")),
        size => Ok(ArchiveHeader { header, size, encoded_len: PREFIX_BYTES + bytes.len() }),
    }
}

pub(in crate::format) fn encode_user_meta(header: &FileHeader) -> Vec<u8> {
    let mut record = wire(header);
    if let WireType::Symlink(target) = &mut record.file_type {
        *target = "";
    }
    encode(&record)
}

pub(in crate::format) fn decode_user_meta(bytes: &[u8]) -> Result<FileHeader, DecodeError> {
    if bytes.len() > MAX_HEADER_BYTES {
        return Err(DecodeError { offset: 0, what: "header of a file is too long" });
    }
    let record: WireHeader<'_> = decode(bytes)?;
    let header = read_header(Places(bytes), &record)?;
    let what = match &header.file_type {
        FileType::Symlink(target) if !target.is_empty() => "symlink target in the attribute",
        FileType::Symlink(_) if header.mode != 0o777 => "mode of a symlink is not 0777",
        _ if header.mode > 0o7777 => "mode has bits beyond the permissions",
        _ => return Ok(header),
    };
    Err(DecodeError { offset: 1, what })
}

fn read_header(places: Places<'_>, header: &WireHeader<'_>) -> Result<FileHeader, DecodeError> {
    let file_type = match header.file_type {
        WireType::Regular => FileType::Regular,
        WireType::Symlink(target) => FileType::Symlink(places.text(target)?),
        WireType::Fifo => FileType::Fifo,
        WireType::CharDevice(number) => FileType::CharDevice(number),
        WireType::BlockDevice(number) => FileType::BlockDevice(number),
    };
    let xattrs = read_xattrs(places, &header.xattrs)?;
    Ok(FileHeader { uid: header.uid, gid: header.gid, mode: header.mode, file_type, xattrs })
}

pub(super) fn wire_xattrs(xattrs: &Xattrs) -> WireXattrs<'_> {
    xattrs.iter().map(|(name, value)| (Bytes(name), Bytes(value))).collect()
}

pub(super) fn read_xattrs(places: Places<'_>, wire: &WireXattrs<'_>) -> Result<Xattrs, DecodeError> {
    let first = wire.first().map_or(&[][..], |(name, _)| name.0);
    if wire.len() > MAX_XATTRS {
        return Err(places.error(first, "too many attributes"));
    }
    let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(wire.len());
    for (name, value) in wire {
        if list.last().is_some_and(|(last, _)| last.as_slice() >= name.0) {
            return Err(places.error(name.0, "attributes are not sorted, or one is there twice"));
        }
        list.push((name.0.to_vec(), value.0.to_vec()));
    }
    Xattrs::new(list).map_err(|error| match error {
        XattrError::Duplicate(_) => places.error(first, "attribute is there twice"),
        _ => places.error(first, "attribute name is empty or holds NUL"),
    })
}
