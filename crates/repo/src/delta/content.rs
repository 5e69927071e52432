//! The content of a file, put together from its pieces while it is read.
#![deny(clippy::indexing_slicing)]

use super::Piece;
use sapwood_fsio::Dir;
use sapwood_objstore::{Id, Store, kind};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Reads the pieces one after the other. What it gives is not verified: who stores it does.
pub(super) struct Content<'a> {
    store: &'a Store,
    scratch: &'a Dir,
    blob: &'a [u8],
    pieces: std::vec::IntoIter<Piece>,
    current: Option<Box<dyn Read + Send + 'a>>,
    /// The file that was opened last; most operations go on with the same.
    source: Option<(Id<kind::File>, Arc<File>)>,
}

impl<'a> Content<'a> {
    pub(super) fn new(store: &'a Store, scratch: &'a Dir, blob: &'a [u8], pieces: Vec<Piece>) -> Self {
        Self { store, scratch, blob, pieces: pieces.into_iter(), current: None, source: None }
    }

    fn source(&mut self, id: Id<kind::File>) -> io::Result<Arc<File>> {
        if let Some((open, file)) = &self.source
            && *open == id
        {
            return Ok(Arc::clone(file));
        }
        let file = self.store.open_content(id, self.scratch).map_err(io::Error::other)?;
        let file = Arc::new(file);
        self.source = Some((id, Arc::clone(&file)));
        Ok(file)
    }

    fn open(&mut self, piece: Piece) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match piece {
            Piece::Blob(range) => Box::new(self.blob.get(range).unwrap_or_default()),
            Piece::Source { id, offset, size } => {
                Box::new(Part { file: self.source(id)?, offset, left: size })
            }
            Piece::Patch { id, range } => {
                let patch = self.blob.get(range).unwrap_or_default();
                Box::new(Patcher { old: self.source(id)?, at: 0, patch, add: 0, insert: 0, seek: 0 })
            }
        })
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                let count = current.read(buf)?;
                if count > 0 || buf.is_empty() {
                    return Ok(count);
                }
            }
            let Some(piece) = self.pieces.next() else { return Ok(0) };
            self.current = Some(self.open(piece)?);
        }
    }
}

/// A part of a file.
struct Part {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(buf.get_mut(..want).unwrap_or_default(), self.offset)?;
        if count == 0 && want > 0 {
            return Err(damaged("content outside of its source"));
        }
        self.offset = self.offset.saturating_add(count as u64);
        self.left -= count as u64;
        Ok(count)
    }
}

/// What a bsdiff patch without header and compression makes of a file: rounds of three numbers (how many bytes to add to
/// old ones, how many to insert, where to go on in the old file), the bytes to add, the bytes to insert.
struct Patcher<'a> {
    old: Arc<File>,
    /// Where in the old file; what is outside of it counts as zero.
    at: i64,
    patch: &'a [u8],
    add: u64,
    insert: u64,
    /// How far to go in the old file when this round is over.
    seek: i64,
}

impl Patcher<'_> {
    fn number(&mut self) -> io::Result<i64> {
        let Some((bytes, rest)) = self.patch.split_first_chunk::<8>() else {
            return Err(damaged("a patch ends in a number"));
        };
        self.patch = rest;
        let bits = u64::from_le_bytes(*bytes);
        let size = i64::try_from(bits & !(1 << 63)).unwrap_or_default();
        Ok(if bits >> 63 == 1 { -size } else { size })
    }

    fn take(&mut self, buf: &mut [u8], left: u64) -> io::Result<usize> {
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some((bytes, rest)) = self.patch.split_at_checked(want) else {
            return Err(damaged("a patch is cut off"));
        };
        buf.get_mut(..want).unwrap_or_default().copy_from_slice(bytes);
        self.patch = rest;
        Ok(want)
    }

    /// Adds the bytes of the old file from here on.
    fn add_old(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let size = i64::try_from(buf.len()).unwrap_or(i64::MAX);
        let before = self.at.saturating_neg().clamp(0, size);
        let inside = buf.get_mut(usize::try_from(before).unwrap_or_default()..).unwrap_or_default();
        let mut old = vec![0; inside.len()];
        let (mut filled, mut offset) = (0, u64::try_from(self.at).unwrap_or_default());
        while let Some(rest) = old.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = self.old.read_at(rest, offset)?;
            if count == 0 {
                break;
            }
            filled += count;
            offset = offset.saturating_add(count as u64);
        }
        for (new, old) in inside.iter_mut().zip(old) {
            *new = new.wrapping_add(old);
        }
        self.at = self.at.saturating_add(size);
        Ok(())
    }
}

impl Read for Patcher<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.add > 0 {
                let count = self.take(buf, self.add)?;
                self.add -= count as u64;
                self.add_old(buf.get_mut(..count).unwrap_or_default())?;
                return Ok(count);
            }
            if self.insert > 0 {
                let count = self.take(buf, self.insert)?;
                self.insert -= count as u64;
                return Ok(count);
            }
            self.at = self.at.saturating_add(std::mem::take(&mut self.seek));
            if self.patch.is_empty() {
                return Ok(0);
            }
            let lengths = (u64::try_from(self.number()?), u64::try_from(self.number()?));
            let (Ok(add), Ok(insert)) = lengths else {
                return Err(damaged("a patch has a negative length"));
            };
            (self.add, self.insert, self.seek) = (add, insert, self.number()?);
        }
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
