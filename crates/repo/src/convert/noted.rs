//! What `convert` made of which commit, noted by itself: `state/converted`.
//!
//! What a commit says of itself, that it was made of another, is information: anybody can write a commit that says so. Only
//! what stands in this file, which no transfer writes, spares a conversion.
//!
//! The file is a magic, then records of 72 bytes: the id in the other repository, the id here, and the first 8 bytes of the
//! BLAKE3 of the magic and both. Records are added once the commits are durable. A crash can tear the last ones: what is
//! behind the first that does not check is cut off by the next run, which converts those commits again, to the same ids.
//! Past [`MAX_BYTES`] the older half goes, with the same consequence.

use crate::{Repo, Result};
use sapwood_fsio as fsio;
use sapwood_objstore::{Commit, Id, ObjectId};

const PATH: &str = "state/converted";
/// The last digits are the version.
const MAGIC: &[u8; 16] = b"sapwood conv v01";
const ID_BYTES: usize = 32;
const CHECK_BYTES: usize = 8;
const RECORD_BYTES: usize = 2 * ID_BYTES + CHECK_BYTES;
/// Room for 900,000 commits.
const MAX_BYTES: u64 = 64 << 20;

/// A commit of the other repository, and what became of it here.
pub(super) type Pair = (Id<Commit>, Id<Commit>);

/// What is noted in a repository about commits that were converted into it. What is damaged is left out.
pub(super) fn read(repo: &Repo) -> Result<Vec<Pair>> {
    Ok(split(&load(repo)?).0)
}

/// As [`read`], and makes the file fit to be added to.
pub(super) fn open(repo: &Repo) -> Result<Vec<Pair>> {
    let bytes = load(repo)?;
    let (mut pairs, end) = split(&bytes);
    if end < bytes.len() || end == 0 || bytes.len() as u64 > MAX_BYTES / 2 {
        let most = usize::try_from(MAX_BYTES / 2).unwrap_or(0) / RECORD_BYTES;
        drop(pairs.drain(..pairs.len().saturating_sub(most)));
        let mut kept = MAGIC.to_vec();
        kept.extend(pairs.iter().flat_map(encode));
        crate::write::replace(repo.dir(), PATH, &kept, repo.config().fsync)?;
    }
    Ok(pairs)
}

/// Notes commits that are durable.
pub(super) fn note(repo: &Repo, pairs: &[Pair]) -> Result<()> {
    let bytes: Vec<u8> = pairs.iter().flat_map(encode).collect();
    fsio::append(repo.dir(), PATH, 0o644, &bytes)?;
    Ok(repo.store().sync()?)
}

fn load(repo: &Repo) -> Result<Vec<u8>> {
    // One run adds what it converts to what it found at most half full.
    Ok(fsio::read_optional(repo.dir(), PATH, 2 * MAX_BYTES)?.unwrap_or_default())
}

fn encode((from, to): &Pair) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let (ids, check) = record.split_at_mut(2 * ID_BYTES);
    let (first, second) = ids.split_at_mut(ID_BYTES);
    first.copy_from_slice(from.raw().as_bytes());
    second.copy_from_slice(to.raw().as_bytes());
    check.copy_from_slice(&check_of(ids));
    record
}

fn check_of(ids: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(MAGIC).update(ids);
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The records that are whole, and where they end.
fn split(bytes: &[u8]) -> (Vec<Pair>, usize) {
    let mut pairs = Vec::new();
    let Some(body) = bytes.strip_prefix(MAGIC) else { return (pairs, 0) };
    for record in body.as_chunks::<RECORD_BYTES>().0 {
        let (ids, check) = record.split_at(2 * ID_BYTES);
        let (from, to) = ids.split_at(ID_BYTES);
        let (Some(from), Some(to)) = (ObjectId::from_slice(from), ObjectId::from_slice(to)) else { break };
        if check != check_of(ids) {
            break;
        }
        pairs.push((Id::new(from), Id::new(to)));
    }
    let end = MAGIC.len() + pairs.len() * RECORD_BYTES;
    (pairs, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: u8) -> Pair {
        (Id::new(ObjectId::from_bytes([n; 32])), Id::new(ObjectId::from_bytes([n + 1; 32])))
    }

    #[test]
    fn wherever_a_crash_cuts_or_damages_the_file_what_is_before_it_is_known() {
        let pairs: Vec<Pair> = (0..4).map(pair).collect();
        let mut whole = MAGIC.to_vec();
        whole.extend(pairs.iter().flat_map(encode));
        assert_eq!(split(&whole), (pairs.clone(), whole.len()));
        for at in 0..whole.len() {
            let records = at.saturating_sub(MAGIC.len()) / RECORD_BYTES;
            assert_eq!(split(&whole[..at]).0, pairs[..records], "cut at {at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(split(&damaged).0, pairs[..records], "damaged at {at}");
        }
        // What a file system may show of an append that did not reach the disk.
        let zeros = [whole.as_slice(), &[0; RECORD_BYTES]].concat();
        assert_eq!(split(&zeros), (pairs, whole.len()));
    }
}
