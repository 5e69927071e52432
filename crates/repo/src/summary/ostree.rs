//! The summary as OSTree has it: a GVariant of type `(a(s(taya{sv}))a{sv})`.
#![deny(clippy::indexing_slicing)]

use super::{Summary, SummaryRef};
use crate::RefName;
use sapwood_objstore::gvariant::{Layout, Reader, Writer};
use sapwood_objstore::{DecodeError, Format, Id, Metadata, ObjectId, Value};

pub(super) fn encode(summary: &Summary) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tuple(8, |w| {
        write_refs(w, &summary.refs);
        w.raw(8, &Format::Ostree.encode_metadata(&summary.metadata));
    });
    writer.finish()
}

fn write_refs(w: &mut Writer, refs: &[SummaryRef]) {
    w.array(8, |w| {
        for entry in refs {
            w.tuple(8, |w| {
                w.str(entry.name.as_str());
                w.tuple(8, |w| {
                    // The one number of a summary that OSTree does not swap.
                    w.u64(entry.commit_bytes);
                    w.bytes(entry.target.raw().as_bytes());
                    w.raw(8, &Format::Ostree.encode_metadata(&entry.metadata));
                });
            });
        }
    });
}

/// The refs of other collections, by collection.
pub(super) fn collection_map(mirrors: &[(String, Vec<SummaryRef>)]) -> Value {
    let mut writer = Writer::new();
    writer.dict(|w| {
        for (collection, refs) in mirrors {
            w.entry(collection, |w| write_refs(w, refs));
        }
    });
    Value::Variant { signature: "a{sa(s(taya{sv}))}".to_owned(), bytes: writer.finish() }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Summary, DecodeError> {
    // GLib takes this for a summary of nothing, but writes that otherwise.
    if bytes.is_empty() {
        return Err(DecodeError { offset: 0, what: "empty" });
    }
    let [refs, facts] = Reader::new(bytes).tuple([Layout::variable(8), Layout::DICT])?;
    let mut summary = Summary { refs: Vec::new(), metadata: metadata(facts)? };
    read_refs(refs, &mut summary)?;
    Ok(summary)
}

/// Adds the refs of an array of type `a(s(taya{sv}))`.
fn read_refs(array: Reader<'_>, summary: &mut Summary) -> Result<(), DecodeError> {
    for entry in array.array(Layout::variable(8))? {
        let entry = entry?;
        let [name, value] = entry.tuple([Layout::STR, Layout::variable(8)])?;
        let [commit_bytes, target, facts] = value.tuple([Layout::U64, Layout::BYTES, Layout::DICT])?;
        let id = ObjectId::from_slice(target.bytes()).ok_or_else(|| target.error("an id has 32 bytes"))?;
        let decoded = SummaryRef {
            name: RefName::new(name.str()?).ok().ok_or_else(|| name.error("not a ref name"))?,
            target: Id::new(id),
            commit_bytes: commit_bytes.u64()?,
            metadata: metadata(facts)?,
        };
        summary.push(decoded).map_err(|what| entry.error(what))?;
    }
    Ok(())
}

/// The inverse of [`collection_map`], for the bytes of such a value.
pub(super) fn read_collection_map(bytes: &[u8]) -> Result<Vec<(String, Vec<SummaryRef>)>, DecodeError> {
    let mut all = Vec::new();
    for entry in Reader::new(bytes).array(Layout::variable(8))? {
        let [collection, refs] = entry?.tuple([Layout::STR, Layout::variable(8)])?;
        let mut of_it = Summary::default();
        read_refs(refs, &mut of_it)?;
        all.push((collection.str()?.to_owned(), of_it.refs));
    }
    Ok(all)
}

fn metadata(dict: Reader<'_>) -> Result<Metadata, DecodeError> {
    let shift = |error: DecodeError| DecodeError { offset: dict.offset() + error.offset, what: error.what };
    Format::Ostree.decode_metadata(dict.raw()).map_err(shift)
}
