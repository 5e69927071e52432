//! Replacing files of the repository: written in `tmp`, where what a crash leaves is swept, then renamed.

use crate::Result;
use sapwood_fsio::{At, Dir, Staged};
use std::io::Write;
use std::path::Path;

/// What is written before it has its name.
pub(crate) const TMP: &str = "tmp";

/// Replaces the file at `path` by one with these bytes and mode 0644. After a crash it is the old one or the new one.
pub(crate) fn replace(repo: &Dir, path: &str, bytes: &[u8], fsync: bool) -> Result<()> {
    let tmp = sapwood_fsio::ensure_dir(repo, TMP, 0o775)?;
    let mut staged = Staged::create(&tmp)?;
    staged.write_all(bytes).at("write", path)?;
    sapwood_fsio::set_mode(staged.file(), 0o644)?;
    if fsync {
        staged.sync()?;
    }
    staged.publish(repo, path)?;
    if fsync {
        match Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => sapwood_fsio::sync_dir(&sapwood_fsio::open_dir(repo, parent)?)?,
            None => sapwood_fsio::sync_dir(repo)?,
        }
    }
    Ok(())
}
