//! Conflicts of the merge that made a deployment's `/etc`, written down in its origin.
//!
//! They stand in the group that OSTree keeps with a deployment and drops when the origin is taken over by another one. Each
//! is a text `KIND RESOLUTION PATH`, or `KIND RESOLUTION PATH BESIDE` where the new default was put beside; of paths, all but
//! letters, digits and `/._-+@` is written as `%` and two hexadecimal digits.
#![deny(clippy::indexing_slicing)]

use super::{Origin, TRANSIENT};
use sapwood_etcmerge::{Conflict, ConflictKind, Resolution};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// What was in conflict when the `/etc` of a deployment was merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcConflicts {
    /// The conflicts, sorted by path.
    pub listed: Vec<Conflict>,
    /// How many more there were: those that do not fit into [`MAX_LISTED_BYTES`](Self::MAX_LISTED_BYTES), or are of a kind that
    /// this version does not know.
    pub omitted: u64,
}

const LISTED: &str = "sapwood-etc-conflicts";
const OMITTED: &str = "sapwood-etc-conflicts-omitted";

const KEPT_LOCAL: &str = "kept-local";
const TOOK_NEW: &str = "took-new";
const KEPT_BOTH: &str = "kept-both";

impl EtcConflicts {
    /// How long the list in an origin may be, in bytes: 64 KiB.
    pub const MAX_LISTED_BYTES: usize = 64 << 10;

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.omitted == 0
    }
}

impl Origin {
    /// What was in conflict when the `/etc` of the deployment was merged. Nothing where OSTree made it.
    pub fn etc_conflicts(&self) -> EtcConflicts {
        let omitted = self.keyfile.get(TRANSIENT, OMITTED).and_then(|text| text.parse().ok());
        let mut conflicts = EtcConflicts { listed: Vec::new(), omitted: omitted.unwrap_or(0) };
        for text in self.keyfile.get_list(TRANSIENT, LISTED).unwrap_or_default() {
            match decode(&text) {
                Some(conflict) => conflicts.listed.push(conflict),
                None => conflicts.omitted = conflicts.omitted.saturating_add(1),
            }
        }
        conflicts
    }

    /// Writes down what was in conflict, instead of what is there.
    pub(crate) fn set_etc_conflicts(&mut self, conflicts: &[Conflict]) {
        self.keyfile.remove(TRANSIENT, LISTED);
        self.keyfile.remove(TRANSIENT, OMITTED);
        let mut left = EtcConflicts::MAX_LISTED_BYTES;
        let mut listed = Vec::new();
        for text in conflicts.iter().map(encode) {
            let Some(rest) = left.checked_sub(text.len() + 1) else { break };
            left = rest;
            listed.push(text);
        }
        if !listed.is_empty() {
            let texts: Vec<&str> = listed.iter().map(String::as_str).collect();
            self.keyfile.set_list(TRANSIENT, LISTED, &texts);
        }
        if listed.len() < conflicts.len() {
            let omitted = conflicts.len() - listed.len();
            self.keyfile.set(TRANSIENT, OMITTED, &omitted.to_string());
        }
        self.drop_empty_transient();
    }
}

fn encode(conflict: &Conflict) -> String {
    let (resolution, beside) = match &conflict.resolution {
        Resolution::TookNew => (TOOK_NEW, None),
        Resolution::KeptBoth { beside } => (KEPT_BOTH, Some(beside)),
        _ => (KEPT_LOCAL, None),
    };
    let mut text = format!("{} {resolution} {}", conflict.kind.as_str(), escaped(&conflict.path));
    if let Some(beside) = beside {
        text.push(' ');
        text.push_str(&escaped(beside));
    }
    text
}

fn decode(text: &str) -> Option<Conflict> {
    let mut words = text.split(' ');
    let kind = ConflictKind::from_word(words.next()?)?;
    let resolution = words.next()?;
    let path = unescaped(words.next()?)?;
    let beside = words.next().map(unescaped);
    let resolution = match (resolution, beside) {
        (KEPT_LOCAL, None) => Resolution::KeptLocal,
        (TOOK_NEW, None) => Resolution::TookNew,
        (KEPT_BOTH, Some(beside)) => Resolution::KeptBoth { beside: beside? },
        _ => return None,
    };
    words.next().is_none().then_some(Conflict { path, kind, resolution })
}

fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

fn unescaped(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(path: &[u8], resolution: Resolution) -> Conflict {
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        Conflict { path, kind: ConflictKind::BothModified, resolution }
    }

    #[test]
    fn whatever_a_path_is_called_it_is_read_back_and_other_keys_stay() {
        let mut origin =
            Origin::parse(b"[origin]\nrefspec=a:b\n[libostree-transient]\npinned=true\n").unwrap();
        let before = origin.clone();
        let beside = PathBuf::from("a b.new-default");
        let conflicts = [
            conflict(b"", Resolution::KeptLocal),
            conflict(b"a b", Resolution::KeptBoth { beside }),
            conflict(b"caf\xc3\xa9/\xff;\\%41\n=", Resolution::TookNew),
        ];
        origin.set_etc_conflicts(&conflicts);
        let read = Origin::parse(origin.to_text().as_bytes()).unwrap();
        assert_eq!(read.etc_conflicts(), EtcConflicts { listed: conflicts.to_vec(), omitted: 0 });
        assert!(read.pinned() && read.inherited().etc_conflicts().is_empty());
        origin.set_etc_conflicts(&[]);
        assert_eq!(origin, before);
        let mut bare = Origin::from_refspec("os/main");
        bare.set_etc_conflicts(&conflicts);
        bare.set_etc_conflicts(&[]);
        assert_eq!(bare.to_text().trim_end(), "[origin]\nrefspec=os/main");
    }

    #[test]
    fn too_many_are_counted_and_what_is_not_understood_is_too() {
        let many: Vec<_> =
            (0..10_000).map(|n| conflict(format!("{n:05}").as_bytes(), Resolution::KeptLocal)).collect();
        let mut origin = Origin::default();
        origin.set_etc_conflicts(&many);
        assert!(origin.to_text().len() < EtcConflicts::MAX_LISTED_BYTES + 200);
        let read = origin.etc_conflicts();
        assert!(many.starts_with(&read.listed) && read.listed.len() > 1000);
        assert_eq!(u64::try_from(many.len() - read.listed.len()).unwrap(), read.omitted);

        for text in [
            "both-modified kept-local",
            "both-modified kept-local a b",
            "both-modified kept-both a",
            "both-modified kept-both a b c",
            "both-modified kept-local %4",
            "both-modified kept-local %+1",
            "both-modified lost a",
            "new-kind kept-local a",
            "",
        ] {
            let text = format!("[libostree-transient]\n{LISTED}={text};\n");
            let read = Origin::parse(text.as_bytes()).unwrap().etc_conflicts();
            assert_eq!((read.listed.len(), read.omitted), (0, 1), "{text}");
        }
    }
}
