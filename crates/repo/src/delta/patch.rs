//! bsdiff patches, applied while they are read.
#![deny(clippy::indexing_slicing)]

use super::content::damaged;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// What a bsdiff patch without header and compression makes of a file: rounds of three numbers (how many bytes to add to
/// old ones, how many to insert, where to go on in the old file), the bytes to add, the bytes to insert.
#[derive(Debug)]
pub struct PatchedFile<'a> {
    old: Arc<File>,
    /// Where in the old file; what is outside of it counts as zero.
    at: i64,
    patch: &'a [u8],
    add: u64,
    insert: u64,
    /// How far to go in the old file when this round is over.
    seek: i64,
}

impl<'a> PatchedFile<'a> {
    /// The content that `patch` makes of `old`. No more is read than is asked for: who reads it knows the size it has.
    pub fn new(old: Arc<File>, patch: &'a [u8]) -> Self {
        Self { old, at: 0, patch, add: 0, insert: 0, seek: 0 }
    }
}

impl PatchedFile<'_> {
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

impl Read for PatchedFile<'_> {
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
