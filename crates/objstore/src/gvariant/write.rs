//! Writing values in normal form.

use super::offset_width;

/// Writes one value, or the members of the container being built by the closure it was handed to.
///
/// A container's closure writes its members in order, each by one call; the writer pads and frames them. Types are not
/// checked: the calls made are the type. Memory: the bytes written, and 8 bytes for each pending framing offset.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    /// Ends of the variable-size members of the open containers, innermost last, absolute.
    ends: Vec<usize>,
    frame: Frame,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    start: usize,
    first_end: usize,
    /// Whether a variable-size member was written; whether the last one was of variable size.
    any_variable: bool,
    last_variable: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer of one value.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }
    /// The same, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let frame = Frame { start: 0, first_end: 0, any_variable: false, last_variable: false };
        Self { out: Vec::with_capacity(bytes), ends: Vec::new(), frame }
    }
    /// The bytes of the value.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn pad(&mut self, align: usize) {
        self.out.resize(self.out.len().next_multiple_of(align), 0);
    }

    fn wrote_fixed(&mut self) {
        self.frame.last_variable = false;
    }

    fn wrote_variable(&mut self) {
        self.frame.any_variable = true;
        self.frame.last_variable = true;
        self.ends.push(self.out.len());
    }

    fn fixed(&mut self, bytes: &[u8]) {
        self.pad(bytes.len());
        self.out.extend_from_slice(bytes);
        self.wrote_fixed();
    }

    /// Type `y`.
    pub fn u8(&mut self, value: u8) {
        self.fixed(&[value]);
    }
    /// Type `b`.
    pub fn bool(&mut self, value: bool) {
        self.fixed(&[u8::from(value)]);
    }
    /// Type `n`.
    pub fn i16(&mut self, value: i16) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `q`.
    pub fn u16(&mut self, value: u16) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `i` (or `h`).
    pub fn i32(&mut self, value: i32) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `u`.
    pub fn u32(&mut self, value: u32) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `u`, with its bytes swapped to big-endian, as OSTree keeps owners and modes.
    pub fn u32_be(&mut self, value: u32) {
        self.fixed(&value.to_be_bytes());
    }
    /// Type `x`.
    pub fn i64(&mut self, value: i64) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `t`.
    pub fn u64(&mut self, value: u64) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `t`, with its bytes swapped to big-endian, as OSTree keeps times and some sizes.
    pub fn u64_be(&mut self, value: u64) {
        self.fixed(&value.to_be_bytes());
    }
    /// Type `d`.
    pub fn f64(&mut self, value: f64) {
        self.fixed(&value.to_le_bytes());
    }
    /// Type `s` (or `o` or `g`). A NUL inside is written as it is, and refused by every reader.
    pub fn str(&mut self, value: &str) {
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(0);
        self.wrote_variable();
    }
    /// Type `ay`.
    pub fn bytes(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
        self.wrote_variable();
    }
    /// Type `ay`, holding `value` and a NUL: what `GLib` calls a byte string.
    pub fn bytestring(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
        self.out.push(0);
        self.wrote_variable();
    }
    /// A value of variable size that is serialised already, and whose type has this alignment.
    pub fn raw(&mut self, align: usize, bytes: &[u8]) {
        self.pad(align);
        self.bytes(bytes);
    }

    fn container(&mut self, align: usize, members: impl FnOnce(&mut Self)) -> Frame {
        self.pad(align);
        let inner = Frame {
            start: self.out.len(),
            first_end: self.ends.len(),
            any_variable: false,
            last_variable: false,
        };
        let outer = std::mem::replace(&mut self.frame, inner);
        members(self);
        std::mem::replace(&mut self.frame, outer)
    }

    fn offset(&mut self, value: usize, width: usize) {
        self.out.extend(value.to_le_bytes().into_iter().take(width));
    }

    /// A tuple. `align` is the largest alignment of its members.
    pub fn tuple(&mut self, align: usize, members: impl FnOnce(&mut Self)) {
        let frame = self.container(align, members);
        if frame.last_variable {
            self.ends.pop();
        }
        if frame.any_variable {
            let width = offset_width(self.out.len() - frame.start, self.ends.len() - frame.first_end);
            for at in (frame.first_end..self.ends.len()).rev() {
                let end = self.ends[at] - frame.start;
                self.offset(end, width);
            }
            self.ends.truncate(frame.first_end);
            self.wrote_variable();
        } else {
            if self.out.len() == frame.start {
                self.out.push(0);
            }
            self.pad(align);
            self.wrote_fixed();
        }
    }

    /// An array. `align` is the alignment of its elements; all must be of one type.
    pub fn array(&mut self, align: usize, elements: impl FnOnce(&mut Self)) {
        let frame = self.container(align, elements);
        let count = self.ends.len() - frame.first_end;
        let width = offset_width(self.out.len() - frame.start, count);
        for at in frame.first_end..self.ends.len() {
            let end = self.ends[at] - frame.start;
            self.offset(end, width);
        }
        self.ends.truncate(frame.first_end);
        self.wrote_variable();
    }

    /// A value in a variant. `signature` is its type string.
    pub fn variant(&mut self, signature: &str, value: impl FnOnce(&mut Self)) {
        let frame = self.container(8, value);
        self.ends.truncate(frame.first_end);
        self.out.push(0);
        self.out.extend_from_slice(signature.as_bytes());
        self.wrote_variable();
    }

    /// A maybe that holds a value, whose type has this alignment.
    pub fn just(&mut self, align: usize, value: impl FnOnce(&mut Self)) {
        let frame = self.container(align, value);
        self.ends.truncate(frame.first_end);
        if frame.last_variable {
            self.out.push(0);
        }
        self.wrote_variable();
    }

    /// A maybe that holds nothing, whose value's type has this alignment.
    pub fn nothing(&mut self, align: usize) {
        self.raw(align, &[]);
    }

    /// A dictionary `a{sv}`, or any other whose entries have an alignment of 8.
    pub fn dict(&mut self, entries: impl FnOnce(&mut Self)) {
        self.array(8, entries);
    }

    /// An entry with a text key; `value` writes its value, which must have an alignment of 8, as a variant.
    pub fn entry(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        self.tuple(8, |w| {
            w.str(key);
            value(w);
        });
    }

    /// Type `as`.
    pub fn strs<'s>(&mut self, values: impl IntoIterator<Item = &'s str>) {
        self.array(1, |w| values.into_iter().for_each(|value| w.str(value)));
    }
}
