//! Making a transaction's objects durable, then visible.

use super::{Published, Transaction};
use crate::{Error, ObjectName, RepoLock, Store, layout};
use rayon::prelude::*;
use sapwood_fsio::{self as fsio, Dir};
use std::collections::HashSet;
use std::ffi::OsString;

/// Holds the repository's shared lock after publishing, until the refs have moved.
#[derive(Debug)]
pub struct PublishGuard {
    #[expect(dead_code, reason = "held, not read")]
    lock: Option<RepoLock>,
}

impl Transaction<'_> {
    /// Makes everything durable, then visible: content first, and commits only once that is durable under its names.
    ///
    /// The shared lock is held until the returned guard is dropped, so that refs can be moved under it.
    ///
    /// # Errors
    /// [`Error::Io`]: some objects may be visible then, each of them whole; no commit is without all that was staged
    /// with it. A repeated transaction takes up what is still staged.
    pub fn publish(self) -> Result<(Published, PublishGuard), Error> {
        let stats = self.stats();
        let Self { store, staging, lock, replaced, .. } = self;
        store.sync()?;
        for shelf in [staging.content(), staging.commits()] {
            let context = fsio::fault::context();
            let touched: Vec<u8> = (0..=u8::MAX)
                .into_par_iter()
                .map(|shard| {
                    let _in = context.enter();
                    let Some(dir) = shelf.shard(shard)? else { return Ok(None) };
                    Ok(move_in(store, shard, &dir, &replaced)?.then_some(shard))
                })
                .filter_map(Result::transpose)
                .collect::<Result<_, Error>>()?;
            store.sync_shards(&touched)?;
        }
        staging.remove_all()?;
        Ok((stats, PublishGuard { lock }))
    }
}

/// Renames the objects of one shard into the store; says whether there were any.
fn move_in(store: &Store, shard: u8, staged: &Dir, replaced: &HashSet<ObjectName>) -> Result<bool, Error> {
    let files: Vec<OsString> = fsio::entries(staged)?.into_iter().map(|entry| entry.name).collect();
    if files.is_empty() {
        return Ok(false);
    }
    let dir = store.shard_or_create(shard)?;
    for file in &files {
        if file.to_str().is_some_and(|file| file.ends_with(layout::DETACHED)) {
            fsio::rename(staged, file, &dir, file)?;
            continue;
        }
        if !replaced.is_empty()
            && let Some(name) = file.to_str().and_then(|file| layout::parse_name(store.mode(), shard, file))
            && replaced.contains(&name)
        {
            crate::uncompressed::forget(store, name)?;
            if put_in_place(staged, file, &dir)? {
                continue;
            }
        }
        match fsio::rename_noreplace(staged, file, &dir, file) {
            // Another transaction was faster. Its object is the same, and ours goes with the staging directory.
            Err(e) if e.is_exists() => {}
            outcome => outcome?,
        }
        if let Some(commit) = file.to_str().and_then(|file| file.strip_suffix(layout::COMMIT_SUFFIX)) {
            // It is here again.
            fsio::remove_file_optional(&dir, format!("{commit}{}", layout::TOMBSTONE_SUFFIX))?;
        }
    }
    Ok(true)
}

/// Swaps an object with the damaged one of its name, whatever that is, which then goes with the staging directory. `false` if
/// there is none.
fn put_in_place(staged: &Dir, file: &OsString, dir: &Dir) -> Result<bool, Error> {
    match fsio::exchange(staged, file, dir, file) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        // Not every filesystem can swap.
        Err(_) => Ok(fsio::rename(staged, file, dir, file).map(|()| true)?),
    }
}
