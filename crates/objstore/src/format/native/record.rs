//! Records: a version byte and postcard, in one form only.
#![deny(clippy::indexing_slicing)]

use crate::DecodeError;
use crate::object::Budget;
use postcard::{de_flavors, ser_flavors};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::cell::Cell;

/// The first byte of every record.
const VERSION: u8 = 1;

/// Encodes a record.
pub(super) fn encode(record: &impl Serialize) -> Vec<u8> {
    // Only a sequence of unknown length could fail, and there is none. No decoder takes an empty record.
    postcard::to_extend(record, vec![VERSION]).unwrap_or_default()
}

/// Decodes a record that is the whole of `bytes`.
pub(super) fn decode<'de, T>(bytes: &'de [u8]) -> Result<T, DecodeError>
where
    T: Deserialize<'de> + Serialize,
{
    match bytes.first() {
        Some(&VERSION) => {}
        Some(_) => return Err(DecodeError { offset: 0, what: "unknown version of the native format" }),
        None => return Err(DecodeError { offset: 0, what: "record of no bytes" }),
    }
    let mut deserializer =
        postcard::Deserializer::from_flavor(Counting { bytes, at: 1, items: Some(Budget::ITEMS) });
    let record = T::deserialize(&mut deserializer);
    let (at, items) = deserializer.finalize().unwrap_or_default();
    let error = |what| DecodeError { offset: at, what };
    let record =
        record.map_err(|cause| error(if items.is_none() { "too many values" } else { reason(&cause) }))?;
    if at != bytes.len() {
        return Err(error("bytes after the record"));
    }
    let same = Cell::new(1);
    match postcard::serialize_with_flavor(&record, Compare { whole: bytes, at: &same }) {
        Ok(()) if same.get() == bytes.len() => Ok(record),
        _ => Err(DecodeError { offset: same.get(), what: "number is longer than needed" }),
    }
}

/// Input that knows where it is, and how many texts and byte strings it may still give: `None` once it was asked for more.
struct Counting<'de> {
    bytes: &'de [u8],
    at: usize,
    items: Option<usize>,
}

impl<'de> de_flavors::Flavor<'de> for Counting<'de> {
    type Remainder = (usize, Option<usize>);
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        let byte = self.bytes.get(self.at).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.at += 1;
        Ok(*byte)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len() - self.at)
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        self.items = self.items.and_then(|items| items.checked_sub(1));
        if self.items.is_none() {
            return Err(postcard::Error::DeserializeBadEncoding);
        }
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.at += count;
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<(usize, Option<usize>)> {
        Ok((self.at, self.items))
    }
}

/// Output that must be what was read.
struct Compare<'a> {
    whole: &'a [u8],
    at: &'a Cell<usize>,
}

impl ser_flavors::Flavor for Compare<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        let at = self.at.get();
        let expected = at.checked_add(data.len()).and_then(|end| self.whole.get(at..end));
        if expected != Some(data) {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.at.set(at + data.len());
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

fn reason(error: &postcard::Error) -> &'static str {
    use postcard::Error as E;
    match error {
        E::DeserializeUnexpectedEnd => "record ends too early",
        E::DeserializeBadVarint => "number is too large",
        E::DeserializeBadBool => "boolean is neither 0 nor 1",
        E::DeserializeBadUtf8 => "text is not UTF-8",
        E::DeserializeBadOption => "presence is neither 0 nor 1",
        _ => "unknown case",
    }
}

/// Where decoded parts stand in the input, for errors.
#[derive(Clone, Copy)]
pub(super) struct Places<'a>(pub(super) &'a [u8]);

impl Places<'_> {
    /// An error at a part that was borrowed from the input.
    pub(super) fn error(self, part: &[u8], what: &'static str) -> DecodeError {
        let offset = part.as_ptr().addr().checked_sub(self.0.as_ptr().addr());
        DecodeError { offset: offset.filter(|offset| *offset <= self.0.len()).unwrap_or(0), what }
    }

    /// Text, which may hold no NUL.
    pub(super) fn text(self, text: &str) -> Result<String, DecodeError> {
        if text.contains('\0') {
            Err(self.error(text.as_bytes(), "text holds a NUL byte"))
        } else {
            Ok(text.to_owned())
        }
    }
}

/// A byte string. (By itself serde would take a slice for a list of numbers.)
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Borrowed).map(Self)
    }
}
