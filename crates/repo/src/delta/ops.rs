//! Operations: reading them, and turning those of a part into a recipe for each of its objects, checked against the
//! part's tables before anything is written.
#![deny(clippy::indexing_slicing)]

use super::{DeltaError, PartInfo, PartPayload};
use crate::leb128;
use sapwood_objstore::{DecodeError, FileHeader, FileType, Id, ObjectId, ObjectKind, ObjectName, kind};
use std::ops::Range;

/// Bytes of an id.
const ID_BYTES: u64 = 32;
/// The bits of a mode that tell the type, and the types that there are.
const TYPE_BITS: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A whole metadata object from the blob.
    SpliceMeta {
        /** Bytes. */
        size: u64,
        /** Where in the blob. */
        offset: u64,
    },
    /// A whole file from the blob.
    SpliceFile {
        /** Row of the table of modes. */
        mode: u64,
        /** Row of the table of attributes. */
        xattrs: u64,
        /** Bytes. */
        size: u64,
        /** Where in the blob. */
        offset: u64,
    },
    /// Begins a file.
    Open {
        /** Row of the table of modes. */
        mode: u64,
        /** Row of the table of attributes. */
        xattrs: u64,
        /** Bytes. */
        size: u64,
    },
    /// Appends bytes of the source if there is one, else of the blob.
    Write {
        /** Bytes. */
        size: u64,
        /** Where. */
        offset: u64,
    },
    /// Makes the file whose id stands in the blob the source.
    SetSource {
        /** Where in the blob. */
        offset: u64,
    },
    /// Leaves the source.
    UnsetSource,
    /// Ends a file.
    Close,
    /// Appends what a patch in the blob makes of the source.
    Patch {
        /** Where in the blob. */
        offset: u64,
        /** Bytes. */
        size: u64,
    },
}

impl Operation {
    /// Whether the object that it concerns is complete after it.
    pub fn ends_object(&self) -> bool {
        matches!(self, Self::SpliceMeta { .. } | Self::SpliceFile { .. } | Self::Close)
    }
}

/// Reads operations one by one. What `S` is followed by depends on the object it makes.
#[derive(Debug, Clone)]
pub struct Operations<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Operations<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { offset: self.at, what }
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let number = leb128::take(&mut rest);
        self.at = self.bytes.len() - rest.len();
        number.ok_or_else(|| self.error("a number that is cut off, or has more than 64 bits"))
    }

    /// The next one, while objects of this kind are made; `None` at the end.
    ///
    /// # Errors
    /// The code is unknown, or a number is cut off.
    pub fn next(&mut self, kind: Option<ObjectKind>) -> Result<Option<Operation>, DecodeError> {
        let Some(code) = self.bytes.get(self.at) else { return Ok(None) };
        self.at += 1;
        Ok(Some(match code {
            b'S' if kind.is_some_and(|kind| kind != ObjectKind::File) => {
                Operation::SpliceMeta { size: self.number()?, offset: self.number()? }
            }
            b'S' => Operation::SpliceFile {
                mode: self.number()?,
                xattrs: self.number()?,
                size: self.number()?,
                offset: self.number()?,
            },
            b'o' => Operation::Open { mode: self.number()?, xattrs: self.number()?, size: self.number()? },
            b'w' => Operation::Write { size: self.number()?, offset: self.number()? },
            b'r' => Operation::SetSource { offset: self.number()? },
            b'R' => Operation::UnsetSource,
            b'c' => Operation::Close,
            b'B' => Operation::Patch { offset: self.number()?, size: self.number()? },
            _ => return Err(DecodeError { offset: self.at - 1, what: "unknown operation" }),
        }))
    }
}

/// How an object is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// These bytes of the blob are a metadata object.
    Meta {
        /** Which. */
        name: ObjectName,
        /** Where in the blob. */
        range: Range<usize>,
    },
    /// A file.
    File {
        /** Which. */
        id: Id<kind::File>,
        /** All but its content. */
        header: FileHeader,
        /** Size of its content. */
        size: u64,
        /** Where its content comes from, in order. */
        pieces: Vec<Piece>,
    },
}

/// Where a run of content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// From the blob.
    Blob(Range<usize>),
    /// From another file.
    Source {
        /** Which. */
        id: Id<kind::File>,
        /** Where in it. */
        offset: u64,
        /** Bytes. */
        size: u64,
    },
    /// What the patch at this place of the blob makes of another file: all of the content.
    Patch {
        /** Which file. */
        id: Id<kind::File>,
        /** Where in the blob. */
        range: Range<usize>,
    },
}

/// The recipes of a part, in the order of its objects.
///
/// # Errors
/// [`DeltaError::Malformed`] with the offset in the operations: an operation is unknown or out of place, points out of
/// the blob or the tables, there is not one recipe for each object, or more content comes out than is announced.
pub fn recipes(info: &PartInfo, part: &PartPayload) -> Result<Vec<Recipe>, DeltaError> {
    let mut cook = Cook {
        part,
        source: None,
        open: None,
        made: Vec::new(),
        pieces: 0,
        attribute_bytes: 0,
        content_left: info.content_bytes,
    };
    let mut operations = Operations::new(part.operations());
    let mut read = || {
        loop {
            let begin = operations.at;
            let name = info.objects.get(cook.made.len()).copied();
            let Some(operation) = operations.next(name.map(|name| name.kind))? else { break };
            let Some(name) = name else {
                // OSTree gives back what it read from after the last object, too.
                if matches!(operation, Operation::UnsetSource) {
                    continue;
                }
                return Err(DecodeError { offset: begin, what: "more operations than objects" });
            };
            cook.step(name, operation).map_err(|what| DecodeError { offset: begin, what })?;
        }
        if cook.open.is_some() || cook.made.len() != info.objects.len() {
            return Err(operations.error("fewer objects made than listed"));
        }
        Ok(())
    };
    read().map_err(|source| DeltaError::Malformed { what: "operations", source })?;
    Ok(cook.made)
}

