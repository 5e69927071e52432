//! Names of refs, remotes and collections: checked text.
//!
//! A name that exists as a value can be used as a path below `refs/`: no component is empty, begins with a dot or a
//! dash, or is too long for a filesystem.
#![deny(clippy::indexing_slicing)]

use std::fmt;

/// A ref's name: fragments joined by `/`, as `os/x86_64/stable`.
///
/// A fragment begins with a letter, digit or `_` of any script, and goes on with those, `-` and `.`; it has at most 255
/// bytes, the name at most 2000. A name that looks like an object id (64 lower-case hexadecimal digits) is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// A remote's name: one ref fragment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

/// A collection id, as `org.example.Os`: two or more words joined by `.`, at most 255 bytes. A word begins with an ASCII
/// letter or `_` and goes on with those and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(String);

/// Whose refs: each has a tree of names of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// The repository's own.
    Local,
    /// Those of a remote, as they were when last pulled.
    Remote(RemoteName),
    /// Those of another collection, which this repository carries on.
    Mirror(CollectionId),
}

/// A ref and whose it is: `REF`, `REMOTE:REF`, or `(COLLECTION, REF)`, which no text that is parsed can say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refspec {
    /// Whose.
    pub namespace: Namespace,
    /// The ref.
    pub name: RefName,
}

/// A name that breaks the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}")]
pub struct NameError {
    /** The name, cut to 80 characters. */
    pub text: String,
    /** What it should be: `ref name` and so on. */
    pub what: &'static str,
}

const MAX_FRAGMENT_BYTES: usize = 255;
const MAX_REF_BYTES: usize = 2000;

fn check(good: bool, text: &str, what: &'static str) -> Result<String, NameError> {
    if good { Ok(text.to_owned()) } else { Err(NameError { text: text.chars().take(80).collect(), what }) }
}

/// PCRE's `\w` in Unicode text. The standard library has no general categories; its alphabetic characters include some
/// combining marks that PCRE does not count.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_fragment(text: &str) -> bool {
    text.len() <= MAX_FRAGMENT_BYTES
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || c == '-' || c == '.')
}

fn looks_like_an_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl RefName {
    /// Checks a name.
    ///
    /// # Errors
    /// It breaks the rules.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let good = name.len() <= MAX_REF_BYTES && name.split('/').all(is_fragment) && !looks_like_an_id(name);
        check(good, name, "ref name").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RemoteName {
    /// Checks a name.
    ///
    /// # Errors
    /// It breaks the rules.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check(is_fragment(name), name, "remote name").map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CollectionId {
    /// Checks an id.
    ///
    /// # Errors
    /// It breaks the rules.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        check(name.len() <= 255 && name.contains('.') && name.split('.').all(is_word), name, "collection id")
            .map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Refspec {
    /// Parses `REF` or `REMOTE:REF`.
    ///
    /// # Errors
    /// The remote's name or the ref's breaks the rules.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Ok(match text.split_once(':') {
            Some((remote, name)) => Self::of_remote(RemoteName::new(remote)?, RefName::new(name)?),
            None => Self::local(RefName::new(text)?),
        })
    }

    /// A ref of this repository.
    pub fn local(name: RefName) -> Self {
        Self { namespace: Namespace::Local, name }
    }

    /// A ref of a remote.
    pub fn of_remote(remote: RemoteName, name: RefName) -> Self {
        Self { namespace: Namespace::Remote(remote), name }
    }

    /// A ref of another collection.
    pub fn mirrored(collection: CollectionId, name: RefName) -> Self {
        Self { namespace: Namespace::Mirror(collection), name }
    }

    /// Whether it is a ref of this repository.
    pub fn is_local(&self) -> bool {
        self.namespace == Namespace::Local
    }

    /// The remote, if it is one's.
    pub fn remote(&self) -> Option<&RemoteName> {
        if let Namespace::Remote(remote) = &self.namespace { Some(remote) } else { None }
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Refspec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Namespace::Local => self.name.fmt(f),
            Namespace::Remote(remote) => write!(f, "{remote}:{}", self.name),
            Namespace::Mirror(collection) => write!(f, "({collection}, {})", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ref_names_follow_the_grammar() {
        for good in [
            "a",
            "a/b",
            "os/x86_64/stable",
            "1.2-3_4",
            "_x",
            "é/日本",
            "ostree/0/1/0",
            "deadbeef",
            "A-",
            "²½Ⅷ٣𝟘ª",
        ] {
            assert!(RefName::new(good).is_ok(), "{good}");
        }
        let id = "0123456789abcdef".repeat(4);
        let long = "x".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", ".", "..", "a/..", ".a", "a/.b", "-a", "a/-b", "a b", "a:b", "a\nb",
            "a\0", "a^", "a*", "a\u{301}", "a·", "a‿", &id, &long,
        ] {
            assert!(RefName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refspecs_have_at_most_one_remote() {
        let spec = Refspec::parse("origin:os/stable").unwrap();
        assert_eq!((spec.remote().unwrap().as_str(), spec.name.as_str()), ("origin", "os/stable"));
        assert_eq!(Refspec::parse("os/stable").unwrap().to_string(), "os/stable");
        for bad in [":a", "a:", "a/b:c", "a:b:c", "..:a"] {
            assert!(Refspec::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn collection_ids_are_like_interface_names() {
        for good in ["org.example.Os", "a.b", "_a._1"] {
            assert!(CollectionId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "org", "a.", ".a", "a..b", "a.1b", "a.b-c", "a.é", &"a.".repeat(200)] {
            assert!(CollectionId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_shows_at_most_eighty_characters() {
        assert_eq!(RefName::new(&".".repeat(500)).unwrap_err().text.len(), 80);
    }
}
