//! Reading and writing records of the native format, section 1 of `docs/FORMAT.md`, that are not objects.
#![deny(clippy::indexing_slicing)]

use crate::leb128;
use sapwood_objstore::DecodeError;

/// Appends a byte string.
pub(crate) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    leb128::write(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Bytes that are being read.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Input<'a> {
    /// Those behind a version byte.
    pub(crate) fn of_version(bytes: &'a [u8], version: u8) -> Result<Self, DecodeError> {
        let mut input = Self { bytes, at: 0 };
        if input.take(1)? != [version] {
            return Err(DecodeError { offset: 0, what: "unknown version" });
        }
        Ok(input)
    }

    /// Those of a record that has no version byte of its own.
    pub(crate) fn of_record(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// An error about what is next.
    pub(crate) fn wrong(&self, what: &'static str) -> DecodeError {
        DecodeError { offset: self.at, what }
    }

    /// Refuses bytes that nobody read.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.at < self.bytes.len() { Err(self.wrong("bytes after the end")) } else { Ok(()) }
    }

    /// So many bytes, of which each is as good as any other.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let begin = self.at;
        let taken = self.take(N)?.try_into();
        taken.or(Err(DecodeError { offset: begin, what: "ends too early" }))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(DecodeError { offset: self.at, what: "ends too early" })?;
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let begin = self.at;
        let wrong = |what| DecodeError { offset: begin, what };
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(wrong("ends too early")) };
            let digit = u64::from(byte & 0x7f);
            if shift == 63 && digit > 1 {
                return Err(wrong("number past 64 bits"));
            }
            value |= digit << shift;
            if byte < 0x80 {
                return if digit == 0 && shift > 0 {
                    Err(wrong("number is longer than needed"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(wrong("number past 64 bits"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let begin = self.at;
        let len = self.varint()?;
        let too_long = DecodeError { offset: begin, what: "ends too early" };
        let len = usize::try_from(len).ok().ok_or(too_long)?;
        self.take(len)
    }
}
