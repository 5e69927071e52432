//! Writing tar archives in GNU's form, with a pax header before what has extended attributes.
//!
//! The bytes depend on nothing but what is written: no names of owners, no padding to records.

use super::EntryKind;
use std::io::{self, Read, Write};

const BLOCK: usize = 512;

/// What is written of one entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: &'a EntryKind,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    /// Device numbers, of a special file.
    pub(crate) device: Option<(u8, u32, u32)>,
    pub(crate) mtime: u64,
    pub(crate) size: u64,
}

/// An archive being written.
#[derive(Debug)]
pub(crate) struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry with its content, which is of the size that the header says.
    pub(crate) fn entry<'x>(
        &mut self,
        header: &Header<'_>,
        xattrs: impl Iterator<Item = (&'x [u8], &'x [u8])>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let records: Vec<u8> = xattrs.flat_map(|(name, value)| record(name, value)).collect();
        if !records.is_empty() {
            self.extra(b'x', "././@PaxHeader", &records)?;
        }
        let link = match header.kind {
            EntryKind::Symlink(target) | EntryKind::Hardlink(target) => target.as_slice(),
            _ => &[],
        };
        if link.len() > 100 {
            self.extra(b'K', "././@LongLink", &[link, b"\0"].concat())?;
        }
        if header.path.len() > 100 {
            self.extra(b'L', "././@LongLink", &[header.path.as_bytes(), b"\0"].concat())?;
        }
        let kind = match (header.kind, header.device) {
            (EntryKind::Dir, _) => b'5',
            (EntryKind::Symlink(_), _) => b'2',
            (EntryKind::Hardlink(_), _) => b'1',
            (EntryKind::Special, Some((kind, _, _))) => kind,
            (EntryKind::File | EntryKind::Special, _) => b'0',
        };
        self.out.write_all(&block(header, kind, link))?;
        let copied = io::copy(content, &mut self.out)?;
        if copied != header.size {
            return Err(io::Error::other("content is not of the size announced"));
        }
        self.pad(copied)
    }

    /// A header that tells of the next entry.
    pub(super) fn extra(&mut self, kind: u8, name: &str, content: &[u8]) -> io::Result<()> {
        let size = content.len() as u64;
        let header = Header {
            path: name,
            kind: &EntryKind::File,
            uid: 0,
            gid: 0,
            mode: 0,
            device: None,
            mtime: 0,
            size,
        };
        self.out.write_all(&block(&header, kind, b""))?;
        self.out.write_all(content)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        io::copy(&mut io::repeat(0).take(rest), &mut self.out).map(drop)
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }
}

/// A pax record of an attribute; its length counts its own digits.
fn record(name: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [b" SCHILY.xattr.", name, b"=", value, b"\n"].concat();
    let mut digits = 1;
    while (body.len() + digits).to_string().len() > digits {
        digits += 1;
    }
    [(body.len() + digits).to_string().as_bytes(), &body].concat()
}

fn block(header: &Header<'_>, kind: u8, link: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, 100, header.path.as_bytes());
    number(&mut block, 100, 8, header.mode.into());
    number(&mut block, 108, 8, header.uid.into());
    number(&mut block, 116, 8, header.gid.into());
    number(&mut block, 124, 12, header.size);
    number(&mut block, 136, 12, header.mtime);
    put(&mut block, 148, 8, b"        ");
    put(&mut block, 156, 1, &[kind]);
    put(&mut block, 157, 100, link);
    put(&mut block, 257, 8, b"ustar  \0");
    if let Some((_, major, minor)) = header.device {
        number(&mut block, 329, 8, major.into());
        number(&mut block, 337, 8, minor.into());
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, 8, format!("{sum:06o}\0 ").as_bytes());
    block
}

/// As much of `bytes` as the field holds.
fn put(block: &mut [u8; BLOCK], at: usize, len: usize, bytes: &[u8]) {
    for (to, from) in block.iter_mut().skip(at).take(len).zip(bytes) {
        *to = *from;
    }
}

/// Octal digits and NUL, or where they do not fit binary with the first bit set.
fn number(block: &mut [u8; BLOCK], at: usize, len: usize, value: u64) {
    let digits = format!("{value:0width$o}\0", width = len - 1);
    if digits.len() == len {
        return put(block, at, len, digits.as_bytes());
    }
    let value = value.to_be_bytes();
    let zeros = vec![0; len.saturating_sub(value.len())];
    let start = value.len().saturating_sub(len);
    put(block, at, len, &[zeros.as_slice(), value.get(start..).unwrap_or_default()].concat());
    if let Some(first) = block.get_mut(at) {
        *first |= 0x80;
    }
}
