//! Putting one file into a directory where something of its name may be already.
//!
//! What replaces a file is made beside it and renamed, so each name has the whole old file or the whole new one. The
//! name it has until then is derived from its own, so that a checkout that is repeated after a crash finds and removes
//! what the first left.

use super::{CheckoutOptions, Overwrite};
use crate::{Error, Result};
use sapwood_fsio::{self as fsio, Dir, Kind, Stat};
use sapwood_objstore::{self as objstore, Delivered};
use std::io::Read;
use std::path::Path;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    New(Delivered),
    Kept,
}

/// Makes a file in a directory under a name; fails with `EEXIST` if that is taken.
pub(crate) type Make<'a> = &'a dyn Fn(&Dir, &Path) -> Result<Delivered>;

/// One file to be put in its place.
#[derive(Clone, Copy)]
pub(crate) struct Placing<'a> {
    pub(crate) options: &'a CheckoutOptions,
    pub(crate) make: Make<'a>,
    /// Says whether a file that is there already is the very one to be made.
    pub(crate) is_same: &'a dyn Fn(&Stat) -> Result<bool>,
    /// The attribute in which a repository keeps the truth about its files, which hardlinks show and copies have not.
    pub(crate) own_attribute: &'a str,
}

/// Puts a file at `name` as the options say. Errors are about `name`; the caller says where that is.
pub(crate) fn place(dir: &Dir, name: &Path, placing: &Placing<'_>) -> Result<Placed> {
    let Placing { options, make, is_same, own_attribute } = *placing;
    match make(dir, name) {
        Err(error) if is_exists(&error) => {}
        done => return Ok(Placed::New(done?)),
    }
    match options.overwrite {
        Overwrite::Refuse => Err(conflict(name, "")),
        Overwrite::AddFiles => Ok(Placed::Kept),
        Overwrite::UnionFiles | Overwrite::UnionIdentical => {
            let found = fsio::stat(dir, name)?;
            if is_same(&found)? {
                return Ok(Placed::Kept);
            }
            if options.overwrite == Overwrite::UnionIdentical {
                compare(dir, name, make, own_attribute)
            } else if found.kind == Kind::Dir && !options.whiteouts {
                Err(conflict(name, ", as a directory"))
            } else {
                replace(dir, name, found.kind, make)
            }
        }
    }
}

pub(crate) fn is_exists(error: &Error) -> bool {
    match error {
        Error::Io(error) | Error::Store(objstore::Error::Io(error)) => error.is_exists(),
        _ => false,
    }
}

pub(crate) fn conflict(name: &Path, detail: &'static str) -> Error {
    Error::CheckoutConflict { path: name.display().to_string(), detail }
}

fn replace(dir: &Dir, name: &Path, found: Kind, make: Make<'_>) -> Result<Placed> {
    let (beside, delivered) = make_beside(dir, name, make)?;
    if found == Kind::Dir {
        fsio::exchange(dir, name, dir, &beside)?;
        fsio::remove_tree(dir, &beside)?;
        return Ok(Placed::New(delivered));
    }
    // Of two names of one file a rename removes neither, so what is there already is left.
    if is_same_file(dir, name, &beside)? {
        fsio::remove_file_optional(dir, &beside)?;
        return Ok(Placed::Kept);
    }
    if let Err(error) = fsio::rename(dir, &beside, dir, name) {
        // The first failure is the one to report.
        drop(fsio::remove_file_optional(dir, &beside));
        return Err(error.into());
    }
    Ok(Placed::New(delivered))
}

/// The file made anew is what the one that is there must equal, whatever the repository keeps it as.
fn compare(dir: &Dir, name: &Path, make: Make<'_>, own_attribute: &str) -> Result<Placed> {
    let (beside, _) = make_beside(dir, name, make)?;
    let same = is_same(dir, name, Path::new(&beside), own_attribute);
    fsio::remove_file_optional(dir, &beside)?;
    if same? { Ok(Placed::Kept) } else { Err(conflict(name, ", and is not the same")) }
}

fn make_beside(dir: &Dir, name: &Path, make: Make<'_>) -> Result<(String, Delivered)> {
    let digest = blake3::hash(name.as_os_str().as_encoded_bytes()).to_hex();
    let beside = format!(".tmp-checkout-{}", digest.get(..16).unwrap_or_default());
    let delivered = match make(dir, Path::new(&beside)) {
        Err(error) if is_exists(&error) => {
            fsio::remove_tree(dir, &beside)?;
            make(dir, Path::new(&beside))?
        }
        done => done?,
    };
    Ok((beside, delivered))
}

fn is_same_file(dir: &Dir, a: &Path, b: &str) -> Result<bool> {
    let (Some(a), Some(b)) = (fsio::stat_optional(dir, a)?, fsio::stat_optional(dir, b)?) else {
        return Ok(false);
    };
    Ok((a.dev, a.ino) == (b.dev, b.ino))
}

fn is_same(dir: &Dir, a: &Path, b: &Path, own_attribute: &str) -> Result<bool> {
    let (stat_a, stat_b) = (fsio::stat(dir, a)?, fsio::stat(dir, b)?);
    if (stat_a.dev, stat_a.ino) == (stat_b.dev, stat_b.ino) {
        return Ok(true);
    }
    let seen = |stat: &Stat| (stat.kind, stat.mode, stat.uid, stat.gid, stat.rdev);
    if seen(&stat_a) != seen(&stat_b) {
        return Ok(false);
    }
    let attributes = |path: &Path| {
        let mut list = fsio::xattr::list_of(dir, path)?;
        list.retain(|(name, _)| name != own_attribute.as_bytes());
        Ok::<_, Error>(list)
    };
    if attributes(a)? != attributes(b)? {
        return Ok(false);
    }
    match stat_a.kind {
        Kind::File => Ok(stat_a.size == stat_b.size && is_same_content(dir, a, b)?),
        Kind::Symlink => Ok(fsio::read_link(dir, a)? == fsio::read_link(dir, b)?),
        _ => Ok(true),
    }
}

fn is_same_content(dir: &Dir, a: &Path, b: &Path) -> Result<bool> {
    let mut left = fsio::open_file(dir, a)?;
    let mut right = fsio::open_file(dir, b)?;
    let (mut left_bytes, mut right_bytes) = (Vec::new(), Vec::new());
    loop {
        read_chunk(&mut left, &mut left_bytes, a)?;
        read_chunk(&mut right, &mut right_bytes, b)?;
        if left_bytes != right_bytes {
            return Ok(false);
        }
        if left_bytes.is_empty() {
            return Ok(true);
        }
    }
}

fn read_chunk(from: &mut std::fs::File, into: &mut Vec<u8>, name: &Path) -> Result<()> {
    const CHUNK_BYTES: u64 = 1 << 16;
    into.clear();
    fsio::At::at(from.take(CHUNK_BYTES).read_to_end(into), "read", name)?;
    Ok(())
}
