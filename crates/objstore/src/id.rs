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

impl ObjectKind {
    /// The number that OSTree's formats have for it.
    pub const fn number(self) -> u8 {
        match self {
            Self::File => 1,
            Self::DirTree => 2,
            Self::DirMeta => 3,
            Self::Commit => 4,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::File, Self::DirTree, Self::DirMeta, Self::Commit]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
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
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// The id that is the whole of `bytes`, if they are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }
    /// Parses 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// When `text` is anything else; upper-case digits are refused too.
    pub fn from_hex(text: &str) -> Result<Self, ParseIdError> {
        let mut id = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != id.len() || !rest.is_empty() {
            return Err(ParseIdError::new(text));
        }
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
            if high > 15 || low > 15 {
                return Err(ParseIdError::new(text));
            }
            *byte = high << 4 | low;
        }
        Ok(Self(id))
    }
}

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// The value of each lower-case hexadecimal digit; 255 for every other byte.
const VALUES: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    table
};

impl ParseIdError {
    fn new(text: &str) -> Self {
        Self { text: text.chars().take(80).collect() }
    }
}

impl std::str::FromStr for ObjectId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Self::from_hex(text)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_hex())
    }
}
impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
/// `HEX.commit`, `HEX.dirtree`, `HEX.dirmeta`, `HEX.file`.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.kind.as_str())
    }
}

impl ObjectKind {
    /// The kind's word in object names: `commit`, `dirtree`, `dirmeta`, `file`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::DirTree => "dirtree",
            Self::DirMeta => "dirmeta",
            Self::File => "file",
        }
    }
}

/// A hexadecimal prefix of an id, 1 to 64 lower-case digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);
impl Prefix {
    /// Parses 1 to 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// When `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let digits = text.bytes().all(|byte| VALUES[usize::from(byte)] < 16);
        if digits && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIdError::new(text))
        }
    }
    /// Whether `id` begins so.
    pub fn matches(&self, id: &ObjectId) -> bool {
        self.0.bytes().enumerate().all(|(at, digit)| {
            let byte = id.0[at / 2];
            VALUES[usize::from(digit)] == if at % 2 == 0 { byte >> 4 } else { byte & 15 }
        })
    }
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

mod sealed {
    pub trait Sealed {}
}

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
impl Kind for kind::File {
    const KIND: ObjectKind = ObjectKind::File;
}
impl sealed::Sealed for crate::Commit {}
impl Kind for crate::Commit {
    const KIND: ObjectKind = ObjectKind::Commit;
}
impl sealed::Sealed for crate::DirTree {}
impl Kind for crate::DirTree {
    const KIND: ObjectKind = ObjectKind::DirTree;
}
impl sealed::Sealed for crate::DirMeta {}
impl Kind for crate::DirMeta {
    const KIND: ObjectKind = ObjectKind::DirMeta;
}

/// The id of an object of kind `K`.
pub struct Id<K: Kind> {
    raw: ObjectId,
    kind: PhantomData<fn() -> K>,
}
impl<K: Kind> Id<K> {
    /// Says that `raw` names a `K`. What is stored there is verified when it is read.
    pub const fn new(raw: ObjectId) -> Self {
        Self { raw, kind: PhantomData }
    }
    /// The digest alone.
    pub const fn raw(&self) -> ObjectId {
        self.raw
    }
    /// The bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.raw.as_bytes()
    }
    /// Kind and digest.
    pub const fn name(&self) -> ObjectName {
        ObjectName { kind: K::KIND, id: self.raw }
    }
    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.raw.to_hex()
    }
}
impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.raw.cmp(&other.raw)
    }
}
impl<K: Kind> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}
impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef00ff10a0446a0ef11b7cc167f3b603e585c7eeeeb675faa4";

    #[test]
    fn hexadecimal_digits_are_read_and_written() {
        let id = ObjectId::from_hex(HEX).unwrap();
        assert_eq!(&id.as_bytes()[..10], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x00, 0xff]);
        assert_eq!(id.to_hex(), HEX);
        assert_eq!(format!("{id}"), HEX);
        assert_eq!(ObjectName { kind: ObjectKind::DirTree, id }.to_string(), format!("{HEX}.dirtree"));
    }

    #[test]
    fn anything_but_64_lower_case_digits_is_refused() {
        let upper = HEX.to_uppercase();
        let long = format!("{HEX}0");
        let letter = HEX.replace('a', "g");
        let wide = format!("{}é", &HEX[..62]);
        for text in ["", "0", &HEX[..63], &long, &upper, &letter, &wide, &HEX.replace('0', " ")] {
            assert!(ObjectId::from_hex(text).is_err(), "{text:?}");
        }
        let error = ObjectId::from_hex(&"é".repeat(500)).unwrap_err();
        assert_eq!(error.text.chars().count(), 80);
    }

    #[test]
    fn a_prefix_matches_the_ids_that_begin_with_it() {
        let id = ObjectId::from_hex(HEX).unwrap();
        for length in 1..=64 {
            assert!(Prefix::parse(&HEX[..length]).unwrap().matches(&id), "{length}");
        }
        for other in ["1", "00", "0122", "0123456789abcdee"] {
            assert!(!Prefix::parse(other).unwrap().matches(&id), "{other}");
        }
        for bad in ["", "A", "0x", &format!("{HEX}0")] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }
}
