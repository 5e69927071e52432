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

impl NameError {
    /// The message, for errors that carry a static text.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Empty => "empty name",
            Self::Dots => "name is . or ..",
            Self::Slash => "name holds a slash",
            Self::Nul => "name holds a NUL byte",
            Self::TooLong => "name is longer than 255 bytes",
            Self::NotUtf8 => "name is not UTF-8",
        }
    }
}

impl EntryName {
    /// Checks a name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        match name {
            "" => Err(NameError::Empty),
            "." | ".." => Err(NameError::Dots),
            _ if name.len() > 255 => Err(NameError::TooLong),
            _ if name.contains('/') => Err(NameError::Slash),
            _ if name.contains('\0') => Err(NameError::Nul),
            _ => Ok(Self(name.into())),
        }
    }
    /// Checks a name of unknown encoding.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_bytes(name: &[u8]) -> Result<Self, NameError> {
        std::str::from_utf8(name).map_or(Err(NameError::NotUtf8), Self::new)
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for EntryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for EntryName {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl std::borrow::Borrow<str> for EntryName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        let long = "a".repeat(256);
        for (name, error) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("/", NameError::Slash),
            ("a/b", NameError::Slash),
            ("../etc", NameError::Slash),
            ("a\0", NameError::Nul),
            (&long, NameError::TooLong),
        ] {
            assert_eq!(EntryName::new(name), Err(error), "{name:?}");
            assert_eq!(EntryName::from_bytes(name.as_bytes()), Err(error), "{name:?}");
            assert_eq!(error.to_string(), error.what());
        }
        assert_eq!(EntryName::from_bytes(b"\xff"), Err(NameError::NotUtf8));
    }

    #[test]
    fn other_names_are_accepted() {
        for name in ["a", "...", ".hidden", "ünï", " ", "-", &"é".repeat(127), &"a".repeat(255)] {
            assert_eq!(EntryName::new(name).unwrap().as_str(), name);
        }
    }
}
