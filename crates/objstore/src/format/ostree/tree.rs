//! Directory trees and directory metadata.
#![deny(clippy::indexing_slicing)]

use super::commit::read_id;
use super::file::{read_xattrs, write_xattrs};
use crate::gvariant::{Layout, Reader, Writer};
use crate::{DecodeError, DirEntry, DirMeta, DirTree, EntryName, FileEntry};

const S_IFDIR: u32 = 0o040_000;

/// Type `(a(say)a(sayay))`. An empty one is a single zero byte.
pub(in crate::format) fn encode_dirtree(tree: &DirTree) -> Vec<u8> {
    let mut writer = Writer::with_capacity(tree.files().len() * 64 + tree.dirs().len() * 96);
    writer.tuple(1, |w| {
        w.array(1, |w| {
            for entry in tree.files() {
                w.tuple(1, |w| {
                    w.str(entry.name.as_str());
                    w.bytes(entry.id.as_bytes());
                });
            }
        });
        w.array(1, |w| {
            for entry in tree.dirs() {
                w.tuple(1, |w| {
                    w.str(entry.name.as_str());
                    w.bytes(entry.tree.as_bytes());
                    w.bytes(entry.meta.as_bytes());
                });
            }
        });
    });
    writer.finish()
}

pub(in crate::format) fn decode_dirtree(bytes: &[u8]) -> Result<DirTree, DecodeError> {
    let whole = Reader::new(bytes);
    if bytes.is_empty() {
        // GLib takes this for a dirtree, but nothing writes it, and an empty one has another id.
        return Err(whole.error("dirtree of no bytes"));
    }
    let [file_array, dir_array] = whole.tuple([Layout::variable(1); 2])?;
    let items = file_array.array(Layout::variable(1))?;
    let mut files: Vec<FileEntry> = Vec::with_capacity(items.len().min(bytes.len() / 32));
    for item in items {
        let [name, id] = item?.tuple([Layout::STR, Layout::BYTES])?;
        let checked = read_name(name, files.last().map(|entry| &entry.name))?;
        files.push(FileEntry { name: checked, id: read_id(id)?, size: None });
    }
    let items = dir_array.array(Layout::variable(1))?;
    let mut dirs: Vec<DirEntry> = Vec::with_capacity(items.len().min(bytes.len() / 32));
    for item in items {
        let [name, tree, meta] = item?.tuple([Layout::STR, Layout::BYTES, Layout::BYTES])?;
        let checked = read_name(name, dirs.last().map(|entry| &entry.name))?;
        dirs.push(DirEntry { name: checked, tree: read_id(tree)?, meta: read_id(meta)? });
    }
    DirTree::from_sorted(files, dirs).map_err(|twice| {
        let is_it = |item: &Reader<'_>| {
            item.raw().strip_prefix(twice.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(&[0]))
        };
        let place = dir_array.array(Layout::variable(1)).ok().and_then(|items| items.flatten().find(is_it));
        place.unwrap_or(dir_array).error("name of a directory is also that of a file")
    })
}

fn read_name(value: Reader<'_>, previous: Option<&EntryName>) -> Result<EntryName, DecodeError> {
    let name = EntryName::new(value.str()?).map_err(|error| value.error(error.what()))?;
    match previous.map(|previous| previous.cmp(&name)) {
        None | Some(std::cmp::Ordering::Less) => Ok(name),
        Some(std::cmp::Ordering::Equal) => Err(value.error("name is there twice")),
        Some(std::cmp::Ordering::Greater) => Err(value.error("names are not sorted")),
    }
}

/// Type `(uuua(ayay))`.
pub(in crate::format) fn encode_dirmeta(meta: &DirMeta) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tuple(4, |w| {
        w.u32_be(meta.uid);
        w.u32_be(meta.gid);
        w.u32_be(S_IFDIR | meta.mode);
        write_xattrs(w, &meta.xattrs);
    });
    writer.finish()
}

pub(in crate::format) fn decode_dirmeta(bytes: &[u8]) -> Result<DirMeta, DecodeError> {
    let members = [Layout::U32, Layout::U32, Layout::U32, Layout::variable(1)];
    let [uid, gid, mode, xattrs] = Reader::new(bytes).tuple(members)?;
    let full = mode.u32_be()?;
    if full & !0o7777 != S_IFDIR {
        return Err(mode.error("mode is not a directory's"));
    }
    let xattrs = read_xattrs(xattrs, super::file::Order::Ascending)?;
    Ok(DirMeta { uid: uid.u32_be()?, gid: gid.u32_be()?, mode: full & 0o7777, xattrs })
}
