//! The content of a file, put together from its pieces while it is read.

use super::Piece;
use super::patch::PatchedFile;
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
                Box::new(PatchedFile::new(self.source(id)?, patch))
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

pub(super) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
