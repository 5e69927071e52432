//! Reading values, strictly: what is not in normal form is an error.
#![deny(clippy::indexing_slicing)]

use super::{Layout, offset_width};
use crate::DecodeError;

/// A serialised value, and where it stands in the whole input.
///
/// Each method reads it as one type, and fails when it is not a value of that type in normal form. Only the framing of
/// a container is checked with it: each member is checked when it is read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of a whole input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// The serialised bytes.
    pub fn raw(self) -> &'a [u8] {
        self.bytes
    }
    /// Where in the input it begins.
    pub fn offset(self) -> usize {
        self.at
    }
    /// An error about this value.
    pub fn error(self, what: &'static str) -> DecodeError {
        DecodeError { offset: self.at, what }
    }

    fn fixed<const N: usize>(self) -> Result<[u8; N], DecodeError> {
        self.bytes.try_into().map_or(Err(self.error("value of a fixed size has another")), Ok)
    }

    /// Type `y`.
    ///
    /// # Errors
    /// It is not one byte.
    pub fn u8(self) -> Result<u8, DecodeError> {
        self.fixed().map(u8::from_le_bytes)
    }
    /// Type `b`.
    ///
    /// # Errors
    /// It is not one byte, 0 or 1.
    pub fn bool(self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("boolean is neither 0 nor 1")),
        }
    }
    /// Type `n`.
    ///
    /// # Errors
    /// It is not 2 bytes.
    pub fn i16(self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_le_bytes)
    }
    /// Type `q`.
    ///
    /// # Errors
    /// It is not 2 bytes.
    pub fn u16(self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_le_bytes)
    }
    /// Type `i` (or `h`).
    ///
    /// # Errors
    /// It is not 4 bytes.
    pub fn i32(self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_le_bytes)
    }
    /// Type `u`.
    ///
    /// # Errors
    /// It is not 4 bytes.
    pub fn u32(self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_le_bytes)
    }
    /// Type `u`, swapped from big-endian.
    ///
    /// # Errors
    /// It is not 4 bytes.
    pub fn u32_be(self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }
    /// Type `x`.
    ///
    /// # Errors
    /// It is not 8 bytes.
    pub fn i64(self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_le_bytes)
    }
    /// Type `t`.
    ///
    /// # Errors
    /// It is not 8 bytes.
    pub fn u64(self) -> Result<u64, DecodeError> {
        self.fixed().map(u64::from_le_bytes)
    }
    /// Type `t`, swapped from big-endian.
    ///
    /// # Errors
    /// It is not 8 bytes.
    pub fn u64_be(self) -> Result<u64, DecodeError> {
        self.fixed().map(u64::from_be_bytes)
    }
    /// Type `d`.
    ///
    /// # Errors
    /// It is not 8 bytes.
    pub fn f64(self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_le_bytes)
    }
    /// Type `s`.
    ///
    /// # Errors
    /// It is not UTF-8, does not end with NUL, or holds another.
    pub fn str(self) -> Result<&'a str, DecodeError> {
        let Some((0, text)) = self.bytes.split_last() else {
            return Err(self.error("text without its final NUL"));
        };
        if text.contains(&0) {
            return Err(self.error("text holds a NUL byte"));
        }
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text),
            Err(error) => {
                Err(DecodeError { offset: self.at + error.valid_up_to(), what: "text is not UTF-8" })
            }
        }
    }
    /// Type `ay`: every sequence of bytes is one.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }
    /// Type `ay` as what `GLib` calls a byte string: what stands before the one NUL, at its end.
    ///
    /// # Errors
    /// It does not end with NUL, or holds another.
    pub fn bytestring(self) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_last() {
            Some((0, text)) if !text.contains(&0) => Ok(text),
            _ => Err(self.error("byte string without one NUL at its end")),
        }
    }
    /// Type `v`: type string and content. Neither is checked; [`super::check_normal_form`] does.
    ///
    /// # Errors
    /// There is no type string, or it is not UTF-8.
    pub fn variant(self) -> Result<(&'a str, Reader<'a>), DecodeError> {
        let nul = self.bytes.iter().rposition(|byte| *byte == 0);
        let parts = nul.and_then(|nul| self.bytes.split_at_checked(nul));
        let Some((value, [0, signature @ ..])) = parts else {
            return Err(self.error("variant without a type"));
        };
        match std::str::from_utf8(signature) {
            Ok(signature) => Ok((signature, Self { bytes: value, at: self.at })),
            Err(_) => Err(DecodeError { offset: self.at + value.len() + 1, what: "type string is not text" }),
        }
    }
    /// A tuple (not the empty one), member by member.
    ///
    /// # Errors
    /// It is not framed as a tuple of members like these.
    pub fn tuple<const N: usize>(self, layouts: [Layout; N]) -> Result<[Reader<'a>; N], DecodeError> {
        let mut cursor = TupleCursor::new(self);
        let mut members = [Self { bytes: &[], at: self.at }; N];
        for (at, (member, layout)) in members.iter_mut().zip(layouts).enumerate() {
            *member = cursor.next(layout, at + 1 == N)?;
        }
        cursor.finish()?;
        Ok(members)
    }
    /// A dictionary entry with a text key and a variant: `{sv}`.
    ///
    /// # Errors
    /// It is not framed as one.
    pub fn entry(self) -> Result<(Reader<'a>, Reader<'a>), DecodeError> {
        self.tuple([Layout::STR, Layout::VARIANT]).map(|[key, value]| (key, value))
    }
    /// An array, element by element. Framing is checked as the elements are taken.
    ///
    /// # Errors
    /// Its size or its offsets cannot be those of such an array.
    pub fn array(self, element: Layout) -> Result<Array<'a>, DecodeError> {
        let count = match element.size {
            Some(size) if self.bytes.len().is_multiple_of(size) => self.bytes.len() / size,
            Some(_) => return Err(self.error("size of an array is not a multiple of its elements'")),
            None => return self.variable_array(element.align),
        };
        Ok(Array { whole: self, element, offset: 0, width: 0, next_offset: 0, body: self.bytes.len(), count })
    }

    fn variable_array(self, align: usize) -> Result<Array<'a>, DecodeError> {
        let size = self.bytes.len();
        let mut array = Array {
            whole: self,
            element: Layout::variable(align),
            offset: 0,
            width: width_for(size),
            next_offset: 0,
            body: 0,
            count: 0,
        };
        if size == 0 {
            return Ok(array);
        }
        let bad = |what| DecodeError { offset: self.at + size - array.width, what };
        let body = read_offset(self.bytes, size - array.width, array.width).filter(|body| *body <= size);
        let Some(body) = body else { return Err(bad("offset points out of the array")) };
        let table = size - body;
        if table == 0 || !table.is_multiple_of(array.width) {
            return Err(bad("offsets of an array do not fill it"));
        }
        let count = table / array.width;
        if offset_width(body, count) != array.width {
            return Err(bad("offsets are wider than needed"));
        }
        (array.body, array.count, array.next_offset) = (body, count, body);
        Ok(array)
    }

    /// The same without its last byte.
    pub(super) fn without_last(self) -> Self {
        Self { bytes: self.bytes.split_last().map_or(&[], |(_, rest)| rest), at: self.at }
    }

    /// The part from `start` to `end`, which must be within.
    fn part(self, start: usize, end: usize) -> Option<Self> {
        Some(Self { bytes: self.bytes.get(start..end)?, at: self.at + start })
    }
}