struct Cook<'a> {
    part: &'a PartPayload,
    source: Option<Id<kind::File>>,
    open: Option<(FileHeader, u64, Vec<Piece>)>,
    made: Vec<Recipe>,
    /// Pieces of all recipes so far.
    pieces: usize,
    /// Bytes of the attributes in all recipes so far.
    attribute_bytes: usize,
    /// Bytes of content that may still come: there was asked for space for as many as are announced.
    content_left: u64,
}

/// Longest target of a link, in bytes: Linux allows no longer path.
const MAX_TARGET_BYTES: usize = 4096;
/// Most pieces of all files of a part together: each takes a few bytes of the part, and many in memory.
const MAX_PIECES: usize = 1 << 20;
/// Most bytes of attributes of all files of a part together. Many files can share one row of the table.
const MAX_ATTRIBUTE_BYTES: usize = 256 << 20;

impl Cook<'_> {
    fn step(&mut self, name: ObjectName, operation: Operation) -> Result<(), &'static str> {
        match operation {
            Operation::SpliceMeta { size, offset } if self.open.is_none() => {
                self.made.push(Recipe::Meta { name, range: self.range(offset, size)? });
            }
            Operation::SpliceFile { mode, xattrs, size, offset } if self.open.is_none() => {
                let range = self.range(offset, size)?;
                let (header, size, pieces) = match self.header(mode, xattrs, Some(range.clone()))? {
                    header if header.is_regular() => {
                        (header, self.announced(size)?, vec![Piece::Blob(range)])
                    }
                    header => (header, 0, Vec::new()),
                };
                self.made.push(Recipe::File { id: Id::new(name.id), header, size, pieces });
            }
            Operation::Open { mode, xattrs, size }
                if self.open.is_none() && name.kind == ObjectKind::File =>
            {
                self.open = Some((self.header(mode, xattrs, None)?, self.announced(size)?, Vec::new()));
            }
            Operation::Write { size, offset } => {
                self.pieces += 1;
                if self.pieces > MAX_PIECES {
                    return Err("files in too many pieces");
                }
                let piece = match self.source {
                    Some(id) => Piece::Source { id, offset, size },
                    None => Piece::Blob(self.range(offset, size)?),
                };
                self.open.as_mut().ok_or("content without a file")?.2.push(piece);
            }
            Operation::Patch { offset, size } => {
                let id = self.source.ok_or("a patch without a source")?;
                let range = self.range(offset, size)?;
                let (_, _, pieces) = self.open.as_mut().ok_or("a patch without a file")?;
                if !pieces.is_empty() {
                    return Err("a patch of a part of a file");
                }
                pieces.push(Piece::Patch { id, range });
            }
            Operation::SetSource { offset } => {
                let range = self.range(offset, ID_BYTES)?;
                let id = self.part.blob().get(range).and_then(ObjectId::from_slice);
                self.source = id.map(Id::new);
            }
            Operation::UnsetSource => self.source = None,
            Operation::Close => {
                let (header, size, pieces) = self.open.take().ok_or("an end without a beginning")?;
                self.made.push(Recipe::File { id: Id::new(name.id), header, size, pieces });
            }
            _ => return Err("an object begins inside another"),
        }
        Ok(())
    }

    /// Takes the size of a file from what the superblock says that the part makes.
    fn announced(&mut self, size: u64) -> Result<u64, &'static str> {
        let left = self.content_left.checked_sub(size).ok_or("more content than the superblock says")?;
        self.content_left = left;
        Ok(size)
    }

    fn range(&self, offset: u64, size: u64) -> Result<Range<usize>, &'static str> {
        let within = |end: &u64| *end <= self.part.blob().len() as u64;
        let end = offset.checked_add(size).filter(within);
        let range = end.and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
        range.ok_or("content outside of the blob")
    }

    /// `target` is where the target of a link would be.
    fn header(
        &mut self,
        mode: u64,
        xattrs: u64,
        target: Option<Range<usize>>,
    ) -> Result<FileHeader, &'static str> {
        fn row<T>(table: &[T], index: u64) -> Option<&T> {
            table.get(usize::try_from(index).ok()?)
        }
        let row_of_mode = row(&self.part.modes, mode).ok_or("a mode outside of the table")?;
        let xattrs = row(&self.part.xattrs, xattrs).ok_or("attributes outside of the table")?;
        self.attribute_bytes += xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if self.attribute_bytes > MAX_ATTRIBUTE_BYTES {
            return Err("too many attributes");
        }
        let xattrs = xattrs.clone();
        let (file_type, mode) = match (row_of_mode.mode & TYPE_BITS, target) {
            (REGULAR, _) => (FileType::Regular, row_of_mode.mode & !TYPE_BITS),
            (SYMLINK, Some(range)) if range.len() > MAX_TARGET_BYTES => {
                return Err("a link target that is too long");
            }
            (SYMLINK, Some(range)) => {
                let bytes = self.part.blob().get(range).unwrap_or_default();
                let target = std::str::from_utf8(bytes).map_err(|_not_text| "a link target is not text")?;
                if target.contains('\0') {
                    return Err("a link target with a NUL byte");
                }
                (FileType::Symlink(target.to_owned()), 0o777)
            }
            _ => return Err("a mode that is neither a file's nor a link's"),
        };
        Ok(FileHeader { uid: row_of_mode.uid, gid: row_of_mode.gid, mode, file_type, xattrs })
    }
}
