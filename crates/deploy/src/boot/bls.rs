//! Boot entries, as the Boot Loader Specification (type 1) has them: lines of a key and a value.
#![deny(clippy::indexing_slicing)]

use crate::boot::kargs::Kargs;

/// A boot entry. Keys that are not known here are kept, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bls {
    lines: Vec<(String, String)>,
}

/// A boot entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BlsError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// The keys that are written first, in this order.
const ORDER: [&str; 6] = ["title", "version", "options", "devicetree", "linux", "initrd"];

impl Bls {
    /// Largest entry accepted, in bytes: 64 KiB. The kernel takes a command line of some KiB.
    pub const MAX_BYTES: usize = 64 << 10;

    /// Reads an entry. Empty lines, comments and lines without a value are skipped; key and value are separated by
    /// blanks.
    ///
    /// # Errors
    /// When it is longer than [`MAX_BYTES`](Self::MAX_BYTES), is not UTF-8, or holds control characters.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlsError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(BlsError { line: 1, what: "the entry is longer than 64 KiB" });
        }
        let mut lines = Vec::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let fail = |what| BlsError { line: number + 1, what };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = std::str::from_utf8(line).map_err(|error| {
                let _ = error;
                fail("not UTF-8")
            })?;
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(fail("a control character"));
            }
            if !line.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let Some((key, value)) = line.split_once([' ', '\t']) else { continue };
            let value = value.trim_matches([' ', '\t']);
            if !value.is_empty() {
                lines.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(Self { lines })
    }

    /// The text: known keys first, in OSTree's order, then the others in theirs.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let known = ORDER.iter().flat_map(|known| self.lines.iter().filter(move |(key, _)| key == known));
        let other = self.lines.iter().filter(|(key, _)| !ORDER.contains(&key.as_str()));
        for (key, value) in known.chain(other) {
            text.push_str(key);
            text.push(' ');
            text.push_str(value);
            text.push('\n');
        }
        text
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.lines.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key (`initrd` may be there several times).
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Gives a key one value; its other lines go. Line breaks and other control characters become blanks.
    pub fn set(&mut self, key: &str, value: &str) {
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let value = value.trim_matches([' ', '\t']).to_owned();
        let at = self.lines.iter().position(|(k, _)| k == key);
        self.lines.retain(|(k, _)| k != key);
        if !value.is_empty() {
            let at = at.unwrap_or(self.lines.len()).min(self.lines.len());
            self.lines.insert(at, (key.to_owned(), value));
        }
    }

    /// Gives a key one more value, after those that it has.
    pub fn add(&mut self, key: &str, value: &str) {
        let mut one = Self::default();
        one.set(key, value);
        self.lines.append(&mut one.lines);
    }

    /// The kernel arguments. An entry may have several lines of them.
    pub fn kargs(&self) -> Kargs {
        Kargs::parse(&self.all("options").collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "title Test OS 1 1.0 (ostree:0)\nversion 1\noptions root=/dev/x q=\"a b\"\nlinux /v\ninitrd /i\n";

    #[test]
    fn an_entry_is_written_as_it_was_read() {
        assert_eq!(Bls::parse(ENTRY.as_bytes()).unwrap().to_text(), ENTRY);
    }

    #[test]
    fn unknown_keys_and_repeated_initrds_are_kept_and_order_is_restored() {
        let read =
            Bls::parse(b"grub_users me\n# note\n\ninitrd /a\nlinux\t/v\ninitrd /b\ntitle  X \nnovalue\n")
                .unwrap();
        assert_eq!(read.to_text(), "title X\nlinux /v\ninitrd /a\ninitrd /b\ngrub_users me\n");
        assert_eq!(read.all("initrd").collect::<Vec<_>>(), ["/a", "/b"]);
    }

    #[test]
    fn kernel_arguments_of_all_lines_are_those_of_the_entry() {
        let mut read = Bls::parse(b"options ostree=/a quiet\nlinux /v\noptions root=UUID=1 rw\n").unwrap();
        let kargs = read.kargs().to_string();
        assert_eq!(kargs, "ostree=/a quiet root=UUID=1 rw");
        read.set("options", &kargs);
        assert_eq!(read.to_text(), "options ostree=/a quiet root=UUID=1 rw\nlinux /v\n");
    }

    #[test]
    fn a_value_cannot_add_a_line() {
        let mut entry = Bls::default();
        entry.set("title", "A\nlinux /evil");
        assert_eq!(entry.to_text(), "title A linux /evil\n");
    }

    #[test]
    fn malformed_entries_are_refused() {
        let long = vec![b'a'; Bls::MAX_BYTES + 1];
        let table: [(&[u8], usize, &str); 4] = [
            (b"title \xff\n", 1, "not UTF-8"),
            (b"title a\nlinux \0\n", 2, "a control character"),
            (b"title \x1b[31m\n", 1, "a control character"),
            (&long, 1, "the entry is longer than 64 KiB"),
        ];
        for (bytes, line, what) in table {
            assert_eq!(Bls::parse(bytes), Err(BlsError { line, what }));
        }
        for skipped in [&b""[..], b"\n\n", b"#", b" title x", b"title", b"title ", b"\r\n"] {
            assert_eq!(Bls::parse(skipped), Ok(Bls::default()));
        }
    }
}
