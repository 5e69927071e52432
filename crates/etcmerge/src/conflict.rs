//! Where the two sides contradict each other, and who prevails.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Who prevails where the local tree and the new defaults contradict each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The local tree. This is what OSTree does.
    #[default]
    KeepLocal,
    /// The new defaults. Local changes that contradict nothing stay.
    KeepNew,
    /// The local tree; the new default is put beside it, with [`BESIDE_SUFFIX`] appended to its name.
    ///
    /// Nothing is put beside what was removed locally, beside a directory whose attributes alone are in question, where
    /// the name would be too long (255 bytes), or where one of the defaults has that very name. An older file of that
    /// name, from an earlier merge, is replaced.
    KeepBoth,
}

/// What is appended to the name of a new default that is put beside the local file: `sshd_config.new-default`.
///
/// The dot keeps it out of directories that are read by suffix (`*.conf`) or by plain name (`run-parts`).
pub const BESIDE_SUFFIX: &str = ".new-default";

/// The longest name that file systems take.
const MAX_NAME_BYTES: usize = 255;

/// The path beside `path` for the new default; `None` for the top, or if the name would be too long.
pub(crate) fn beside(path: &Path) -> Option<PathBuf> {
    let mut name: OsString = path.file_name().map(OsStr::to_owned)?;
    name.push(BESIDE_SUFFIX);
    (name.len() <= MAX_NAME_BYTES).then(|| path.with_file_name(name))
}

/// How two changes contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConflictKind {
    /// Both modified it, in different ways.
    BothModified,
    /// Both added it, with differences.
    BothAdded,
    /// Modified locally, removed from the defaults.
    ModifiedDeleted,
    /// Removed locally, modified in the defaults.
    DeletedModified,
    /// It is of one type (file, directory, symlink) here and of another there.
    TypeChanged,
    /// One side removed or replaced a directory in which the other one has something new.
    DirectoryRemoved,
}

impl ConflictKind {
    /// Every kind, with the word that stands for it where conflicts are written down.
    const WORDS: [(Self, &'static str); 6] = [
        (Self::BothModified, "both-modified"),
        (Self::BothAdded, "both-added"),
        (Self::ModifiedDeleted, "modified-deleted"),
        (Self::DeletedModified, "deleted-modified"),
        (Self::TypeChanged, "type-changed"),
        (Self::DirectoryRemoved, "directory-removed"),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// The kind that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// How a conflict was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// As it is locally (which can mean: removed).
    KeptLocal,
    /// As it is in the new defaults (which can mean: removed).
    TookNew,
    /// As it is locally, and the new default is beside it.
    KeptBoth {
        /// The path of the new default.
        beside: PathBuf,
    },
}

/// A change that is not honoured because it contradicts a change of the side that prevails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where; empty for the top.
    pub path: PathBuf,
    /// How the two contradict each other.
    pub kind: ConflictKind,
    /// What was done.
    pub resolution: Resolution,
}
