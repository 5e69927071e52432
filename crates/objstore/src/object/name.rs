//! Names of directory entries.

/// A name in a directory: UTF-8, 1 to 255 bytes, without `/` and NUL, not `.` or `..`. Ordered by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<str>);

/// Why something cannot be a name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no byte.
    #[error("empty name")]
    Empty,
    /// It is `.` or `..`.
    #[error("name is . or ..")]
    Dots,
    /// It holds a slash.
    #[error("name holds a slash")]
    Slash,
    /// It holds a NUL byte.
    #[error("name holds a NUL byte")]
    Nul,
    /// It is longer than 255 bytes.
    #[error("name is longer than 255 bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("name is not UTF-8")]
    NotUtf8,
}

impl EntryName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> { todo!() }
    /// Checks a name of unknown encoding.
    pub fn from_bytes(name: &[u8]) -> Result<Self, NameError> { todo!() }
    /// The text.
    pub fn as_str(&self) -> &str { &self.0 }
}
impl std::fmt::Display for EntryName { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) } }
impl AsRef<std::path::Path> for EntryName { fn as_ref(&self) -> &std::path::Path { std::path::Path::new(&*self.0) } }
