//! Names of deltas: in hexadecimal for people and in the summary, in base64 as paths.
#![deny(clippy::indexing_slicing)]

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use sapwood_objstore::{Commit, Id, ObjectId};
use std::fmt;

/// Base64 in paths: without padding, `_` instead of `/`. What bits the last digit has left over is not looked at.
const IN_PATHS: GeneralPurpose = {
    match Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_") {
        Ok(alphabet) => GeneralPurpose::new(&alphabet, NO_PAD.with_decode_allow_trailing_bits(true)),
        Err(_) => panic!("64 different characters are an alphabet"),
    }
};

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
    ObjectId::from_slice(&IN_PATHS.decode(text).ok()?)
}

/// An id in base64 without padding, where `_` stands for `/`.
fn encode(id: ObjectId) -> String {
    IN_PATHS.encode(id.as_bytes())
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
