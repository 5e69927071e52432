//! `os-release`: what an operating system calls itself.
#![deny(clippy::indexing_slicing)]

use std::collections::BTreeMap;

/// The assignments of an `os-release` file, quotes resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    values: BTreeMap<String, String>,
}

impl OsRelease {
    /// Reads the file. Lines that are no assignment are skipped, and bytes that are not UTF-8 replaced, so this cannot
    /// fail.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let assignment = |line: &str| {
            let (key, value) = line.trim().split_once('=')?;
            let named = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            named.then(|| (key.to_owned(), unquote(value)))
        };
        Self { values: text.lines().filter_map(assignment).collect() }
    }

    /// The value of a variable.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What is shown to people: `PRETTY_NAME`, else `ID`.
    pub fn title(&self) -> Option<&str> {
        self.get("PRETTY_NAME").or_else(|| self.get("ID"))
    }
}

/// Resolves quotes and backslashes as a shell does; an unquoted blank ends the value.
fn unquote(value: &str) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (None | Some('"'), '\\') => plain.extend(chars.next()),
            (None, _) if c.is_ascii_whitespace() => break,
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        let read = OsRelease::parse(
            b"# c\nNAME=Test\nPRETTY_NAME=\"Test \\\"OS\\\" 1\"\nID='a\\b' # x\nBAD KEY=1\n=2\nEMPTY=\nU=a\\ b\nOPEN=\"x\n\xff=1",
        );
        assert_eq!(read.title(), Some("Test \"OS\" 1"));
        assert_eq!(read.get("ID"), Some("a\\b"));
        assert_eq!(read.get("U"), Some("a b"));
        assert_eq!(read.get("OPEN"), Some("x"));
        assert_eq!((read.get("EMPTY"), read.get("BAD KEY"), read.get("")), (None, None, None));
        assert_eq!(OsRelease::parse(b"ID=x").title(), Some("x"));
        assert_eq!(OsRelease::parse(b"").title(), None);
    }
}
