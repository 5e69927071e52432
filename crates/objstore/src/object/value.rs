//! Metadata values.
#![deny(clippy::indexing_slicing)]

use crate::DecodeError;
use crate::gvariant::{self, Layout, Reader, Type, Writer};

/// A metadata value. Everything that has its own case is always that case, so equal values are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// Type `s`.
    Str(String),
    /// Type `b`.
    Bool(bool),
    /// Type `y`.
    U8(u8),
    /// Type `u`, as it stands in the bytes (little-endian).
    U32(u32),
    /// Type `t`, as it stands in the bytes (little-endian; several well-known OSTree keys hold big-endian values,
    /// swapped by who reads them).
    U64(u64),
    /// Type `i`.
    I32(i32),
    /// Type `x`.
    I64(i64),
    /// Type `ay`.
    Bytes(Vec<u8>),
    /// Type `as`.
    Strs(Vec<String>),
    /// Type `aay`.
    ByteArrays(Vec<Vec<u8>>),
    /// Any other GVariant: its type string and its bytes in normal form, little-endian.
    Variant {
        /// GVariant type string.
        signature: String,
        /// Serialised value, normal form.
        bytes: Vec<u8>,
    },
}

impl Value {
    /// The value in GVariant's text form, with type annotations as `GLib` prints them (`'text'`, `uint32 42`, `true`,
    /// `['a', 'b']`, `[byte 0x01]`).
    ///
    /// Empty if a [`Variant`](Self::Variant) was made whose bytes are not in normal form.
    pub fn to_text(&self) -> String {
        gvariant::print(self.signature(), &self.to_gvariant()).unwrap_or_default()
    }
    /// The same with the bytes of numbers swapped, as `ostree show --print-metadata-key` prints it: it takes every
    /// number for a big-endian one, which those that OSTree itself writes are.
    pub fn to_text_swapped(&self) -> String {
        gvariant::print_swapped(self.signature(), &self.to_gvariant()).unwrap_or_default()
    }
    /// The same as [`to_text`](Self::to_text) without type annotations.
    pub fn to_plain_text(&self) -> String {
        gvariant::print_plain(self.signature(), &self.to_gvariant()).unwrap_or_default()
    }
    /// Reads GVariant's text form, as `ostree commit --add-metadata` takes it.
    ///
    /// # Errors
    /// Where the text is not a value, or does not tell its type.
    pub fn parse(text: &str) -> Result<Self, gvariant::ParseTextError> {
        let (signature, bytes) = gvariant::parse(text)?;
        Self::from_gvariant(&signature, &bytes)
            .map_err(|error| gvariant::ParseTextError { offset: 0, what: error.what })
    }
    /// The GVariant type string.
    pub fn signature(&self) -> &str {
        match self {
            Self::Str(_) => "s",
            Self::Bool(_) => "b",
            Self::U8(_) => "y",
            Self::U32(_) => "u",
            Self::U64(_) => "t",
            Self::I32(_) => "i",
            Self::I64(_) => "x",
            Self::Bytes(_) => "ay",
            Self::Strs(_) => "as",
            Self::ByteArrays(_) => "aay",
            Self::Variant { signature, .. } => signature,
        }
    }
    /// The value serialised as a GVariant of its type.
    pub fn to_gvariant(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }
    /// Reads a GVariant of the type `signature`.
    ///
    /// # Errors
    /// When `bytes` are not such a value in normal form.
    pub fn from_gvariant(signature: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(signature, Reader::new(bytes), &mut Budget::default())
    }

    /// Whether values of this type have a case other than [`Variant`](Self::Variant).
    pub(crate) fn has_own_case(signature: &str) -> bool {
        matches!(signature, "s" | "b" | "y" | "u" | "t" | "i" | "x" | "ay" | "as" | "aay")
    }

    /// Writes the value where the writer stands, which must be aligned for it, as a variant is for anything.
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Str(text) => writer.str(text),
            Self::Bool(value) => writer.bool(*value),
            Self::U8(value) => writer.u8(*value),
            Self::U32(value) => writer.u32(*value),
            Self::U64(value) => writer.u64(*value),
            Self::I32(value) => writer.i32(*value),
            Self::I64(value) => writer.i64(*value),
            Self::Bytes(bytes) => writer.bytes(bytes),
            Self::Strs(texts) => writer.strs(texts.iter().map(String::as_str)),
            Self::ByteArrays(arrays) => writer.array(1, |w| arrays.iter().for_each(|bytes| w.bytes(bytes))),
            Self::Variant { bytes, .. } => writer.raw(1, bytes),
        }
    }

    /// Reads a value, counting what it allocates.
    pub(crate) fn read(signature: &str, value: Reader<'_>, budget: &mut Budget) -> Result<Self, DecodeError> {
        budget.take(1, value)?;
        Ok(match signature {
            "s" => Self::Str(value.str()?.to_owned()),
            "b" => Self::Bool(value.bool()?),
            "y" => Self::U8(value.u8()?),
            "u" => Self::U32(value.u32()?),
            "t" => Self::U64(value.u64()?),
            "i" => Self::I32(value.i32()?),
            "x" => Self::I64(value.i64()?),
            "ay" => Self::Bytes(value.bytes().to_vec()),
            "as" => {
                let items = value.array(Layout::STR)?;
                budget.take(items.len(), value)?;
                Self::Strs(items.map(|item| Ok(item?.str()?.to_owned())).collect::<Result<_, _>>()?)
            }
            "aay" => {
                let items = value.array(Layout::BYTES)?;
                budget.take(items.len(), value)?;
                Self::ByteArrays(items.map(|item| Ok(item?.bytes().to_vec())).collect::<Result<_, _>>()?)
            }
            _ => {
                let parsed = Type::parse(signature).map_err(|error| value.error(error.what))?;
                value.check(&parsed)?;
                Self::Variant { signature: signature.to_owned(), bytes: value.raw().to_vec() }
            }
        })
    }
}

/// How many values and elements of arrays one object may still hold: each costs memory beyond its bytes.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Budget {
    /// Values and elements in one object.
    pub(crate) const ITEMS: usize = 4 << 20;

    fn take(&mut self, count: usize, place: Reader<'_>) -> Result<(), DecodeError> {
        self.0 = self.0.checked_sub(count).ok_or_else(|| place.error("too many values"))?;
        Ok(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(Self::ITEMS)
    }
}
