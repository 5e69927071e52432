//! Commits, and metadata of both kinds.
#![deny(clippy::indexing_slicing)]

use super::SIZE_LIMIT;
use super::record::{Bytes, Places, decode, encode};
use crate::{Commit, DecodeError, Id, Metadata, ObjectId, Totals, Value, gvariant};
use serde::{Deserialize, Serialize};

/// The numbers of the cases are those of the GVariant types in the format's document.
#[derive(Serialize, Deserialize)]
enum WireValue<'a> {
    Str(&'a str),
    Bool(bool),
    U8(u8),
    U32(u32),
    U64(u64),
    I32(i32),
    I64(i64),
    #[serde(borrow)]
    Bytes(Bytes<'a>),
    Strs(Vec<&'a str>),
    ByteArrays(Vec<Bytes<'a>>),
    Variant(&'a str, Bytes<'a>),
}

type WireMetadata<'a> = Vec<(&'a str, WireValue<'a>)>;

#[derive(Serialize, Deserialize)]
struct WireCommit<'a> {
    #[serde(borrow)]
    metadata: WireMetadata<'a>,
    parent: Option<[u8; 32]>,
    subject: &'a str,
    body: &'a str,
    timestamp: u64,
    tree: [u8; 32],
    meta: [u8; 32],
    files: u64,
    dirs: u64,
    bytes: u64,
}

pub(in crate::format) fn encode_commit(commit: &Commit) -> Vec<u8> {
    let missing = Totals { files: u64::MAX, dirs: u64::MAX, bytes: u64::MAX };
    let Totals { files, dirs, bytes } = commit.totals.unwrap_or(missing);
    encode(&WireCommit {
        metadata: wire_metadata(&commit.metadata),
        parent: commit.parent.map(|parent| *parent.as_bytes()),
        subject: &commit.subject,
        body: &commit.body,
        timestamp: commit.timestamp,
        tree: *commit.tree.as_bytes(),
        meta: *commit.meta.as_bytes(),
        files,
        dirs,
        bytes,
    })
}

pub(in crate::format) fn decode_commit(bytes: &[u8]) -> Result<Commit, DecodeError> {
    let commit: WireCommit<'_> = decode(bytes)?;
    let places = Places(bytes);
    if commit.files.max(commit.dirs).max(commit.bytes) >= SIZE_LIMIT {
        return Err(DecodeError { offset: bytes.len(), what: "totals are beyond all limits" });
    }
    Ok(Commit {
        metadata: read_metadata(places, commit.metadata)?,
        parent: commit.parent.map(|parent| Id::new(ObjectId::from_bytes(parent))),
        subject: places.text(commit.subject)?,
        body: places.text(commit.body)?,
        timestamp: commit.timestamp,
        tree: Id::new(ObjectId::from_bytes(commit.tree)),
        meta: Id::new(ObjectId::from_bytes(commit.meta)),
        totals: Some(Totals { files: commit.files, dirs: commit.dirs, bytes: commit.bytes }),
    })
}

pub(in crate::format) fn encode_metadata(metadata: &Metadata) -> Vec<u8> {
    encode(&wire_metadata(metadata))
}

pub(in crate::format) fn decode_metadata(bytes: &[u8]) -> Result<Metadata, DecodeError> {
    read_metadata(Places(bytes), decode(bytes)?)
}

fn wire_metadata(metadata: &Metadata) -> WireMetadata<'_> {
    metadata.iter().map(|(key, value)| (key, wire_value(value))).collect()
}

fn wire_value(value: &Value) -> WireValue<'_> {
    match value {
        Value::Str(text) => WireValue::Str(text),
        Value::Bool(value) => WireValue::Bool(*value),
        Value::U8(value) => WireValue::U8(*value),
        Value::U32(value) => WireValue::U32(*value),
        Value::U64(value) => WireValue::U64(*value),
        Value::I32(value) => WireValue::I32(*value),
        Value::I64(value) => WireValue::I64(*value),
        Value::Bytes(bytes) => WireValue::Bytes(Bytes(bytes)),
        Value::Strs(texts) => WireValue::Strs(texts.iter().map(String::as_str).collect()),
        Value::ByteArrays(arrays) => WireValue::ByteArrays(arrays.iter().map(|bytes| Bytes(bytes)).collect()),
        Value::Variant { signature, bytes } => WireValue::Variant(signature, Bytes(bytes)),
    }
}

fn read_metadata(places: Places<'_>, wire: WireMetadata<'_>) -> Result<Metadata, DecodeError> {
    let mut entries = Vec::with_capacity(wire.len());
    let mut keys = Vec::with_capacity(wire.len());
    for (key, value) in wire {
        entries.push((key.to_owned(), read_value(places, value)?));
        keys.push(key);
    }
    Metadata::from_decoded(entries).map_err(|at| {
        let key = keys.get(at).copied().unwrap_or_default();
        places.error(key.as_bytes(), "metadata key is empty, holds NUL, or is there twice")
    })
}

fn read_value(places: Places<'_>, value: WireValue<'_>) -> Result<Value, DecodeError> {
    Ok(match value {
        WireValue::Str(text) => Value::Str(places.text(text)?),
        WireValue::Bool(value) => Value::Bool(value),
        WireValue::U8(value) => Value::U8(value),
        WireValue::U32(value) => Value::U32(value),
        WireValue::U64(value) => Value::U64(value),
        WireValue::I32(value) => Value::I32(value),
        WireValue::I64(value) => Value::I64(value),
        WireValue::Bytes(bytes) => Value::Bytes(bytes.0.to_vec()),
        WireValue::Strs(texts) => {
            Value::Strs(texts.into_iter().map(|text| places.text(text)).collect::<Result<_, _>>()?)
        }
        WireValue::ByteArrays(arrays) => {
            Value::ByteArrays(arrays.iter().map(|bytes| bytes.0.to_vec()).collect())
        }
        WireValue::Variant(signature, bytes) => {
            if Value::has_own_case(signature) {
                return Err(places.error(signature.as_bytes(), "value of a type that has its own case"));
            }
            let checked = gvariant::check_normal_form(signature, bytes.0);
            checked.map_err(|error| {
                let place = places.error(bytes.0, error.what);
                DecodeError { offset: place.offset + error.offset, ..place }
            })?;
            Value::Variant { signature: signature.to_owned(), bytes: bytes.0.to_vec() }
        }
    })
}
