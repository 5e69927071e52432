//! Values as text, the way `g_variant_print` writes them with type annotations.
#![deny(clippy::indexing_slicing)]

use super::check::{maybe, variant_type};
use super::read::TupleCursor;
use super::types::Node;
use super::{Reader, Type};
use crate::DecodeError;
use std::fmt::Write as _;

/// Where printing stops with `…`, in bytes: only hostile values are longer as text.
const MAX_TEXT_BYTES: usize = 512 << 20;

/// Prints a value of the type `signature` in GVariant's text form, with type annotations where the text alone would not
/// tell the type: `uint32 42`, `['a', 'b']`, `[byte 0x01, 0x02]`, `{'key': <true>}`.
///
/// # Errors
/// When `bytes` are not such a value in normal form.
pub fn print(signature: &str, bytes: &[u8]) -> Result<String, DecodeError> {
    print_with(signature, bytes, Order::Little, true)
}

/// The same with the bytes of every number in the value taken as big-endian, as OSTree's own programs print metadata:
/// right for values that were stored so, such as times, and odd for all others.
///
/// # Errors
/// When `bytes` are not such a value in normal form.
pub fn print_swapped(signature: &str, bytes: &[u8]) -> Result<String, DecodeError> {
    print_with(signature, bytes, Order::Big, true)
}

/// Prints a value as [`print()`] does, but without type annotations: for people.
///
/// # Errors
/// When `bytes` are not such a value in normal form.
pub fn print_plain(signature: &str, bytes: &[u8]) -> Result<String, DecodeError> {
    print_with(signature, bytes, Order::Little, false)
}

/// The order of bytes in numbers.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

fn print_with(signature: &str, bytes: &[u8], order: Order, annotate: bool) -> Result<String, DecodeError> {
    let parsed = Type::parse(signature).map_err(|error| DecodeError { offset: 0, ..error })?;
    let value = Reader::new(bytes);
    value.check(&parsed)?;
    let mut out = String::new();
    Printer { out: &mut out, order }.value(value, &parsed, annotate)?;
    Ok(out)
}

struct Printer<'o> {
    out: &'o mut String,
    order: Order,
}

