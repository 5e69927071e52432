//! Hashing while bytes pass by.
//!
//! The digest of a metadata object covers its encoded bytes; that of a file covers what [`Format::file_prefix`] gives,
//! then the content. A native digest is keyed by the object's kind, so the bytes of one kind have another id as another.

use crate::{Error, FileHeader, Format, Id, ObjectId, ObjectKind, ObjectName, kind};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// A running digest of one object of a format. Feed it what the format hashes; see `docs/FORMAT.md`.
#[derive(Debug, Clone)]
pub struct Digest {
    kind: ObjectKind,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

/// The BLAKE3 key derivation context of a kind in the native format.
const fn context(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Commit => "sapwood native v1 commit",
        ObjectKind::DirTree => "sapwood native v1 dirtree",
        ObjectKind::DirMeta => "sapwood native v1 dirmeta",
        ObjectKind::File => "sapwood native v1 file",
    }
}

impl Digest {
    /// A fresh digest for an object of this kind.
    pub fn new(format: Format, kind: ObjectKind) -> Self {
        let state = match format {
            Format::Ostree => State::Sha256(Sha256::new()),
            Format::Native => State::Blake3(Box::new(blake3::Hasher::new_derive_key(context(kind)))),
        };
        Self { kind, state }
    }
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }
    /// The id of all bytes taken.
    pub fn finish(self) -> ObjectId {
        ObjectId::from_bytes(match self.state {
            State::Sha256(hasher) => hasher.finalize().into(),
            State::Blake3(hasher) => *hasher.finalize().as_bytes(),
        })
    }
}

impl Format {
    /// The id of a file with this header and all that `content` yields, and how many bytes that was. Nothing is stored,
    /// and whether the format can hold such a file is not checked.
    ///
    /// # Errors
    /// When `content` fails.
    pub fn id_of_file(
        self,
        header: &FileHeader,
        content: &mut dyn Read,
    ) -> io::Result<(Id<kind::File>, u64)> {
        let mut digest = Digest::new(self, ObjectKind::File);
        digest.update(&self.file_prefix(header));
        let (mut buffer, mut size) = (vec![0; CHUNK_BYTES], 0);
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => return Ok((Id::new(digest.finish()), size)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            digest.update(buffer.get(..read).unwrap_or_default());
            size += read as u64;
        }
    }
}

/// So much is read at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// A reader that hashes what passes and, at the end of the input, fails unless the digest is the expected one.
///
/// What was read before the end is unverified until then.
#[derive(Debug)]
pub struct VerifyReader<R> {
    inner: R,
    /// `None` once the end was seen.
    digest: Option<Digest>,
    expected: ObjectName,
    /// What the bytes hash to, once that is known to be something else.
    mismatch: Option<ObjectId>,
}

impl<R: Read> VerifyReader<R> {
    /// Reads `inner`, whose bytes must bring `digest` (already fed with any prefix) to `expected`.
    pub fn new(inner: R, digest: Digest, expected: ObjectId) -> Self {
        let expected = ObjectName { kind: digest.kind, id: expected };
        Self { inner, digest: Some(digest), expected, mismatch: None }
    }
}

impl<R: Read> Read for VerifyReader<R> {
    /// At the end of input: [`io::ErrorKind::InvalidData`] holding [`crate::Error::Corrupt`] on a mismatch.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(digest) = &mut self.digest {
            let count = self.inner.read(buf)?;
            if let (1.., Some(taken)) = (count, buf.get(..count)) {
                digest.update(taken);
                return Ok(count);
            }
            if buf.is_empty() {
                return Ok(0);
            }
        }
        if let Some(digest) = self.digest.take() {
            self.mismatch = Some(digest.finish()).filter(|actual| *actual != self.expected.id);
        }
        match self.mismatch {
            None => Ok(0),
            Some(actual) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                Error::Corrupt { name: self.expected, actual },
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(format: Format, kind: ObjectKind, bytes: &[u8]) -> ObjectId {
        let mut digest = Digest::new(format, kind);
        bytes.chunks(3).for_each(|chunk| digest.update(chunk));
        digest.finish()
    }

    #[test]
    fn an_ostree_digest_is_the_sha256_of_the_bytes() {
        let id = id_of(Format::Ostree, ObjectKind::DirTree, &[0]);
        assert_eq!(id.to_hex(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }

    #[test]
    fn native_digests_of_the_same_bytes_differ_by_kind() {
        use ObjectKind::{Commit, DirMeta, DirTree, File};
        let ids = [Commit, DirTree, DirMeta, File].map(|kind| id_of(Format::Native, kind, b"same"));
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), 4);
    }

    #[test]
    fn a_verifying_reader_fails_at_the_end_of_other_bytes() {
        for format in [Format::Native, Format::Ostree] {
            let expected = id_of(format, ObjectKind::File, b"prefix and content");
            let mut digest = Digest::new(format, ObjectKind::File);
            digest.update(b"prefix and ");
            let mut text = String::new();
            VerifyReader::new(&b"content"[..], digest.clone(), expected).read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");

            let mut reader = VerifyReader::new(&b"contents"[..], digest, expected);
            assert_eq!(reader.read(&mut []).unwrap(), 0);
            for _ in 0..2 {
                let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                let inner = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
                assert!(matches!(inner, Error::Corrupt { name, .. } if name.id == expected));
            }
        }
    }
}
