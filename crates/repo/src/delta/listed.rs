//! Lists of deltas: in summaries and in indexes, by which pullers find them and know their superblocks.
#![deny(clippy::indexing_slicing)]

use super::{DeltaError, DeltaName, Superblock, delta_digest};
use sapwood_objstore::gvariant::{Layout, Reader};
use sapwood_objstore::{DecodeError, Format, Metadata, ObjectId, Value};

/// The key of the list, in summaries and indexes.
pub(crate) const LISTED: &str = "ostree.static-deltas";

/// A delta of a repository, as a list names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedDelta {
    /// From where to where.
    pub name: DeltaName,
    /// SHA-256 of its superblock.
    pub superblock: ObjectId,
}

impl ListedDelta {
    /// Reads an index: the file that lists the deltas to one commit. What it says is as true as who wrote it.
    ///
    /// # Errors
    /// Where it is not what OSTree writes. Names that are none are passed over.
    pub fn decode_index(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        Self::of(&Format::Ostree.decode_metadata(bytes)?)
    }

    /// Reads the superblock that was fetched for this delta.
    ///
    /// # Errors
    /// [`DeltaError::OtherSuperblock`] where it is not the one that was listed; as [`Superblock::decode`].
    pub fn open(&self, bytes: &[u8]) -> Result<Superblock, DeltaError> {
        let actual = delta_digest(bytes);
        if actual != self.superblock {
            return Err(DeltaError::OtherSuperblock { expected: self.superblock, actual });
        }
        let superblock = Superblock::decode(bytes)?;
        if superblock.name != self.name {
            let source = DecodeError { offset: 0, what: "it is that of another delta" };
            return Err(DeltaError::Malformed { what: "superblock", source });
        }
        Ok(superblock)
    }

    /// The deltas that the facts of a summary list; none if there is no list.
    ///
    /// # Errors
    /// As [`decode_index`](Self::decode_index).
    pub fn of(facts: &Metadata) -> Result<Vec<Self>, DecodeError> {
        match facts.get(LISTED) {
            None => Ok(Vec::new()),
            Some(Value::Variant { signature, bytes }) if signature == "a{sv}" => read(Reader::new(bytes)),
            Some(_) => Err(DecodeError { offset: 0, what: "the list of deltas is of another type" }),
        }
    }
}

fn read(list: Reader<'_>) -> Result<Vec<ListedDelta>, DecodeError> {
    let mut deltas = Vec::new();
    for entry in list.array(Layout::ENTRY)? {
        let (key, value) = entry?.entry()?;
        let (signature, digest) = value.variant()?;
        let superblock = ObjectId::from_slice(digest.bytes()).filter(|_| signature == "ay");
        let superblock = superblock.ok_or_else(|| value.error("a digest has 32 bytes"))?;
        if let Some(name) = DeltaName::parse(key.str()?) {
            deltas.push(ListedDelta { name, superblock });
        }
    }
    Ok(deltas)
}
