//! Names of objects: digests that carry the kind of what they name.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// A digest of 32 bytes, the name of an object of any kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 32]);

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A version of a tree.
    Commit,
    /// The names in a directory.
    DirTree,
    /// Owner, mode and attributes of a directory.
    DirMeta,
    /// A file, symlink or node: header and content.
    File,
}

/// An object's kind and digest: what it is called in messages, and the key of a work list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its digest.
    pub id: ObjectId,
}

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an object id (64 lower-case hexadecimal digits)")]
pub struct ParseIdError {
    /// What was given, cut to 80 characters.
    pub text: String,
}

impl ObjectId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self { Self(bytes) }
    /// The id that is the whole of `bytes`, if they are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> { Some(Self(bytes.try_into().ok()?)) }
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] { &self.0 }
    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String { todo!() }
    /// Parses 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, ParseIdError> { todo!() }
}
impl fmt::Display for ObjectId { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { todo!() } }
impl fmt::Debug for ObjectId { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) } }
/// `HEX.commit`, `HEX.dirtree`, `HEX.dirmeta`, `HEX.file`.
impl fmt::Display for ObjectName { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { todo!() } }

/// A hexadecimal prefix of an id, 1 to 64 lower-case digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);
impl Prefix {
    /// Parses 1 to 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> { todo!() }
    /// Whether `id` begins so.
    pub fn matches(&self, id: &ObjectId) -> bool { todo!() }
    /// The digits.
    pub fn as_str(&self) -> &str { &self.0 }
}

mod sealed { pub trait Sealed {} }

/// A kind of object, as a type. Sealed: [`kind`] has them all.
pub trait Kind: sealed::Sealed + 'static {
    /// The same as a value.
    const KIND: ObjectKind;
}

/// The kinds as types, for [`Id`].
pub mod kind {
    /// See [`super::ObjectKind::File`].
    #[derive(Debug)]
    pub enum File {}
}
impl sealed::Sealed for kind::File {}
impl Kind for kind::File { const KIND: ObjectKind = ObjectKind::File; }
impl sealed::Sealed for crate::Commit {}
impl Kind for crate::Commit { const KIND: ObjectKind = ObjectKind::Commit; }
impl sealed::Sealed for crate::DirTree {}
impl Kind for crate::DirTree { const KIND: ObjectKind = ObjectKind::DirTree; }
impl sealed::Sealed for crate::DirMeta {}
impl Kind for crate::DirMeta { const KIND: ObjectKind = ObjectKind::DirMeta; }

/// The id of an object of kind `K`.
pub struct Id<K: Kind> { raw: ObjectId, kind: PhantomData<fn() -> K> }
impl<K: Kind> Id<K> {
    /// Says that `raw` names a `K`. What is stored there is verified when it is read.
    pub const fn new(raw: ObjectId) -> Self { Self { raw, kind: PhantomData } }
    /// The digest alone.
    pub const fn raw(&self) -> ObjectId { self.raw }
    /// Kind and digest.
    pub const fn name(&self) -> ObjectName { ObjectName { kind: K::KIND, id: self.raw } }
    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String { self.raw.to_hex() }
}
impl<K: Kind> Clone for Id<K> { fn clone(&self) -> Self { *self } }
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> { fn eq(&self, other: &Self) -> bool { self.raw == other.raw } }
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> { fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> { Some(self.cmp(other)) } }
impl<K: Kind> Ord for Id<K> { fn cmp(&self, other: &Self) -> std::cmp::Ordering { self.raw.cmp(&other.raw) } }
impl<K: Kind> Hash for Id<K> { fn hash<H: Hasher>(&self, state: &mut H) { self.raw.hash(state); } }
impl<K: Kind> fmt::Display for Id<K> { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.raw.fmt(f) } }
impl<K: Kind> fmt::Debug for Id<K> { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}", self.name()) } }
