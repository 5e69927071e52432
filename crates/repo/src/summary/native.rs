//! The summary of the native format, as `docs/FORMAT.md` defines it: a version byte and a postcard record.
#![deny(clippy::indexing_slicing)]

use super::{Summary, SummaryRef};
use crate::{RefName, leb128};
use sapwood_objstore::{DecodeError, Format, Id, Metadata, ObjectId};

const VERSION: u8 = 1;

pub(super) fn encode(summary: &Summary) -> Vec<u8> {
    let mut out = vec![VERSION];
    leb128::write(&mut out, summary.refs.len() as u64);
    for entry in &summary.refs {
        bytes(&mut out, entry.name.as_str().as_bytes());
        out.extend_from_slice(entry.target.raw().as_bytes());
        leb128::write(&mut out, entry.commit_bytes);
        bytes(&mut out, &Format::Native.encode_metadata(&entry.metadata));
    }
    bytes(&mut out, &Format::Native.encode_metadata(&summary.metadata));
    out
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    leb128::write(out, value.len() as u64);
    out.extend_from_slice(value);
}

pub(super) fn decode(bytes: &[u8]) -> Result<Summary, DecodeError> {
    let mut input = Input { bytes, at: 0 };
    if input.take(1)? != [VERSION] {
        return Err(DecodeError { offset: 0, what: "unknown version" });
    }
    let count = input.varint()?;
    let mut summary = Summary::default();
    for _ in 0..count {
        let at = input.at;
        let wrong = |what| DecodeError { offset: at, what };
        let name = std::str::from_utf8(input.bytes()?).ok().ok_or_else(|| wrong("text is not UTF-8"))?;
        let name = RefName::new(name).ok().ok_or_else(|| wrong("not a ref name"))?;
        let target = ObjectId::from_slice(input.take(32)?).ok_or_else(|| wrong("an id has 32 bytes"))?;
        let commit_bytes = input.varint()?;
        let metadata = input.metadata()?;
        summary.push(SummaryRef { name, target: Id::new(target), commit_bytes, metadata }).map_err(wrong)?;
    }
    summary.metadata = input.metadata()?;
    if input.at < bytes.len() {
        return Err(DecodeError { offset: input.at, what: "bytes after the end" });
    }
    Ok(summary)
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(DecodeError { offset: self.at, what: "ends too early" })?;
        self.at += len;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let begin = self.at;
        let wrong = |what| DecodeError { offset: begin, what };
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(wrong("ends too early")) };
            let digit = u64::from(byte & 0x7f);
            if shift == 63 && digit > 1 {
                return Err(wrong("number past 64 bits"));
            }
            value |= digit << shift;
            if byte < 0x80 {
                return if digit == 0 && shift > 0 {
                    Err(wrong("number is longer than needed"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(wrong("number past 64 bits"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let begin = self.at;
        let len = self.varint()?;
        let too_long = DecodeError { offset: begin, what: "ends too early" };
        let len = usize::try_from(len).ok().ok_or(too_long)?;
        self.take(len)
    }

    fn metadata(&mut self) -> Result<Metadata, DecodeError> {
        let encoded = self.bytes()?;
        let begin = self.at - encoded.len();
        let shift = |error: DecodeError| DecodeError { offset: begin + error.offset, what: error.what };
        Format::Native.decode_metadata(encoded).map_err(shift)
    }
}
