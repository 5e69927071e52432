//! The deltas that a repository has: listing, reading, deleting.

use super::name::{DELTAS, INDEXES};
use super::signed::Envelope;
use super::{DeltaError, DeltaName, MAX_PART_BYTES, MAX_SUPERBLOCK_BYTES, Superblock};
use crate::{Error, Repo, Result};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Commit, Id};

/// The file that makes a directory a delta.
pub(crate) const SUPERBLOCK: &str = "superblock";

impl Repo {
    /// The deltas that are here, sorted by name. Directories that are none are left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn deltas(&self) -> Result<Vec<DeltaName>> {
        let mut found = Vec::new();
        let Some(deltas) = fsio::open_dir_optional(self.dir(), DELTAS)? else { return Ok(found) };
        for first in names_of(&deltas, Kind::Dir)? {
            let dir = fsio::open_dir(&deltas, &first)?;
            for rest in names_of(&dir, Kind::Dir)? {
                if let Some(name) = DeltaName::from_dirs(&format!("{first}{rest}"))
                    && fsio::stat_optional(&dir, format!("{rest}/{SUPERBLOCK}"))?.is_some()
                {
                    found.push(name);
                }
            }
        }
        found.sort_unstable_by_key(ToString::to_string);
        Ok(found)
    }

    /// The superblock of a delta, as it stands, with its parts read from the repository when they are asked for.
    ///
    /// # Errors
    /// [`DeltaError::Missing`], [`DeltaError::Malformed`], [`Error::Io`].
    pub fn open_delta(&self, name: &DeltaName) -> Result<DeltaFiles> {
        let missing = || Error::Delta(DeltaError::Missing { name: name.to_string() });
        let dir = fsio::open_dir_optional(self.dir(), name.path())?.ok_or_else(missing)?;
        DeltaFiles::open(dir, SUPERBLOCK)?.ok_or_else(missing)
    }

    /// Deletes a delta, or what one that was never finished has left. Its index stays until it is renewed.
    ///
    /// # Errors
    /// [`DeltaError::Missing`], [`Error::NewerFormat`] where the repository can only be read, [`Error::Lock`], [`Error::Io`].
    pub fn delete_delta(&self, name: &DeltaName) -> Result<()> {
        self.config().check_writable()?;
        let path = name.path();
        let _lock = self.lock_refs()?;
        let Some(dir) = fsio::open_dir_optional(self.dir(), &path)? else {
            return Err(DeltaError::Missing { name: name.to_string() }.into());
        };
        // Without its superblock it is no delta any more, whatever else a crash leaves.
        fsio::remove_file_optional(&dir, SUPERBLOCK)?;
        Ok(fsio::remove_tree(self.dir(), &path)?)
    }

    /// The commits that have an index of deltas to them, sorted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn delta_indexes(&self) -> Result<Vec<Id<Commit>>> {
        let mut found = Vec::new();
        let Some(indexes) = fsio::open_dir_optional(self.dir(), INDEXES)? else { return Ok(found) };
        for first in names_of(&indexes, Kind::Dir)? {
            for file in names_of(&fsio::open_dir(&indexes, &first)?, Kind::File)? {
                let id = file.strip_suffix(".index").map(|rest| format!("{first}{rest}"));
                found.extend(id.and_then(|id| super::name::decode(&id)).map(Id::new));
            }
        }
        found.sort_unstable_by_key(Id::<Commit>::to_hex);
        Ok(found)
    }
}

/// The names of the entries of one kind in a directory.
pub(crate) fn names_of(dir: &Dir, kind: Kind) -> Result<Vec<String>> {
    let entries = fsio::entries(dir)?.into_iter().filter(|entry| entry.kind == kind);
    Ok(entries.filter_map(|entry| entry.name.into_string().ok()).collect())
}

/// A delta on a disk: the superblock in memory, its parts beside it or in it.
#[derive(Debug)]
pub struct DeltaFiles {
    dir: Dir,
    pub(super) envelope: Option<Envelope>,
    /// What the superblock says.
    pub superblock: Superblock,
}

impl DeltaFiles {
    /// Opens the superblock `file` in `dir`; `None` if it is not there. Its parts are files of `dir` called `0`, `1`, …
    ///
    /// # Errors
    /// [`DeltaError::Malformed`], [`Error::Io`].
    pub fn open(dir: Dir, file: &str) -> Result<Option<Self>> {
        let Some(bytes) = fsio::read_optional(&dir, file, MAX_SUPERBLOCK_BYTES)? else { return Ok(None) };
        let superblock = Superblock::decode(&bytes)?;
        let malformed = |source| DeltaError::Malformed { what: "superblock", source };
        let envelope = super::signed::open(&bytes).map_err(malformed)?;
        Ok(Some(Self { dir, envelope, superblock }))
    }

    /// The bytes of a part, as they stand.
    ///
    /// # Errors
    /// [`Error::Io`], also where there is no such part.
    pub fn part(&self, index: usize) -> Result<Vec<u8>> {
        match self.superblock.parts.get(index).and_then(|part| part.inline.clone()) {
            Some(inline) => Ok(inline),
            None => Ok(fsio::read(&self.dir, index.to_string(), MAX_PART_BYTES)?),
        }
    }
}
