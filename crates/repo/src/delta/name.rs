//! Names of deltas: in hexadecimal for people and in the summary, in base64 as paths.
#![deny(clippy::indexing_slicing)]

use sapwood_objstore::{Commit, Id, ObjectId};
use std::fmt;

/// Which delta: to a commit, from another one or from nothing. Displayed as `FROM-TO` or `TO`, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaName {
    /// The commit whose files it builds on; `None` for a delta from scratch.
    pub from: Option<Id<Commit>>,
    /// The commit it leads to.
    pub to: Id<Commit>,
}

impl fmt::Display for DeltaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{from}-{}", self.to),
            None => write!(f, "{}", self.to),
        }
    }
}

impl DeltaName {
    /// Reads the form that is displayed.
    pub fn parse(text: &str) -> Option<Self> {
        Self::split(text, |id| ObjectId::from_hex(id).ok())
    }

    /// Reads the names of its two directories below `deltas`, joined.
    pub(crate) fn from_dirs(text: &str) -> Option<Self> {
        Self::split(text, decode)
    }

    fn split(text: &str, id: impl Fn(&str) -> Option<ObjectId>) -> Option<Self> {
        let commit = |text| id(text).map(Id::new);
        Some(match text.split_once('-') {
            Some((from, to)) => Self { from: Some(commit(from)?), to: commit(to)? },
            None => Self { from: None, to: commit(text)? },
        })
    }

    /// Its directory, relative to the repository.
    pub fn path(&self) -> String {
        let to = encode(self.to.raw());
        let name = self.from.map_or_else(|| to.clone(), |from| format!("{}-{to}", encode(from.raw())));
        let (first, rest) = name.split_at_checked(2).unwrap_or_default();
        format!("{DELTAS}/{first}/{rest}")
    }
}

/// Where deltas are.
pub(crate) const DELTAS: &str = "deltas";

/// Where the indexes are: one file for each target, naming the deltas to it.
pub(crate) const INDEXES: &str = "delta-indexes";

/// The index of the deltas to a commit, relative to the repository.
pub fn delta_index_path(to: Id<Commit>) -> String {
    let name = encode(to.raw());
    let (first, rest) = name.split_at_checked(2).unwrap_or_default();
    format!("{INDEXES}/{first}/{rest}.index")
}

/// Reads an id in base64 without padding, where `_` stands for `/`.
pub(crate) fn decode(text: &str) -> Option<ObjectId> {
    if text.len() != 43 {
        return None;
    }
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    ObjectId::from_slice(&bytes)
}

/// An id in base64 without padding, where `_` stands for `/`.
fn encode(id: ObjectId) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_";
    let mut text = String::with_capacity(43);
    for chunk in id.as_bytes().chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let at = (word >> (18 - 6 * digit) & 63) as usize;
            text.push(DIGITS.get(at).copied().map_or('_', char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From OSTree's own name of a delta between two commits of known ids.
    #[test]
    fn paths_are_those_of_ostree_both_ways() {
        let path =
            "deltas/4W/uiP2LuEN1I96lsi_97q+ZKV0MvtCNJM_L_uGZTdBE-46oys5N49gbkoH39dQ8n7i+UqP5CeFSEIGbcD7gII74";
        let from = "e16ba23f62ee10dd48f7a96c8bff7babe64a57432fb4234933f2ffb866537411";
        let to = "e3aa32b39378f606e4a07dfd750f27ee2f94a8fe427854842066dc0fb80823be";
        let name = DeltaName::parse(&format!("{from}-{to}")).unwrap();
        assert_eq!(name.path(), path);
        let dirs = path.split('/').skip(1).collect::<String>();
        assert_eq!(DeltaName::from_dirs(&dirs), Some(name));
        assert_eq!(name.to_string(), format!("{from}-{to}"));
        for bad in
            ["", "x", "4WuiP2LuEN1I96lsi_97q+ZKV0MvtCNJM_L_uGZTdB", &dirs.replace('_', "/"), &dirs[1..]]
        {
            assert!(DeltaName::from_dirs(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn encoding_an_id_is_the_inverse_of_decoding_it() {
        for n in 0..=u8::MAX {
            let id = ObjectId::from_bytes([n; 32]);
            assert_eq!(decode(&encode(id)), Some(id));
        }
    }
}
