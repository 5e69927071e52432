//! Names of refs, remotes and collections: checked text.

use std::fmt;

/// A ref's name: fragments joined by `/`, as `os/x86_64/stable`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);
/// A remote's name: one ref fragment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);
/// A collection id, as `org.example.Os`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(String);

/// A ref here, or the last known state of a ref of a remote: `REF` or `REMOTE:REF`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refspec {
    /// The remote, if it is one's.
    pub remote: Option<RemoteName>,
    /// The ref.
    pub name: RefName,
}

/// A name that breaks the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}")]
pub struct NameError { /** The name, cut to 80 characters. */ pub text: String, /** What it should be: `ref name` and so on. */ pub what: &'static str }

impl RefName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> { todo!() }
    /// The text.
    pub fn as_str(&self) -> &str { &self.0 }
}
impl RemoteName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> { todo!() }
    /// The text.
    pub fn as_str(&self) -> &str { &self.0 }
}
impl CollectionId {
    /// Checks an id.
    pub fn new(name: &str) -> Result<Self, NameError> { todo!() }
    /// The text.
    pub fn as_str(&self) -> &str { &self.0 }
}
impl Refspec {
    /// Parses `REF` or `REMOTE:REF`.
    pub fn parse(text: &str) -> Result<Self, NameError> { todo!() }
    /// A ref of this repository.
    pub fn local(name: RefName) -> Self { Self { remote: None, name } }
}
impl fmt::Display for RefName { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) } }
impl fmt::Display for RemoteName { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) } }
impl fmt::Display for CollectionId { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) } }
impl fmt::Display for Refspec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remote { Some(r) => write!(f, "{r}:{}", self.name), None => self.name.fmt(f) }
    }
}
