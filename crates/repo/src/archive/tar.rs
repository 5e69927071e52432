//! Headers of tar archives: POSIX ustar and pax, GNU, and the old form before them.
#![deny(clippy::indexing_slicing)]

use super::pax::Pax;
use super::{ArchiveEntry, ArchiveError, EntryKind, Input, MAX_HEADER_BYTES, MAX_PATH_BYTES};
use std::io::Read;

const BLOCK: u64 = 512;
/// Most headers before one entry that only tell of it.
const MAX_EXTRA_HEADERS: usize = 1024;

/// What holds for all entries that follow.
#[derive(Debug, Default)]
pub(super) struct State {
    global: Pax,
}

/// What the headers before an entry say of it.
#[derive(Debug, Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The next entry and what its content is padded to.
pub(super) fn next<R: Read>(
    input: &mut Input<R>,
    state: &mut State,
) -> Result<Option<(ArchiveEntry, u64)>, ArchiveError> {
    let mut extra = Extra::default();
    for before in 0..MAX_EXTRA_HEADERS {
        let mut block = Vec::new();
        input.by_ref().take(BLOCK).read_to_end(&mut block)?;
        if block.iter().all(|byte| *byte == 0) && (block.is_empty() || block.len() as u64 == BLOCK) {
            return if before == 0 { Ok(None) } else { Err(input.malformed("the archive is truncated")) };
        }
        let Some(header) = block.first_chunk::<512>() else {
            return Err(input.malformed("the archive is truncated, or is no archive of a kind that is read"));
        };
        if !is_checksum_right(header) {
            return Err(input.malformed("this is no header of a tar archive"));
        }
        let size = number(field(header, 124, 12)).ok_or_else(|| input.malformed("size is not a number"))?;
        match field(header, 156, 1) {
            b"x" => {
                let text = padded(input, size, MAX_HEADER_BYTES)?;
                extra.pax = Some(Pax::parse(&text).map_err(|what| input.malformed(what))?);
            }
            b"g" => {
                let text = padded(input, size, MAX_HEADER_BYTES)?;
                let update = Pax::parse(&text).map_err(|what| input.malformed(what))?;
                state.global = update.over(&state.global).map_err(|what| input.malformed(what))?;
            }
            b"L" => extra.path = Some(until_nul(&padded(input, size, MAX_PATH_BYTES)?)),
            b"K" => extra.link = Some(until_nul(&padded(input, size, MAX_PATH_BYTES)?)),
            // The label of the volume.
            b"V" => input.skip(size.next_multiple_of(BLOCK))?,
            _ => return entry(input, header, size, extra, state).map(|entry| Some((entry, BLOCK))),
        }
    }
    Err(input.malformed("too many headers for one entry"))
}

fn entry<R: Read>(
    input: &Input<R>,
    header: &[u8; 512],
    size: u64,
    extra: Extra,
    state: &State,
) -> Result<ArchiveEntry, ArchiveError> {
    let has_pax = extra.pax.is_some();
    let pax = extra.pax.unwrap_or_default().over(&state.global).map_err(|what| input.malformed(what))?;
    let path = pax.path.or(extra.path).unwrap_or_else(|| header_path(header));
    let link = pax.link.or(extra.link).unwrap_or_else(|| until_nul(field(header, 157, 100)));
    let malformed = |what| Err(input.malformed(what));
    if path.len().max(link.len()) as u64 > MAX_PATH_BYTES {
        return malformed("a path or the target of a link is too long");
    }
    if pax.is_sparse {
        return malformed("sparse files are not read");
    }
    let owner = |given: Option<u64>, at| {
        let found = given.or_else(|| number(field(header, at, 8)));
        found.and_then(|id| u32::try_from(id).ok())
    };
    let (Some(uid), Some(gid)) = (owner(pax.uid, 108), owner(pax.gid, 116)) else {
        return malformed("owner or group is not a number of 32 bits");
    };
    let Some(mode) = number(field(header, 100, 8)) else { return malformed("mode is not a number") };
    let size = pax.size.unwrap_or(size);
    let (kind, size) = match field(header, 156, 1) {
        b"0" | b"\0" | b"7" if path.ends_with(b"/") => (EntryKind::Dir, 0),
        b"0" | b"\0" | b"7" => (EntryKind::File, size),
        // Old programs write the size of what it links to here, with no content behind it.
        b"1" => (EntryKind::Hardlink(link), if has_pax { size } else { 0 }),
        b"2" => (EntryKind::Symlink(link), 0),
        b"3" | b"4" | b"6" => (EntryKind::Special, 0),
        b"5" => (EntryKind::Dir, size),
        b"S" => return malformed("sparse files are not read"),
        b"M" => return malformed("archives of several volumes are not read"),
        _ => return malformed("an entry of a kind that is not known"),
    };
    if size > 1 << 62 {
        return malformed("size is out of range");
    }
    let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
    Ok(ArchiveEntry { path, kind, uid, gid, mode, xattrs: pax.xattrs.list, size })
}

fn padded<R: Read>(input: &mut Input<R>, size: u64, limit: u64) -> Result<Vec<u8>, ArchiveError> {
    let bytes = input.bytes(size, limit)?;
    input.skip(size.next_multiple_of(BLOCK) - size)?;
    Ok(bytes)
}

/// In the form of POSIX the path may be in two parts.
fn header_path(header: &[u8; 512]) -> Vec<u8> {
    let name = until_nul(field(header, 0, 100));
    let prefix = until_nul(field(header, 345, 155));
    if field(header, 257, 6) != b"ustar\0" || prefix.is_empty() {
        return name;
    }
    [prefix.as_slice(), b"/", &name].concat()
}

fn field(header: &[u8; 512], at: usize, len: usize) -> &[u8] {
    header.get(at..at + len).unwrap_or_default()
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// Octal digits, or binary where the first bit is set. Nothing at all is 0, as in old archives.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((first @ 0x80..=0xbf, rest)) = field.split_first() {
        return rest.iter().try_fold(u64::from(first & 0x3f), |value, byte| {
            value.checked_mul(256).map(|value| value | u64::from(*byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The sum of all bytes, with spaces in place of the sum itself; some programs added signed bytes.
fn is_checksum_right(header: &[u8; 512]) -> bool {
    let sum = field(header, 148, 8);
    let spaces = sum.iter().map(|byte| i64::from(b' ') - i64::from(*byte)).sum::<i64>();
    let unsigned = header.iter().map(|byte| i64::from(*byte)).sum::<i64>() + spaces;
    let signed_spaces = sum.iter().map(|byte| i64::from(b' ') - i64::from(byte.cast_signed())).sum::<i64>();
    let signed = header.iter().map(|byte| i64::from(byte.cast_signed())).sum::<i64>() + signed_spaces;
    let end = sum.iter().position(|byte| matches!(byte, 0)).unwrap_or(sum.len());
    let stated = sum.get(..end).and_then(number).and_then(|sum| i64::try_from(sum).ok());
    stated.is_some_and(|stated| stated == unsigned || stated == signed)
}
