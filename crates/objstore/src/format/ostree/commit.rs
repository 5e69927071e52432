//! Commits, and metadata of both kinds.
#![deny(clippy::indexing_slicing)]

use crate::gvariant::{Layout, Reader, Writer};
use crate::object::Budget;
use crate::{Commit, DecodeError, Id, Kind, Metadata, ObjectId, Value};

/// Type `(a{sv}aya(say)sstayay)`.
pub(in crate::format) fn encode_commit(commit: &Commit) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tuple(8, |w| {
        write_metadata(w, &commit.metadata);
        w.bytes(commit.parent.as_ref().map_or(&[], |parent| parent.as_bytes()));
        w.array(1, |_| {});
        w.str(&commit.subject);
        w.str(&commit.body);
        w.u64_be(commit.timestamp);
        w.bytes(commit.tree.as_bytes());
        w.bytes(commit.meta.as_bytes());
    });
    writer.finish()
}

pub(in crate::format) fn decode_commit(bytes: &[u8]) -> Result<Commit, DecodeError> {
    use Layout as L;
    let members = [L::DICT, L::BYTES, L::variable(1), L::STR, L::STR, L::U64, L::BYTES, L::BYTES];
    let [metadata, parent, related, subject, body, timestamp, tree, meta] =
        Reader::new(bytes).tuple(members)?;
    if !related.raw().is_empty() {
        return Err(related.error("commit has related objects, which no version of OSTree writes"));
    }
    Ok(Commit {
        metadata: read_metadata(metadata)?,
        parent: if parent.raw().is_empty() { None } else { Some(read_id(parent)?) },
        subject: subject.str()?.to_owned(),
        body: body.str()?.to_owned(),
        timestamp: timestamp.u64_be()?,
        tree: read_id(tree)?,
        meta: read_id(meta)?,
        totals: None,
    })
}

/// Type `a{sv}`.
pub(in crate::format) fn encode_metadata(metadata: &Metadata) -> Vec<u8> {
    let mut writer = Writer::new();
    write_metadata(&mut writer, metadata);
    writer.finish()
}

pub(in crate::format) fn decode_metadata(bytes: &[u8]) -> Result<Metadata, DecodeError> {
    read_metadata(Reader::new(bytes))
}

fn write_metadata(writer: &mut Writer, metadata: &Metadata) {
    writer.dict(|w| {
        for (key, value) in metadata.iter() {
            w.entry(key, |w| w.variant(value.signature(), |w| value.write(w)));
        }
    });
}

fn read_metadata(dict: Reader<'_>) -> Result<Metadata, DecodeError> {
    let mut budget = Budget::default();
    let mut entries = Vec::new();
    for entry in dict.array(Layout::ENTRY)? {
        let (key, value) = entry?.entry()?;
        let (signature, content) = value.variant()?;
        entries.push((key.str()?.to_owned(), Value::read(signature, content, &mut budget)?));
    }
    Metadata::from_decoded(entries).map_err(|at| {
        let place = dict.array(Layout::ENTRY).ok().and_then(|mut list| list.nth(at)?.ok());
        place.unwrap_or(dict).error("metadata key is empty or there twice")
    })
}

/// An id in an `ay`.
pub(super) fn read_id<K: Kind>(value: Reader<'_>) -> Result<Id<K>, DecodeError> {
    ObjectId::from_slice(value.bytes()).map(Id::new).ok_or_else(|| value.error("object id is not 32 bytes"))
}
