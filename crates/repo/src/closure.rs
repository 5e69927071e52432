//! Closures: what a commit's tree is made of, in one file beside the summary, so that a client learns it in one request
//! rather than one for each level of directories. `docs/FORMAT.md` defines the file.
//!
//! A closure is a hint and nothing else. What a commit reaches is what its trees say; a closure that is missing, old or
//! a lie costs time at most.
#![deny(clippy::indexing_slicing)]

mod write;

use crate::leb128;
use crate::record::Input;
use sapwood_objstore::{Commit, DecodeError, DirMeta, DirTree, Format, Id, Kind, ObjectId, kind};
use std::collections::HashSet;
use std::io::{self, Read, Write};

/// Where closures are.
const DIR: &str = "closures";
const VERSION: u8 = 1;

/// Where a repository keeps and serves the closure of a commit.
pub fn closure_path(commit: Id<Commit>) -> String {
    format!("{DIR}/{commit}")
}

/// The directories of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClosureDirs {
    /// Dirtrees with their size in bytes: the root first, each after one that holds it.
    pub trees: Vec<(Id<DirTree>, u64)>,
    /// Dirmetas with their size in bytes.
    pub metas: Vec<(Id<DirMeta>, u64)>,
}

/// A file of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosureFile {
    /// Its id.
    pub id: Id<kind::File>,
    /// Size of its content in bytes.
    pub content_bytes: u64,
    /// Size in bytes as the repository serves it.
    pub stored_bytes: u64,
}

/// The beginning of a closure file: enough to know how much of it tells the directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosureHead {
    frame_bytes: u32,
}

impl ClosureHead {
    /// Its size in bytes.
    pub const BYTES: usize = 5;

    /// Reads it.
    ///
    /// # Errors
    /// When it is of another version.
    pub fn decode(bytes: [u8; Self::BYTES]) -> Result<Self, DecodeError> {
        let [version, length @ ..] = bytes;
        if version != VERSION {
            return Err(DecodeError { offset: 0, what: "unknown version" });
        }
        Ok(Self { frame_bytes: u32::from_le_bytes(length) })
    }

    /// So many bytes of the file, the head included, tell the directories. The others tell the files.
    pub fn dirs_end(self) -> u64 {
        Self::BYTES as u64 + u64::from(self.frame_bytes)
    }
}

impl ClosureDirs {
    /// How many objects are listed.
    pub fn len(&self) -> usize {
        self.trees.len().saturating_add(self.metas.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the first frame: what follows the head, up to [`ClosureHead::dirs_end`].
    ///
    /// # Errors
    /// What is no zstd, holds more than [`Format::MAX_META_BYTES`], or is not what the format says: an id that is there
    /// twice, too.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let record = unpacked(frame)?;
        let mut input = Input::of_record(&record);
        let dirs = Self { trees: sized(&mut input)?, metas: sized(&mut input)? };
        input.end()?;
        Ok(dirs)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_sized(&mut out, &self.trees);
        write_sized(&mut out, &self.metas);
        out
    }
}

/// Reads a list of objects and their sizes.
fn sized<K: Kind>(input: &mut Input<'_>) -> Result<Vec<(Id<K>, u64)>, DecodeError> {
    let mut list = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..input.varint()? {
        let at = input.at;
        let id = id(input)?;
        // What compresses to nothing takes no memory either.
        if !seen.insert(id) {
            return Err(DecodeError { offset: at, what: "an object is there twice" });
        }
        list.push((Id::new(id), input.varint()?));
    }
    Ok(list)
}

fn write_sized<K: Kind>(out: &mut Vec<u8>, list: &[(Id<K>, u64)]) {
    leb128::write(out, list.len() as u64);
    for (id, bytes) in list {
        out.extend_from_slice(id.raw().as_bytes());
        leb128::write(out, *bytes);
    }
}

impl ClosureFile {
    /// Reads the second frame: what follows [`ClosureHead::dirs_end`].
    ///
    /// # Errors
    /// As [`ClosureDirs::decode`]; files that are not sorted by id, or twice there.
    pub fn decode_all(frame: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let record = unpacked(frame)?;
        let mut input = Input::of_record(&record);
        let mut files: Vec<Self> = Vec::new();
        for _ in 0..input.varint()? {
            let at = input.at;
            let id = Id::new(id(&mut input)?);
            if files.last().is_some_and(|last| last.id >= id) {
                return Err(DecodeError { offset: at, what: "files are not sorted" });
            }
            files.push(Self { id, content_bytes: input.varint()?, stored_bytes: input.varint()? });
        }
        input.end()?;
        Ok(files)
    }

    fn encode_all(files: &[Self]) -> Vec<u8> {
        let mut out = Vec::new();
        leb128::write(&mut out, files.len() as u64);
        for file in files {
            out.extend_from_slice(file.id.raw().as_bytes());
            leb128::write(&mut out, file.content_bytes);
            leb128::write(&mut out, file.stored_bytes);
        }
        out
    }
}

/// The bytes of a closure file. Files must be sorted by id.
///
/// # Errors
/// What cannot be said in it, as it is too large.
pub fn encode_closure(dirs: &ClosureDirs, files: &[ClosureFile]) -> io::Result<Vec<u8>> {
    let mut out = vec![VERSION; ClosureHead::BYTES];
    pack(&dirs.encode(), &mut out)?;
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let frame_bytes = u32::try_from(out.len() - ClosureHead::BYTES).map_err(too_large)?;
    if let Some(length) = out.get_mut(1..ClosureHead::BYTES) {
        length.copy_from_slice(&frame_bytes.to_le_bytes());
    }
    pack(&ClosureFile::encode_all(files), &mut out)?;
    Ok(out)
}

fn pack(record: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    if record.len() as u64 > Format::MAX_META_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut compressor = Format::Native.compressor(Box::new(out), None)?;
    compressor.write_all(record)?;
    compressor.finish().map(drop)
}

/// What a frame holds; no more is taken than the limit and one byte.
fn unpacked(frame: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let broken = |_| DecodeError { offset: 0, what: "not compressed as it should be" };
    let reader = Format::Native.decompressor(Box::new(frame)).map_err(broken)?;
    let mut record = Vec::new();
    reader.take(Format::MAX_META_BYTES + 1).read_to_end(&mut record).map_err(broken)?;
    if record.len() as u64 > Format::MAX_META_BYTES {
        return Err(DecodeError { offset: 0, what: "larger than 128 MiB" });
    }
    Ok(record)
}

fn id(input: &mut Input<'_>) -> Result<ObjectId, DecodeError> {
    input.array().map(ObjectId::from_bytes)
}

#[cfg(test)]
mod tests;
