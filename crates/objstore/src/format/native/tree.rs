//! Directory trees and directory metadata.
#![deny(clippy::indexing_slicing)]

use super::SIZE_LIMIT;
use super::file::{WireXattrs, read_xattrs, wire_xattrs};
use super::record::{Places, decode, encode};
use crate::{DecodeError, DirEntry, DirMeta, DirTree, EntryName, FileEntry, Id, ObjectId};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct WireFile<'a> {
    name: &'a str,
    id: [u8; 32],
    size: u64,
}

#[derive(Serialize, Deserialize)]
struct WireDir<'a> {
    name: &'a str,
    tree: [u8; 32],
    meta: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct WireTree<'a> {
    #[serde(borrow)]
    files: Vec<WireFile<'a>>,
    dirs: Vec<WireDir<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireMeta<'a> {
    uid: u32,
    gid: u32,
    mode: u32,
    #[serde(borrow)]
    xattrs: WireXattrs<'a>,
}

pub(in crate::format) fn encode_dirtree(tree: &DirTree) -> Vec<u8> {
    let mut files = Vec::with_capacity(tree.files().len());
    for entry in tree.files() {
        let size = entry.size.unwrap_or(u64::MAX);
        files.push(WireFile { name: entry.name.as_str(), id: *entry.id.as_bytes(), size });
    }
    let mut dirs = Vec::with_capacity(tree.dirs().len());
    for entry in tree.dirs() {
        let (tree, meta) = (*entry.tree.as_bytes(), *entry.meta.as_bytes());
        dirs.push(WireDir { name: entry.name.as_str(), tree, meta });
    }
    encode(&WireTree { files, dirs })
}

pub(in crate::format) fn decode_dirtree(bytes: &[u8]) -> Result<DirTree, DecodeError> {
    let tree: WireTree<'_> = decode(bytes)?;
    let places = Places(bytes);
    let mut files: Vec<FileEntry> = Vec::with_capacity(tree.files.len());
    for file in &tree.files {
        if file.size >= SIZE_LIMIT {
            return Err(places.error(file.name.as_bytes(), "size of a file is beyond all limits"));
        }
        let name = read_name(places, file.name, files.last().map(|entry| &entry.name))?;
        files.push(FileEntry { name, id: Id::new(ObjectId::from_bytes(file.id)), size: Some(file.size) });
    }
    let mut dirs: Vec<DirEntry> = Vec::with_capacity(tree.dirs.len());
    for dir in &tree.dirs {
        let name = read_name(places, dir.name, dirs.last().map(|entry| &entry.name))?;
        let (tree, meta) = (Id::new(ObjectId::from_bytes(dir.tree)), Id::new(ObjectId::from_bytes(dir.meta)));
        dirs.push(DirEntry { name, tree, meta });
    }
    DirTree::from_sorted(files, dirs).map_err(|twice| {
        let dir = tree.dirs.iter().find(|dir| dir.name == twice.as_str());
        places.error(dir.map_or(&[], |dir| dir.name.as_bytes()), "name of a directory is also that of a file")
    })
}

fn read_name(places: Places<'_>, name: &str, previous: Option<&EntryName>) -> Result<EntryName, DecodeError> {
    let error = |what| places.error(name.as_bytes(), what);
    let checked = EntryName::new(name).map_err(|wrong| error(wrong.what()))?;
    match previous.map(|previous| previous.cmp(&checked)) {
        None | Some(std::cmp::Ordering::Less) => Ok(checked),
        Some(std::cmp::Ordering::Equal) => Err(error("name is there twice")),
        Some(std::cmp::Ordering::Greater) => Err(error("names are not sorted")),
    }
}

pub(in crate::format) fn encode_dirmeta(meta: &DirMeta) -> Vec<u8> {
    encode(&WireMeta { uid: meta.uid, gid: meta.gid, mode: meta.mode, xattrs: wire_xattrs(&meta.xattrs) })
}

pub(in crate::format) fn decode_dirmeta(bytes: &[u8]) -> Result<DirMeta, DecodeError> {
    let meta: WireMeta<'_> = decode(bytes)?;
    if meta.mode > 0o7777 {
        return Err(DecodeError { offset: 1, what: "mode has bits beyond the permissions" });
    }
    let xattrs = read_xattrs(Places(bytes), &meta.xattrs)?;
    Ok(DirMeta { uid: meta.uid, gid: meta.gid, mode: meta.mode, xattrs })
}
