//! Why reading or merging a tree failed.

use sapwood_fsio as fsio;
use std::fmt;
use std::path::{Path, PathBuf};

/// Which of the trees is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// The one that is being scanned.
    Scanned,
    /// The administrator's.
    Local,
    /// The new version's.
    NewDefaults,
    /// The one that is being written.
    Target,
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scanned => "scanned",
            Self::Local => "local",
            Self::NewDefaults => "new default",
            Self::Target => "merged",
        })
    }
}

/// Why a merge failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("the {tree} configuration tree failed at {}", shown(path))]
    File {
        /// In which tree.
        tree: Tree,
        /// On which path of it.
        path: PathBuf,
        /// What failed.
        source: fsio::Error,
    },
    /// Something is no longer what it was when the plan was made.
    #[error("{} changed in the {tree} configuration tree while it was being merged", shown(path))]
    Changed {
        /// In which tree.
        tree: Tree,
        /// The path.
        path: PathBuf,
    },
    /// Directories are nested too deeply.
    #[error("{} is nested more than {limit} directories deep", shown(path))]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// The most that is accepted.
        limit: usize,
    },
    /// There are too many files.
    #[error("the configuration tree has more than {limit} entries")]
    TooMany {
        /// The most that is accepted.
        limit: usize,
    },
}

/// The path for people: the top has no name of its own.
fn shown(path: &Path) -> std::path::Display<'_> {
    if path.as_os_str().is_empty() { Path::new(".").display() } else { path.display() }
}