impl Printer<'_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// `annotation` before `text`, if annotations are asked for.
    fn annotated(&mut self, annotate: bool, annotation: &str, text: std::fmt::Arguments<'_>) {
        if annotate {
            self.put(annotation);
            self.put(" ");
        }
        // Writing to a string cannot fail.
        self.out.write_fmt(text).unwrap_or_default();
    }

    fn value(&mut self, value: Reader<'_>, ty: &Type, annotate: bool) -> Result<(), DecodeError> {
        if self.out.len() > MAX_TEXT_BYTES {
            if !self.out.ends_with('…') {
                self.put("…");
            }
            return Ok(());
        }
        match &ty.node {
            Node::Basic(basic) => self.basic(value, *basic, annotate),
            Node::Variant => {
                let (signature, content) = value.variant()?;
                self.put("<");
                self.value(content, &variant_type(value, signature)?, true)?;
                self.put(">");
                Ok(())
            }
            Node::Array(element) => self.array(value, ty, element, annotate),
            Node::Maybe(_) => {
                if annotate {
                    self.put("@");
                    self.put(ty.as_str());
                    self.put(" ");
                }
                self.maybe(value, ty)
            }
            Node::Tuple(members) => {
                self.put("(");
                let mut cursor = TupleCursor::new(value);
                for (at, member) in members.iter().enumerate() {
                    self.put(if at > 0 { ", " } else { "" });
                    self.value(cursor.next(member.layout, at + 1 == members.len())?, member, annotate)?;
                }
                self.put(if members.len() == 1 { ",)" } else { ")" });
                Ok(())
            }
            Node::Entry(key, content) => {
                self.put("{");
                self.entry(value, key, content, ", ", annotate)?;
                self.put("}");
                Ok(())
            }
        }
    }

    fn entry(
        &mut self,
        value: Reader<'_>,
        key: &Type,
        content: &Type,
        between: &str,
        annotate: bool,
    ) -> Result<(), DecodeError> {
        let mut cursor = TupleCursor::new(value);
        self.value(cursor.next(key.layout, false)?, key, annotate)?;
        self.put(between);
        self.value(cursor.next(content.layout, true)?, content, annotate)
    }

    fn array(
        &mut self,
        value: Reader<'_>,
        ty: &Type,
        element: &Type,
        annotate: bool,
    ) -> Result<(), DecodeError> {
        if matches!(element.node, Node::Basic(b'y'))
            && let Ok(text) = value.bytestring()
        {
            self.byte_string(text);
            return Ok(());
        }
        let (open, close) = if matches!(element.node, Node::Entry(..)) { ("{", "}") } else { ("[", "]") };
        if value.raw().is_empty() {
            if annotate {
                self.put("@");
                self.put(ty.as_str());
                self.put(" ");
            }
            self.put(open);
            self.put(close);
            return Ok(());
        }
        self.put(open);
        for (at, item) in value.array(element.layout)?.enumerate() {
            self.put(if at > 0 { ", " } else { "" });
            // The first element tells the type of all.
            let annotate = annotate && at == 0;
            match &element.node {
                Node::Entry(key, content) => self.entry(item?, key, content, ": ", annotate)?,
                _ => self.value(item?, element, annotate)?,
            }
        }
        self.put(close);
        Ok(())
    }

    /// Nested maybes are told apart by a `just` for each that holds a nothing.
    fn maybe(&mut self, value: Reader<'_>, ty: &Type) -> Result<(), DecodeError> {
        let (mut value, mut ty, mut justs) = (value, ty, 0);
        while let Node::Maybe(element) = &ty.node {
            if value.raw().is_empty() {
                self.put(&"just ".repeat(justs));
                self.put("nothing");
                return Ok(());
            }
            (value, ty, justs) = (maybe(value, element)?, element, justs + 1);
        }
        self.value(value, ty, false)
    }

    fn basic(&mut self, value: Reader<'_>, basic: u8, annotate: bool) -> Result<(), DecodeError> {
        let swap = matches!(self.order, Order::Big);
        let u16 = || value.u16().map(|number| if swap { number.swap_bytes() } else { number });
        let u32 = || value.u32().map(|number| if swap { number.swap_bytes() } else { number });
        let u64 = || value.u64().map(|number| if swap { number.swap_bytes() } else { number });
        match basic {
            b'b' => self.put(if value.bool()? { "true" } else { "false" }),
            b'y' => self.annotated(annotate, "byte", format_args!("{:#04x}", value.u8()?)),
            b'n' => self.annotated(annotate, "int16", format_args!("{}", u16()?.cast_signed())),
            b'q' => self.annotated(annotate, "uint16", format_args!("{}", u16()?)),
            // The type of numbers that say nothing.
            b'i' => self.annotated(false, "", format_args!("{}", u32()?.cast_signed())),
            b'u' => self.annotated(annotate, "uint32", format_args!("{}", u32()?)),
            b'h' => self.annotated(annotate, "handle", format_args!("{}", u32()?.cast_signed())),
            b'x' => self.annotated(annotate, "int64", format_args!("{}", u64()?.cast_signed())),
            b't' => self.annotated(annotate, "uint64", format_args!("{}", u64()?)),
            b'd' => self.put(&double(f64::from_bits(u64()?))),
            b'o' => self.annotated(annotate, "objectpath", format_args!("'{}'", value.str()?)),
            b'g' => self.annotated(annotate, "signature", format_args!("'{}'", value.str()?)),
            _ => self.text(value.str()?),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let quote = if text.contains('\'') { '"' } else { '\'' };
        self.out.push(quote);
        for character in text.chars() {
            match character {
                '\u{7}' => self.put("\\a"),
                '\u{8}' => self.put("\\b"),
                '\u{c}' => self.put("\\f"),
                '\n' => self.put("\\n"),
                '\r' => self.put("\\r"),
                '\t' => self.put("\\t"),
                '\u{b}' => self.put("\\v"),
                _ if character == quote || character == '\\' => self.out.extend(['\\', character]),
                _ if printable(character) => self.out.push(character),
                '\u{10000}'.. => self.annotated(false, "", format_args!("\\U{:08x}", u32::from(character))),
                _ => self.annotated(false, "", format_args!("\\u{:04x}", u32::from(character))),
            }
        }
        self.out.push(quote);
    }

    fn byte_string(&mut self, text: &[u8]) {
        let quote = if text.contains(&b'\'') { '"' } else { '\'' };
        self.put("b");
        self.out.push(quote);
        for byte in text {
            match byte {
                0x8 => self.put("\\b"),
                0xc => self.put("\\f"),
                b'\n' => self.put("\\n"),
                b'\r' => self.put("\\r"),
                b'\t' => self.put("\\t"),
                0xb => self.put("\\v"),
                b'\\' | b'"' => self.out.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => self.out.push(char::from(*byte)),
                _ => self.annotated(false, "", format_args!("\\{byte:03o}")),
            }
        }
        self.out.push(quote);
    }
}

/// Whether `GLib` prints a character as it is: all but control, format and unassigned ones.
fn printable(character: char) -> bool {
    match character {
        ' '..='~' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' => true,
        _ if character.is_control() => false,
        _ if character.is_alphanumeric() || character.is_whitespace() => true,
        // After another character, the standard library escapes what has no glyph, and leaves combining marks.
        _ => format!("a{character}").escape_debug().nth(1) == Some(character),
    }
}

/// C's `%.17g`, with `.0` where nothing else says that it is not an integer.
fn double(value: f64) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{value:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).unwrap_or(0);
        let plain = format!("{value:.decimals$}");
        let plain =
            if plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.') } else { &plain };
        return if plain.contains('.') { plain.to_owned() } else { format!("{plain}.0") };
    }
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
