//! Text as OSTree and `GLib` print it: commits, sizes, GVariant values.

use crate::time;
use sapwood_objstore::{Commit, Format, Id, Metadata, Value, Xattrs};
use std::fmt::Write as _;
use std::io::{self, Write};

/// A size in powers of thousand with one digit after the point, as `13.1 kB`, with `GLib`'s no-break space.
pub(crate) fn size(bytes: u64) -> String {
    if bytes == 1 {
        return "1 byte".to_owned();
    }
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut unit, mut scale) = ("kB", 1000_u128);
    for (name, size) in units.into_iter().zip((1..).map(|power| 1000_u128.pow(power))) {
        if u128::from(bytes) >= size {
            (unit, scale) = (name, size);
        }
    }
    let tenths = (u128::from(bytes) * 10 + scale / 2) / scale;
    format!("{}.{}\u{a0}{unit}", tenths / 10, tenths % 10)
}

/// A commit as `log` and `show` print it, after the line with its id.
pub(crate) fn commit(content: &str, commit: &Commit, out: &mut dyn Write) -> io::Result<()> {
    if let Some(parent) = commit.parent {
        writeln!(out, "Parent:  {parent}")?;
    }
    writeln!(out, "ContentChecksum:  {content}")?;
    writeln!(out, "Date:  {}", time::utc(commit.timestamp))?;
    if let Some(version) = commit.metadata.get_str("version") {
        writeln!(out, "Version: {version}")?;
    }
    if commit.subject.is_empty() {
        writeln!(out, "(no subject)")?;
    } else {
        writeln!(out)?;
        indented(&commit.subject, out)?;
    }
    if !commit.body.is_empty() {
        writeln!(out)?;
        indented(&commit.body, out)?;
    }
    writeln!(out)
}

fn indented(text: &str, out: &mut dyn Write) -> io::Result<()> {
    text.split_terminator('\n').try_for_each(|line| writeln!(out, "    {line}"))
}

/// A commit as the GVariant it is, in text.
pub(crate) fn raw_commit(id: Id<Commit>, commit: &Commit, format: Format, order: ByteOrder) -> String {
    let bytes = |id: &[u8; 32]| Value::Bytes(id.to_vec()).to_text();
    // It is the one number of ours that OSTree's format has big-endian.
    let swapped = format == Format::Ostree && order == ByteOrder::AsStored;
    let timestamp = if swapped { commit.timestamp.swap_bytes() } else { commit.timestamp };
    let parent = commit.parent.map_or_else(|| "@ay []".to_owned(), |p| bytes(p.raw().as_bytes()));
    format!(
        "commit {id}\n({}, {parent}, @a(say) [], {}, {}, uint64 {}, {}, {})\n",
        dictionary(&commit.metadata, format, order),
        Value::Str(commit.subject.clone()).to_text(),
        Value::Str(commit.body.clone()).to_text(),
        timestamp,
        bytes(commit.tree.raw().as_bytes()),
        bytes(commit.meta.raw().as_bytes()),
    )
}

/// How numbers in OSTree's metadata are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// Swapped, as OSTree's tool does unless told otherwise: right for what OSTree itself writes.
    Swapped,
    /// As they stand in the bytes: right for what users add.
    AsStored,
}

/// Metadata as a dictionary in text.
pub(crate) fn dictionary(metadata: &Metadata, format: Format, order: ByteOrder) -> String {
    if metadata.is_empty() {
        return "@a{sv} {}".to_owned();
    }
    let mut text = String::from("{");
    for (key, value) in metadata.iter() {
        let separator = if text.len() == 1 { "" } else { ", " };
        let key = Value::Str(key.to_owned()).to_text();
        // A String takes everything that is written to it.
        _ = write!(text, "{separator}{key}: <{}>", value_text(value, format, order));
    }
    text.push('}');
    text
}

/// A value in text.
pub(crate) fn value_text(value: &Value, format: Format, order: ByteOrder) -> String {
    if format == Format::Ostree && order == ByteOrder::Swapped {
        value.to_text_swapped()
    } else {
        value.to_text()
    }
}

/// Extended attributes as the GVariant that OSTree keeps them in.
pub(crate) fn xattrs(xattrs: &Xattrs) -> String {
    if xattrs.is_empty() {
        return "{ @a(ayay) [] }".to_owned();
    }
    let mut text = String::from("{ [");
    for (at, (name, value)) in xattrs.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        _ = write!(text, "{separator}({}, {})", quoted(name), byte_array(value, at == 0));
    }
    text.push_str("] }");
    text
}

/// Bytes as a quoted string `b'…'`.
fn quoted(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for &byte in bytes {
        match byte {
            8 => text.push_str("\\b"),
            12 => text.push_str("\\f"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            11 => text.push_str("\\v"),
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            32..=126 => text.push(char::from(byte)),
            _ => _ = write!(text, "\\{byte:03o}"),
        }
    }
    text.push(quote);
    text
}

/// Bytes as `GLib` prints `ay`: a string where they end in their only NUL, else a list, its type named where `annotated`.
fn byte_array(bytes: &[u8], annotated: bool) -> String {
    if let Some((0, rest)) = bytes.split_last()
        && !rest.contains(&0)
    {
        return quoted(rest);
    }
    if bytes.is_empty() {
        return if annotated { "@ay []".to_owned() } else { "[]".to_owned() };
    }
    let mut text = String::from("[");
    for (at, byte) in bytes.iter().enumerate() {
        let lead = match (at, annotated) {
            (0, true) => "byte ",
            (0, false) => "",
            _ => ", ",
        };
        _ = write!(text, "{lead}{byte:#04x}");
    }
    text.push(']');
    text
}

/// A value as JSON, as near as JSON comes.
pub(crate) fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Str(text) => text.as_str().into(),
        Value::Bool(truth) => (*truth).into(),
        Value::U8(number) => (*number).into(),
        Value::U32(number) => (*number).into(),
        Value::U64(number) => (*number).into(),
        Value::I32(number) => (*number).into(),
        Value::I64(number) => (*number).into(),
        Value::Strs(texts) => texts.clone().into(),
        other => other.to_text().into(),
    }
}

/// Metadata as a JSON object.
pub(crate) fn metadata_json(metadata: &Metadata) -> serde_json::Map<String, serde_json::Value> {
    metadata.iter().map(|(key, value)| (key.to_owned(), value_json(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_glib_prints_them() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (501, "501 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (3049, "3.0 kB"),
            (13_100, "13.1 kB"),
            (999_949, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (1_550_000, "1.6 MB"),
            (123_456_789_012, "123.5 GB"),
        ] {
            assert_eq!(size(bytes).replace('\u{a0}', " "), text, "{bytes}");
        }
    }

    #[test]
    fn attributes_read_as_glib_prints_them() {
        let list = vec![(b"user.a".to_vec(), b"bar".to_vec()), (b"user.b".to_vec(), b"x\0".to_vec())];
        let list = Xattrs::new(list).unwrap();
        assert_eq!(xattrs(&list), "{ [(b'user.a', [byte 0x62, 0x61, 0x72]), (b'user.b', b'x')] }");
    }
}
