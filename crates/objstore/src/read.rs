//! Reading files out of the store, verified.

use crate::FileHeader;
use std::io::{self, Read};

/// A file object opened for reading.
#[derive(Debug)]
pub struct FileObject {
    /// All but the content.
    pub header: FileHeader,
    /// Size of the content in bytes.
    pub size: u64,
    /// The content.
    pub content: FileReader,
}

/// The content of a file object. Reading it to the end verifies header and content against the id.
#[derive(Debug)]
pub struct FileReader { _todo: () }

impl Read for FileReader {
    /// At the end: [`io::ErrorKind::InvalidData`] holding [`crate::Error::Corrupt`] if it hashes to something else.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> { todo!() }
}
