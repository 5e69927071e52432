//! Static deltas in the summary, and their indexes.
//!
//! Clients find the deltas to a commit through `delta-indexes/`, one file for each target, because the summary says that
//! they are there. Deltas are OSTree's; what is named after the digest of a superblock is SHA-256, as all of it.

use crate::delta::{
    DeltaName, INDEXES, LISTED, ListedDelta, MAX_SUPERBLOCK_BYTES, SUPERBLOCK, delta_digest,
    delta_index_path, names_of,
};
use crate::{Repo, Result, glib};
use sapwood_fsio::Kind;
use sapwood_objstore::gvariant::Writer;
use sapwood_objstore::{Commit, Format, Id, Metadata, Value};
use std::collections::BTreeMap;

/// The value of the key `ostree.static-deltas`.
pub(super) fn as_value(deltas: &[ListedDelta]) -> Value {
    let names: Vec<String> = deltas.iter().map(|delta| delta.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let by_name: BTreeMap<&str, &ListedDelta> = names.iter().copied().zip(deltas).collect();
    let mut writer = Writer::new();
    writer.dict(|w| {
        for name in glib::order(&names) {
            if let Some(delta) = by_name.get(name) {
                w.entry(name, |w| w.variant("ay", |w| w.bytes(delta.superblock.as_bytes())));
            }
        }
    });
    Value::Variant { signature: "a{sv}".to_owned(), bytes: writer.finish() }
}

impl Repo {
    /// Writes the indexes of deltas anew: of all, or only the one of the deltas to `only`. Pullers find deltas through
    /// them. Gives the deltas that are in the indexes written.
    ///
    /// # Errors
    /// [`Error::NewerFormat`](crate::Error::NewerFormat) where the repository can only be read;
    /// [`Error::Lock`](crate::Error::Lock), [`Error::Io`](crate::Error::Io).
    pub fn reindex_deltas(&self, only: Option<Id<Commit>>) -> Result<Vec<DeltaName>> {
        self.config().check_writable()?;
        let _lock = self.lock_refs()?;
        let deltas = renew_indexes(self, only)?;
        Ok(deltas.into_iter().map(|delta| delta.name).collect())
    }
}

/// Lists the deltas, writes an index for each target, removes those of other targets, and says in the configuration that
/// there are indexes. With `only`, other targets are left alone.
pub(super) fn renew_indexes(repo: &Repo, only: Option<Id<Commit>>) -> Result<Vec<ListedDelta>> {
    let concerns = |to: Id<Commit>| only.is_none_or(|only| only == to);
    let mut deltas = list(repo)?;
    deltas.retain(|delta| concerns(delta.name.to));
    let mut targets: BTreeMap<Id<Commit>, Vec<ListedDelta>> = BTreeMap::new();
    for delta in &deltas {
        targets.entry(delta.name.to).or_default().push(*delta);
    }
    let fsync = repo.config().fsync;
    let mut wanted = BTreeMap::new();
    for (to, deltas) in targets {
        let mut metadata = Metadata::default();
        metadata.set(LISTED, as_value(&deltas));
        wanted.insert(delta_index_path(to), Format::Ostree.encode_metadata(&metadata));
    }
    for (path, bytes) in &wanted {
        let there = sapwood_fsio::read_optional(repo.dir(), path, Format::MAX_META_BYTES);
        // A wrong file of that name is replaced like an old one.
        if !matches!(&there, Ok(Some(there)) if there == bytes) {
            let (parent, _) = path.rsplit_once('/').unwrap_or_default();
            sapwood_fsio::ensure_dir(repo.dir(), parent, 0o775)?;
            crate::write::replace(repo.dir(), path, bytes, fsync)?;
        }
    }
    if let Some(indexes) = sapwood_fsio::open_dir_optional(repo.dir(), INDEXES)? {
        for first in names_of(&indexes, Kind::Dir)? {
            let dir = sapwood_fsio::open_dir(&indexes, &first)?;
            for name in names_of(&dir, Kind::File)? {
                let id = name.strip_suffix(".index").map(|rest| format!("{first}{rest}"));
                let to = id.and_then(|id| DeltaName::from_dirs(&id)).map(|name| name.to);
                if to.is_some_and(concerns) && !wanted.contains_key(&format!("{INDEXES}/{first}/{name}")) {
                    sapwood_fsio::remove_file_optional(&dir, &name)?;
                }
            }
        }
    }
    repo.set_indexed_deltas()?;
    Ok(deltas)
}

fn list(repo: &Repo) -> Result<Vec<ListedDelta>> {
    let mut found = Vec::new();
    for name in repo.deltas()? {
        let path = format!("{}/{SUPERBLOCK}", name.path());
        if let Some(bytes) = sapwood_fsio::read_optional(repo.dir(), path, MAX_SUPERBLOCK_BYTES)? {
            let superblock = delta_digest(&bytes);
            found.push(ListedDelta { name, superblock });
        }
    }
    Ok(found)
}