/// The width of the offsets in a container of this size.
fn width_for(size: usize) -> usize {
    match size {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        _ if size as u64 <= 0xffff_ffff => 4,
        _ => 8,
    }
}

/// The little-endian number of `width` bytes at `at`; `None` if it is not within or does not fit.
fn read_offset(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let mut number = [0; 8];
    let source = bytes.get(at..at.checked_add(width)?)?;
    number.get_mut(..width)?.copy_from_slice(source);
    usize::try_from(u64::from_le_bytes(number)).ok()
}

/// The next multiple of `align`, if all bytes up to it are within `..limit` and zero.
fn skip_padding(whole: Reader<'_>, from: usize, limit: usize, align: usize) -> Result<usize, DecodeError> {
    let to = from.checked_next_multiple_of(align).filter(|to| *to <= limit || *to == from);
    let Some(to) = to else {
        return Err(DecodeError { offset: whole.at + from, what: "value ends in padding" });
    };
    match whole.bytes.get(from..to) {
        Some(padding) if padding.iter().all(|byte| *byte == 0) => Ok(to),
        _ if to == from => Ok(to),
        _ => Err(DecodeError { offset: whole.at + from, what: "padding is not zero" }),
    }
}

/// Splits a tuple into its members.
#[derive(Debug)]
pub(super) struct TupleCursor<'a> {
    whole: Reader<'a>,
    /// Where the next member begins, before padding.
    offset: usize,
    /// Where the offsets read so far begin: they are taken from the end.
    table: usize,
    width: usize,
    align: usize,
    all_fixed: bool,
}

