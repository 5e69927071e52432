//! Hashing while bytes pass by.

use crate::{Format, ObjectId, ObjectKind};
use std::io::{self, Read};

/// A running digest of one object of a format. Feed it what the format hashes; see `docs/FORMAT.md`.
#[derive(Debug, Clone)]
pub struct Digest { _todo: () }

impl Digest {
    /// A fresh digest for an object of this kind.
    pub fn new(format: Format, kind: ObjectKind) -> Self { todo!() }
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) { todo!() }
    /// The id of all bytes taken.
    pub fn finish(self) -> ObjectId { todo!() }
}

/// A reader that hashes what passes and, at the end of the input, fails unless the digest is the expected one.
#[derive(Debug)]
pub struct VerifyReader<R> { inner: R }

impl<R: Read> VerifyReader<R> {
    /// Reads `inner`, whose bytes must bring `digest` (already fed with any prefix) to `expected`.
    pub fn new(inner: R, digest: Digest, expected: ObjectId) -> Self { todo!() }
}

impl<R: Read> Read for VerifyReader<R> {
    /// At the end of input: [`io::ErrorKind::InvalidData`] holding [`crate::Error::Corrupt`] on a mismatch.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> { todo!() }
}
