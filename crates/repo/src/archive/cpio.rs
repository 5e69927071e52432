//! Headers of cpio archives in the form `newc`, which the kernel takes too.
#![deny(clippy::indexing_slicing)]

use super::{ArchiveEntry, ArchiveError, EntryKind, Input, MAX_PATH_BYTES, Remembered};
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// The first path of each file that has several names, by device and inode.
#[derive(Debug, Default)]
pub(super) struct State {
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// The next entry and what its content is padded to.
pub(super) fn next<R: Read>(
    input: &mut Input<R>,
    state: &mut State,
    remembered: &Remembered,
) -> Result<Option<(ArchiveEntry, u64)>, ArchiveError> {
    let header = input.bytes(110, 110)?;
    if !matches!(header.get(..6), Some(b"070701" | b"070702")) {
        return Err(input.malformed("this is no header of a cpio archive"));
    }
    let fields = header.get(6..).unwrap_or_default().chunks(8);
    let fields = fields.map(|field| u32::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok());
    let fields: Option<Vec<u32>> = fields.collect();
    let Some([ino, mode, uid, gid, links, _mtime, size, major, minor, _, _, name_size, _]) =
        fields.as_deref()
    else {
        return Err(input.malformed("a field of a cpio header is not a number"));
    };
    let mut path = input.bytes(u64::from(*name_size), MAX_PATH_BYTES)?;
    input.skip((110 + u64::from(*name_size)).next_multiple_of(4) - 110 - u64::from(*name_size))?;
    if path.pop() != Some(0) || path.contains(&0) {
        return Err(input.malformed("a path does not end with NUL"));
    }
    if path == b"TRAILER!!!" {
        return Ok(None);
    }
    let mut size = u64::from(*size);
    let kind = match mode & 0o170_000 {
        0o040_000 => EntryKind::Dir,
        0o100_000 if *links > 1 => {
            let key = (u64::from(*major) << 32 | u64::from(*minor), u64::from(*ino));
            if let Some(first) = state.links.get(&key) {
                EntryKind::Hardlink(first.clone())
            } else {
                if !remembered.add(path.len()) {
                    return Err(input.malformed("the paths of files with several names take too much memory"));
                }
                state.links.insert(key, path.clone());
                EntryKind::File
            }
        }
        0o100_000 => EntryKind::File,
        0o120_000 => {
            let target = input.bytes(size, MAX_PATH_BYTES)?;
            input.skip(size.next_multiple_of(4) - size)?;
            size = 0;
            EntryKind::Symlink(target)
        }
        _ => EntryKind::Special,
    };
    let (uid, gid, mode) = (*uid, *gid, mode & 0o7777);
    Ok(Some((ArchiveEntry { path, kind, uid, gid, mode, xattrs: Arc::default(), size }, 4)))
}