impl<'a> TupleCursor<'a> {
    pub(super) fn new(whole: Reader<'a>) -> Self {
        let size = whole.bytes.len();
        Self { whole, offset: 0, table: size, width: width_for(size), align: 1, all_fixed: true }
    }

    pub(super) fn next(&mut self, layout: Layout, last: bool) -> Result<Reader<'a>, DecodeError> {
        let start = skip_padding(self.whole, self.offset, self.table, layout.align)?;
        self.align = self.align.max(layout.align);
        self.all_fixed &= layout.size.is_some();
        let end = match layout.size {
            Some(size) => start.checked_add(size),
            None if last => Some(self.table),
            None => {
                let table = self.table.checked_sub(self.width);
                self.table = table.ok_or_else(|| self.whole.error("tuple too short for its offsets"))?;
                read_offset(self.whole.bytes, self.table, self.width)
            }
        };
        let end = end.filter(|end| *end <= self.table);
        let member = end.and_then(|end| self.whole.part(start, end));
        let bad =
            || DecodeError { offset: self.whole.at + self.table, what: "member of a tuple has no room" };
        let member = member.ok_or_else(bad)?;
        self.offset = start + member.bytes.len();
        Ok(member)
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        let size = self.whole.bytes.len();
        let mut end = self.offset;
        if self.all_fixed {
            end = skip_padding(self.whole, end, size, self.align)?;
        }
        if end != self.table {
            return Err(DecodeError {
                offset: self.whole.at + end,
                what: "bytes between the members and the offsets",
            });
        }
        if size > 0 && self.width > offset_width(end, (size - end) / self.width) {
            return Err(DecodeError { offset: self.whole.at + end, what: "offsets are wider than needed" });
        }
        Ok(())
    }
}

/// The elements of an array.
#[derive(Debug, Clone)]
pub struct Array<'a> {
    whole: Reader<'a>,
    element: Layout,
    /// Where the next element begins, before padding.
    offset: usize,
    width: usize,
    /// Where the end of the next element is written, and where the elements end.
    next_offset: usize,
    body: usize,
    count: usize,
}

impl<'a> Array<'a> {
    fn take(&mut self) -> Result<Reader<'a>, DecodeError> {
        let start = skip_padding(self.whole, self.offset, self.body, self.element.align)?;
        let end = match self.element.size {
            Some(size) => start.checked_add(size),
            None => read_offset(self.whole.bytes, self.next_offset, self.width),
        };
        let part = end.filter(|end| *end <= self.body).and_then(|end| self.whole.part(start, end));
        let bad =
            || DecodeError { offset: self.whole.at + self.next_offset, what: "offset of an array is wrong" };
        let part = part.ok_or_else(bad)?;
        self.offset = start + part.bytes.len();
        self.next_offset += self.width;
        Ok(part)
    }
}

impl<'a> Iterator for Array<'a> {
    type Item = Result<Reader<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let taken = self.take();
        if taken.is_err() {
            self.count = 0;
        }
        Some(taken)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Array<'_> {}
