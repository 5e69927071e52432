//! Extended attributes of an object.

/// Attributes sorted by name, each name once, non-empty and without NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Xattrs(Vec<(Vec<u8>, Vec<u8>)>);

/// Why attributes cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XattrError {
    /// A name is empty or holds a NUL byte.
    #[error("invalid attribute name {0:?}")]
    Name(Vec<u8>),
    /// A name is there twice.
    #[error("attribute {0:?} is there twice")]
    Duplicate(Vec<u8>),
}

impl Xattrs {
    /// Sorts and checks attributes as [`sapwood_fsio::xattr::list`] gives them.
    pub fn new(list: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, XattrError> { todo!() }
    /// The attributes, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> { self.0.iter().map(|(n, v)| (n.as_slice(), v.as_slice())) }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool { self.0.is_empty() }
    /// The value of one.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> { todo!() }
    /// Sets one, replacing.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), XattrError> { todo!() }
}
