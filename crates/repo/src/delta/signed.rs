//! Signed superblocks: the superblock, in an envelope with signatures over its bytes.
#![deny(clippy::indexing_slicing)]

use super::DeltaFiles;
use crate::Result;
use crate::sign::{Mechanism, SignError, Signer, sign_by_all};
use sapwood_objstore::gvariant::{Layout, Reader, Writer};
use sapwood_objstore::{DecodeError, Format, Metadata};

/// What such a file begins with.
const MAGIC: u64 = u64::from_be_bytes(*b"OSTSGNDT");

/// What is beside a superblock in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    /// What is signed.
    superblock: Vec<u8>,
    /// The signatures, as beside commits.
    signatures: Metadata,
}

/// Takes a file apart; `None` if it is a superblock that is not signed.
pub(super) fn open(file: &[u8]) -> std::result::Result<Option<Envelope>, DecodeError> {
    if !file.starts_with(&MAGIC.to_be_bytes()) {
        return Ok(None);
    }
    let [_, superblock, signatures] = Reader::new(file).tuple([Layout::U64, Layout::BYTES, Layout::DICT])?;
    let at = signatures.offset();
    let decoded = Format::Ostree.decode_metadata(signatures.raw());
    let signatures = decoded.map_err(|error| DecodeError { offset: at + error.offset, what: error.what })?;
    Ok(Some(Envelope { superblock: superblock.bytes().to_vec(), signatures }))
}

impl Envelope {
    /// The bytes of the superblock.
    pub(super) fn superblock(&self) -> &[u8] {
        &self.superblock
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.tuple(8, |w| {
            w.u64_be(MAGIC);
            w.bytes(&self.superblock);
            w.raw(8, &Format::Ostree.encode_metadata(&self.signatures));
        });
        writer.finish()
    }
}

/// The file of a superblock: signed by each of these, or as it is where there are none.
///
/// # Errors
/// [`Error::Sign`](crate::Error::Sign).
pub(super) fn seal(superblock: Vec<u8>, signers: &[Box<dyn Signer>]) -> Result<Vec<u8>> {
    if signers.is_empty() {
        return Ok(superblock);
    }
    let signatures = sign_by_all(signers, &superblock)?;
    Ok(Envelope { superblock, signatures }.encode())
}

impl DeltaFiles {
    /// Whether there are signatures at all. Nothing is verified by this.
    pub fn is_signed(&self) -> bool {
        self.envelope.is_some()
    }

    /// Checks the superblock against the signatures that it has; it has the digests of all parts.
    ///
    /// # Errors
    /// As [`Mechanism::check`].
    pub fn check_signatures(&self, mechanism: &Mechanism) -> std::result::Result<Vec<String>, SignError> {
        match &self.envelope {
            Some(envelope) => mechanism.check(&envelope.superblock, &envelope.signatures),
            None => mechanism.check(&[], &Metadata::default()),
        }
    }
}
