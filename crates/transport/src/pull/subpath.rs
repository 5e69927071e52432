//! Which parts of a tree are wanted: some of its paths instead of all of it.

use sapwood_objstore::EntryName;
use std::collections::BTreeMap;

/// A path from the root of a tree, such as `/usr/bin`: what is there, and the directories on the way to it, are pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subpath(Vec<EntryName>);

/// Text that is no path from the root of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubpathError {
    /// It does not begin with `/`.
    #[error("the path {path:?} does not begin with /")]
    Relative {
        /** The text. */
        path: String,
    },
    /// One of its parts is no name.
    #[error("the path {path:?} has a part that cannot be a file name")]
    Name {
        /** The text. */
        path: String,
        /** Why not. */
        source: sapwood_objstore::NameError,
    },
}

impl Subpath {
    /// Reads a path. `/` is the whole tree; repeated slashes, and one at the end, mean nothing.
    ///
    /// # Errors
    /// See [`SubpathError`].
    pub fn parse(path: &str) -> Result<Self, SubpathError> {
        if !path.starts_with('/') {
            return Err(SubpathError::Relative { path: path.to_owned() });
        }
        let parts = path.split('/').filter(|part| !part.is_empty()).map(EntryName::new);
        let parts: Result<_, _> = parts.collect();
        parts.map(Self).map_err(|source| SubpathError::Name { path: path.to_owned(), source })
    }
}

/// A directory of which only a part is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Part(u32);

impl Part {
    /// The root of the tree.
    pub(crate) const ROOT: Self = Self(0);
}

/// What is wanted of one name in such a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Nothing,
    Part(Part),
    Whole,
}

/// All wanted paths.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// The names that matter in each such directory; empty where everything is wanted, which no other one is.
    dirs: Vec<BTreeMap<Box<str>, u32>>,
}

impl Selection {
    /// `None` if that is the whole tree.
    pub(super) fn new(paths: &[Subpath]) -> Option<Self> {
        if paths.is_empty() || paths.iter().any(|path| path.0.is_empty()) {
            return None;
        }
        let mut dirs: Vec<BTreeMap<Box<str>, u32>> = vec![BTreeMap::new()];
        let mut ends = Vec::new();
        for path in paths {
            let mut at = 0;
            for name in &path.0 {
                let next = u32::try_from(dirs.len()).unwrap_or(u32::MAX);
                let names = dirs.get_mut(at as usize)?;
                at = *names.entry(name.as_str().into()).or_insert(next);
                if at == next {
                    dirs.push(BTreeMap::new());
                }
            }
            ends.push(at);
        }
        // Last, as another path may lead on from where one ends.
        for end in ends {
            dirs.get_mut(end as usize)?.clear();
        }
        Some(Self { dirs })
    }

    pub(super) fn share(&self, part: Part, name: &str) -> Share {
        let names = self.dirs.get(part.0 as usize);
        let Some(at) = names.and_then(|names| names.get(name)) else { return Share::Nothing };
        match self.dirs.get(*at as usize) {
            Some(names) if !names.is_empty() => Share::Part(Part(*at)),
            _ => Share::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_selects_itself_and_leads_through_its_parents() {
        let paths = ["/usr/bin", "//etc/", "/usr/lib/a", "/usr/bin/tool"];
        let paths: Vec<_> = paths.iter().map(|path| Subpath::parse(path).expect("valid")).collect();
        let selection = Selection::new(&paths).expect("not everything");
        assert_eq!(selection.share(Part::ROOT, "etc"), Share::Whole);
        assert_eq!(selection.share(Part::ROOT, "var"), Share::Nothing);
        let Share::Part(usr) = selection.share(Part::ROOT, "usr") else { panic!("usr is a part") };
        assert_eq!(selection.share(usr, "bin"), Share::Whole);
        let Share::Part(lib) = selection.share(usr, "lib") else { panic!("lib is a part") };
        assert_eq!(selection.share(lib, "a"), Share::Whole);
        assert_eq!(selection.share(lib, "b"), Share::Nothing);
        assert!(Selection::new(&[Subpath::parse("/").expect("valid")]).is_none());
        for bad in ["", "usr", "/usr/../etc", "/./x"] {
            assert!(Subpath::parse(bad).is_err(), "{bad}");
        }
    }
}
