//! Commits and their metadata.

use crate::{DirMeta, DirTree, Id};

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
    /// Type `t`, as it stands in the bytes (little-endian; several well-known OSTree keys hold big-endian values, swapped by who reads them).
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

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> { todo!() }
    /// The value of a key, if it is text.
    pub fn get_str(&self, key: &str) -> Option<&str> { todo!() }
    /// Sets a key: in place if it is there, else at the end.
    pub fn set(&mut self, key: &str, value: Value) { todo!() }
    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool { todo!() }
    /// Keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> { self.0.iter().map(|(k, v)| (k.as_str(), v)) }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool { self.0.is_empty() }
}
impl Value {
    /// The value in GVariant's text form, as `ostree show --print-metadata-key` prints it (`'text'`, `uint32 42`, `true`, `['a', 'b']`, `[byte 0x01]`; with type annotations as GLib prints them).
    pub fn to_text(&self) -> String { todo!() }
    /// The GVariant type string.
    pub fn signature(&self) -> &str { todo!() }
}
