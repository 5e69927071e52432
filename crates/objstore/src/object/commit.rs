//! Commits and their metadata.

use crate::{DirMeta, DirTree, Id, Value};

/// A version of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// What is said of it beside the fixed fields, in the order given.
    pub metadata: Metadata,
    /// The version before.
    pub parent: Option<Id<Commit>>,
    /// One line about it; may be empty.
    pub subject: String,
    /// More about it; may be empty.
    pub body: String,
    /// When it was made: seconds since the epoch.
    pub timestamp: u64,
    /// The names in its root directory.
    pub tree: Id<DirTree>,
    /// The attributes of its root directory.
    pub meta: Id<DirMeta>,
    /// What the tree holds in all; `None` in the OSTree format, which has no such field.
    pub totals: Option<Totals>,
}

/// What a tree holds in all. A file that is there under several names counts each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files, symlinks and nodes.
    pub files: u64,
    /// Directories, the root included.
    pub dirs: u64,
    /// Content of regular files.
    pub bytes: u64,
}

/// Keys and values in a given order, each key once and non-empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(String, Value)>);

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value)
    }
    /// The value of a key, if it is text.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
    /// Sets a key: in place if it is there, else at the end.
    ///
    /// Keys that are empty or hold a NUL byte are for the caller to refuse: no decoder takes what is encoded with one.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.0.iter_mut().find(|(other, _)| other == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }
    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(other, _)| other != key);
        self.0.len() < before
    }
    /// Takes entries as a decoder read them; the error is the place in the list of a key that is empty, holds NUL, or
    /// is there twice.
    pub(crate) fn from_decoded(entries: Vec<(String, Value)>) -> Result<Self, usize> {
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        let bad = |(key, _): &(String, Value)| key.is_empty() || key.contains('\0');
        match entries.iter().position(|entry| bad(entry) || !seen.insert(entry.0.clone())) {
            Some(at) => Err(at),
            None => Ok(Self(entries)),
        }
    }
    /// Keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
