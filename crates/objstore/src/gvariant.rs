//! GVariant, the serialisation of OSTree's formats: writing, checked reading, printing and parsing.
//!
//! Only normal form is written, and nothing else is read: a value has one serialisation, so decoding and encoding give
//! the same bytes. (One exception is `GLib`'s: it takes zero bytes as a tuple all of whose members may be empty, though it
//! writes such a tuple with its framing offsets. [`check_normal_form`] and the readers agree with `GLib` there; who needs
//! one form only, as the dirtree decoder does, refuses zero bytes itself.) Framing and integers are little-endian.
//!
//! Nothing here allocates by what its input claims, recurses deeper than [`MAX_DEPTH`], or panics on any bytes.
//!
//! ```
//! use sapwood_objstore::gvariant::{self, Layout, Reader, Writer};
//!
//! let mut writer = Writer::new();
//! writer.tuple(8, |w| {
//!     w.str("one");
//!     w.dict(|w| w.entry("key", |w| w.variant("u", |w| w.u32(7))));
//! });
//! let bytes = writer.finish();
//! assert_eq!(gvariant::print("(sa{sv})", &bytes)?, "('one', {'key': <uint32 7>})");
//!
//! let [name, dict] = Reader::new(&bytes).tuple([Layout::STR, Layout::DICT])?;
//! assert_eq!(name.str()?, "one");
//! for entry in dict.array(Layout::ENTRY)? {
//!     let (key, value) = entry?.entry()?;
//!     let (signature, value) = value.variant()?;
//!     assert_eq!((key.str()?, signature, value.u32()?), ("key", "u", 7));
//! }
//! # Ok::<(), sapwood_objstore::DecodeError>(())
//! ```

mod check;
mod parse;
mod print;
mod read;
mod types;
mod write;

pub use check::check_normal_form;
pub use parse::{ParseTextError, parse};
pub use print::{print, print_plain, print_swapped};
pub use read::{Array, Reader};
pub use types::{Layout, MAX_SIGNATURE_BYTES, Type};
pub use write::Writer;

/// How deep types may nest, and values (a variant's content counts on from the variant).
pub const MAX_DEPTH: usize = 128;

/// The smallest width in bytes of framing offsets that can address the whole of a container: its body and `count`
/// offsets.
fn offset_width(body: usize, count: usize) -> usize {
    let fits = |width: &usize| {
        let total = count.checked_mul(*width).and_then(|table| table.checked_add(body));
        total.is_some_and(|total| (total as u64) < 1 << (8 * width))
    };
    [1, 2, 4].into_iter().find(fits).unwrap_or(8)
}

#[cfg(test)]
mod tests;
