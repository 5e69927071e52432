//! Directories that are consumed: what was recorded of them is removed, once that is durable.
//!
//! Nothing is removed that is not just as it was recorded: what was changed or added meanwhile stays.

use crate::Result;
use sapwood_fsio::{self as fsio, Dir, Stat};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What was recorded of a directory that is to be consumed; about 60 bytes for each file, and its name.
#[derive(Debug, Default)]
#[must_use = "it is removed by `remove`, when the transaction has been committed"]
pub struct Consumed {
    parts: Mutex<Vec<Part>>,
}

/// Some of a directory.
#[derive(Debug)]
struct Part {
    /// Relative to the top; empty for the top.
    dir: PathBuf,
    files: Vec<State>,
    /// Sub-directories that were skipped.
    skipped: Vec<OsString>,
}

/// A file as it was recorded. A file that is an object now has another time than it had before.
#[derive(Debug)]
struct State {
    name: OsString,
    ino: u64,
    size: u64,
    mtime_ns: i128,
}

impl State {
    fn is(&self, stat: &Stat) -> bool {
        (self.ino, self.size, self.mtime_ns) == (stat.ino, stat.size, stat.mtime_ns)
    }
}

impl Consumed {
    /// Notes a directory: all of it will have to go.
    pub(super) fn note_dir(&self, dir: PathBuf, skipped: Vec<OsString>) {
        self.note(Part { dir, files: Vec::new(), skipped });
    }

    /// Notes files of a directory, each as it was recorded.
    pub(super) fn note_files(&self, dir: PathBuf, files: impl Iterator<Item = (OsString, Stat)>) {
        let state = |(name, stat): (OsString, Stat)| {
            let Stat { ino, size, mtime_ns, .. } = stat;
            State { name, ino, size, mtime_ns }
        };
        self.note(Part { dir, files: files.map(state).collect(), skipped: Vec::new() });
    }

    fn note(&self, part: Part) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// Removes what was recorded from below `top`, which itself stays. Returns what is still there, since it was changed or
    /// added after it was recorded; of a directory that is not empty for that reason, only what is in it.
    ///
    /// To be called once the transaction has been committed. A crash leaves a part, and nothing else is lost.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where something cannot be removed; the rest is then still there.
    pub fn remove(self, top: &Dir) -> Result<Vec<PathBuf>> {
        let mut parts = self.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.sort_by(|a, b| b.dir.cmp(&a.dir));
        let mut left = BTreeSet::new();
        // A directory comes after all that is below it.
        for part in &parts {
            let path = if part.dir.as_os_str().is_empty() { Path::new(".") } else { &part.dir };
            let Some(dir) = fsio::open_dir_optional(top, path)? else { continue };
            for state in &part.files {
                match fsio::stat_optional(&dir, &state.name)? {
                    None => {}
                    Some(stat) if state.is(&stat) => _ = fsio::remove_file_optional(&dir, &state.name)?,
                    Some(_) => _ = left.insert(part.dir.join(&state.name)),
                }
            }
            for name in &part.skipped {
                fsio::remove_tree(&dir, name)?;
            }
        }
        parts.dedup_by(|a, b| a.dir == b.dir);
        for part in parts {
            remove_dir(top, &part.dir, &mut left)?;
        }
        Ok(left.into_iter().collect())
    }
}

/// Removes a directory, or notes what is in it. Whatever is noted of it already is not noted again.
fn remove_dir(top: &Dir, path: &Path, left: &mut BTreeSet<PathBuf>) -> Result<()> {
    let here = if path.as_os_str().is_empty() { OsStr::new(".") } else { path.as_os_str() };
    let Some(dir) = fsio::open_dir_optional(top, here)? else { return Ok(()) };
    let found: Vec<_> = fsio::entries(&dir)?.into_iter().map(|entry| path.join(entry.name)).collect();
    drop(dir);
    if found.is_empty() {
        return if path.as_os_str().is_empty() { Ok(()) } else { Ok(fsio::remove_dir(top, path)?) };
    }
    for name in found {
        let is_noted = left.range(name.clone()..).next().is_some_and(|next| next.starts_with(&name));
        if !is_noted {
            left.insert(name);
        }
    }
    Ok(())
}
