//! Static deltas in the summary, and their indexes.
//!
//! Clients find the deltas to a commit through `delta-indexes/`, one file for each target, because the summary says that
//! they are there. Deltas are OSTree's; what is named after the digest of a superblock is SHA-256, as all of it.

use crate::prune::{delta_dirs, delta_id};
use crate::{Repo, Result};
use sapwood_objstore::gvariant::Writer;
use sapwood_objstore::{Format, Metadata, ObjectId, ObjectKind, Value};
use std::collections::BTreeMap;

use super::glib;

/// Where indexes are.
const INDEXES: &str = "delta-indexes";

/// A static delta of the repository.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    /// `FROM-TO` or `TO`, in hexadecimal.
    name: String,
    to: ObjectId,
    /// SHA-256 of its superblock.
    superblock: ObjectId,
}

/// The value of the key `ostree.static-deltas`.
pub(super) fn as_value(deltas: &[Delta]) -> Value {
    let names: Vec<&str> = deltas.iter().map(|delta| delta.name.as_str()).collect();
    let mut writer = Writer::new();
    writer.dict(|w| {
        for name in glib::order(&names) {
            if let Some(delta) = deltas.iter().find(|delta| delta.name == name) {
                w.entry(name, |w| w.variant("ay", |w| w.bytes(delta.superblock.as_bytes())));
            }
        }
    });
    Value::Variant { signature: "a{sv}".to_owned(), bytes: writer.finish() }
}

/// Lists the deltas, writes an index for each target, removes those of other targets, and says in the configuration that
/// there are indexes.
pub(super) fn renew_indexes(repo: &Repo) -> Result<Vec<Delta>> {
    let deltas = list(repo)?;
    let mut targets: BTreeMap<ObjectId, Vec<Delta>> = BTreeMap::new();
    for delta in &deltas {
        targets.entry(delta.to).or_default().push(delta.clone());
    }
    let fsync = repo.config().fsync;
    let mut wanted = BTreeMap::new();
    for (to, deltas) in targets {
        let mut metadata = Metadata::default();
        metadata.set("ostree.static-deltas", as_value(&deltas));
        let name = encode(to);
        let (first, rest) = name.split_at_checked(2).unwrap_or_default();
        wanted.insert(format!("{first}/{rest}.index"), Format::Ostree.encode_metadata(&metadata));
    }
    for (path, bytes) in &wanted {
        let path = format!("{INDEXES}/{path}");
        let there = sapwood_fsio::read_optional(repo.dir(), &path, Format::MAX_META_BYTES);
        // A wrong file of that name is replaced like an old one.
        if !matches!(&there, Ok(Some(there)) if there == bytes) {
            let (parent, _) = path.rsplit_once('/').unwrap_or_default();
            sapwood_fsio::ensure_dir(repo.dir(), parent, 0o775)?;
            crate::write::replace(repo.dir(), &path, bytes, fsync)?;
        }
    }
    if let Some(indexes) = sapwood_fsio::open_dir_optional(repo.dir(), INDEXES)? {
        for first in delta_dirs(&indexes)? {
            let dir = sapwood_fsio::open_dir(&indexes, &first)?;
            for entry in sapwood_fsio::entries(&dir)? {
                let name = entry.name.to_string_lossy();
                if name.ends_with(".index") && !wanted.contains_key(&format!("{first}/{name}")) {
                    sapwood_fsio::remove_file_optional(&dir, &entry.name)?;
                }
            }
        }
    }
    repo.set_indexed_deltas()?;
    Ok(deltas)
}

fn list(repo: &Repo) -> Result<Vec<Delta>> {
    let mut found = Vec::new();
    let Some(deltas) = sapwood_fsio::open_dir_optional(repo.dir(), "deltas")? else { return Ok(found) };
    for first in delta_dirs(&deltas)? {
        for rest in delta_dirs(&sapwood_fsio::open_dir(&deltas, &first)?)? {
            let name = format!("{first}{rest}");
            let (from, to) = match name.split_once('-') {
                Some((from, to)) => (Some(from), to),
                None => (None, name.as_str()),
            };
            let (Some(to), Some(from)) =
                (delta_id(to), from.map_or(Some(None), |from| delta_id(from).map(Some)))
            else {
                continue;
            };
            let path = format!("{first}/{rest}/superblock");
            let Some(bytes) = sapwood_fsio::read_optional(&deltas, path, Format::MAX_META_BYTES)? else {
                continue;
            };
            // OSTree's metadata objects are named by the plain SHA-256 of their bytes, so this is one.
            let superblock = Format::Ostree.id_of(ObjectKind::Commit, &bytes);
            let name = from.map_or_else(|| to.to_hex(), |from| format!("{from}-{to}"));
            found.push(Delta { name, to, superblock });
        }
    }
    Ok(found)
}

/// An id in base64 without padding, where `_` stands for `/`.
fn encode(id: ObjectId) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_";
    let mut text = String::with_capacity(43);
    for chunk in id.as_bytes().chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let at = (word >> (18 - 6 * digit) & 63) as usize;
            text.push(DIGITS.get(at).copied().map_or('_', char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_an_id_is_the_inverse_of_decoding_it() {
        for n in 0..=u8::MAX {
            let id = ObjectId::from_bytes([n; 32]);
            assert_eq!(delta_id(&encode(id)), Some(id));
        }
    }
}
