//! Archives as streams of entries: tar (ustar, pax, GNU) and cpio (`newc`), plain or compressed.
//!
//! Nothing is written and nothing opened; an [`Archive`] takes bytes and gives entries. It holds one entry's names and
//! attributes, the attributes that are said of all entries, and of cpio archives the paths that hard links may lead to, up
//! to a limit; nothing is allocated by what the input only claims.

mod cpio;
mod decompress;
mod pax;
mod remembered;
mod tar;
pub(crate) mod writer;

pub use decompress::decompressed;
pub use remembered::Remembered;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

/// Longest path or link target, in bytes.
pub const MAX_PATH_BYTES: u64 = 64 << 10;
/// Longest pax header, in bytes: it may hold extended attributes. Those of one entry take no more either, with 64 bytes for
/// each.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Most entries of one archive.
pub const MAX_ENTRIES: u64 = 32 << 20;

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It is damaged, or of a kind that is not read.
    #[error("byte {offset}: {what}")]
    Malformed {
        /** Where, in the archive after decompression. */
        offset: u64,
        /** What is wrong there. */
        what: &'static str,
    },
    /// Reading it failed; compressed data that is damaged is also found here.
    #[error("reading the archive")]
    Read(#[from] io::Error),
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symlink to this.
    Symlink(Vec<u8>),
    /// One more name for what this path names. It may have content all the same, which is then that of both.
    Hardlink(Vec<u8>),
    /// A device, a fifo, a socket.
    Special,
}

/// One entry: all of it but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Its path, as the archive has it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Extended attributes: values by name. What the archive says once of many entries, these share.
    pub xattrs: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Size of its content in bytes.
    pub size: u64,
}

/// A stream of entries. After an error it must not be read on.
pub struct Archive<R> {
    input: Input<R>,
    format: Format,
    /// What is left of the content of the last entry, and of the padding behind it.
    content: u64,
    padding: u64,
    entries: u64,
    remembered: Remembered,
}

enum Format {
    Unknown,
    Tar(tar::State),
    Cpio(cpio::State),
    Ended,
}

impl<R> std::fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("offset", &self.input.offset).finish_non_exhaustive()
    }
}

impl<R: Read> Archive<R> {
    /// Reads an archive that is not compressed (see [`decompressed`]); its format is told from its first bytes. What has to
    /// be remembered of its entries is counted in `remembered`.
    pub fn new(input: R, remembered: Remembered) -> Self {
        Self {
            input: Input { from: input, offset: 0, ahead: Vec::new() },
            format: Format::Unknown,
            content: 0,
            padding: 0,
            entries: 0,
            remembered,
        }
    }

    /// The next entry; `None` at the end. What was not read of the content of the one before is skipped.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn next_entry(&mut self) -> Result<Option<ArchiveEntry>, ArchiveError> {
        self.input.skip(self.content)?;
        self.input.skip(self.padding)?;
        (self.content, self.padding) = (0, 0);
        if matches!(self.format, Format::Unknown) {
            self.format = match self.input.peek(6)? {
                [] => return Err(self.input.malformed("the archive is empty")),
                b"070701" | b"070702" => Format::Cpio(cpio::State::default()),
                _ => Format::Tar(tar::State::default()),
            };
        }
        let found = match &mut self.format {
            Format::Tar(state) => tar::next(&mut self.input, state)?,
            Format::Cpio(state) => cpio::next(&mut self.input, state, &self.remembered)?,
            Format::Unknown | Format::Ended => None,
        };
        let Some((entry, alignment)) = found else {
            self.format = Format::Ended;
            return Ok(None);
        };
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(self.input.malformed("the archive has too many entries"));
        }
        self.content = entry.size;
        self.padding = entry.size.next_multiple_of(alignment) - entry.size;
        Ok(Some(entry))
    }

    /// Reads on to the end of the input, so that whoever writes it is not cut off, and checksums behind it are looked at.
    ///
    /// # Errors
    /// What reading fails with.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(&mut self.input.from, &mut io::sink()).map(drop)
    }
}

/// The content of the last entry.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.content).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..want).filter(|buf| !buf.is_empty()) else { return Ok(0) };
        let n = self.input.read(buf)?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends in the middle of a file",
            ));
        }
        self.content -= n as u64;
        Ok(n)
    }
}

/// The bytes of the archive, counted.
struct Input<R> {
    from: R,
    offset: u64,
    ahead: Vec<u8>,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = if self.ahead.is_empty() {
            self.from.read(buf)?
        } else {
            let n = self.ahead.as_slice().read(buf)?;
            self.ahead.drain(..n);
            n
        };
        self.offset += n as u64;
        Ok(n)
    }
}

impl<R: Read> Input<R> {
    fn malformed(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Malformed { offset: self.offset, what }
    }

    /// The first bytes, which are read again.
    fn peek(&mut self, count: u64) -> io::Result<&[u8]> {
        (&mut self.from).take(count).read_to_end(&mut self.ahead)?;
        Ok(&self.ahead)
    }

    fn skip(&mut self, count: u64) -> Result<(), ArchiveError> {
        let skipped = io::copy(&mut self.by_ref().take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(self.malformed("the archive is truncated")) }
    }

    /// So many bytes, at most `limit`.
    fn bytes(&mut self, count: u64, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if count > limit {
            return Err(self.malformed("a name or header is too long"));
        }
        let mut bytes = Vec::new();
        self.by_ref().take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == count { Ok(bytes) } else { Err(self.malformed("the archive is truncated")) }
    }
}

#[cfg(test)]
mod tests;
