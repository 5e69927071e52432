//! The summary of the native format, as `docs/FORMAT.md` defines it: a version byte and a postcard record.
#![deny(clippy::indexing_slicing)]

use super::{Summary, SummaryRef};
use crate::record::{self, Input};
use crate::{RefName, leb128};
use sapwood_objstore::{DecodeError, Format, Id, Metadata, ObjectId};

const VERSION: u8 = 1;

pub(super) fn encode(summary: &Summary) -> Vec<u8> {
    let mut out = vec![VERSION];
    leb128::write(&mut out, summary.refs.len() as u64);
    for entry in &summary.refs {
        record::bytes(&mut out, entry.name.as_str().as_bytes());
        out.extend_from_slice(entry.target.raw().as_bytes());
        leb128::write(&mut out, entry.commit_bytes);
        record::bytes(&mut out, &Format::Native.encode_metadata(&entry.metadata));
    }
    record::bytes(&mut out, &Format::Native.encode_metadata(&summary.metadata));
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Summary, DecodeError> {
    let mut input = Input::of_version(bytes, VERSION)?;
    let count = input.varint()?;
    let mut summary = Summary::default();
    for _ in 0..count {
        let at = input.at;
        let wrong = |what| DecodeError { offset: at, what };
        let name = std::str::from_utf8(input.bytes()?).ok().ok_or_else(|| wrong("text is not UTF-8"))?;
        let name = RefName::new(name).ok().ok_or_else(|| wrong("not a ref name"))?;
        let target = ObjectId::from_slice(input.take(32)?).ok_or_else(|| wrong("an id has 32 bytes"))?;
        let commit_bytes = input.varint()?;
        let metadata = metadata(&mut input)?;
        summary.push(SummaryRef { name, target: Id::new(target), commit_bytes, metadata }).map_err(wrong)?;
    }
    summary.metadata = metadata(&mut input)?;
    input.end()?;
    Ok(summary)
}

fn metadata(input: &mut Input<'_>) -> Result<Metadata, DecodeError> {
    let encoded = input.bytes()?;
    let begin = input.at - encoded.len();
    let shift = |error: DecodeError| DecodeError { offset: begin + error.offset, what: error.what };
    Format::Native.decode_metadata(encoded).map_err(shift)
}
