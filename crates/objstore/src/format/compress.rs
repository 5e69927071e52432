//! Compression of content in archive repositories: raw deflate (OSTree) and zstd (native).
//!
//! All of it streams. Memory is bounded whatever the data: a zstd window is at most 8 MiB, when writing and when
//! reading.
#![deny(clippy::indexing_slicing)]

use super::Compressor;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use std::io::{self, BufRead, BufReader, Read, Write};

/// Base-2 logarithm of the largest zstd window.
const WINDOW_LOG: u32 = 23;

/// How much compressed data is read at once.
const INPUT_BYTES: usize = 64 << 10;

pub(super) fn deflate_writer<'w>(
    to: Box<dyn Write + Send + 'w>,
    level: Option<i32>,
) -> Box<dyn Compressor + 'w> {
    let level = level.map_or(6, |level| level.clamp(0, 9).unsigned_abs());
    Box::new(Deflate(flate2::write::DeflateEncoder::new(to, Compression::new(level))))
}

pub(super) fn deflate_reader<'r>(from: Box<dyn Read + Send + 'r>) -> Box<dyn Read + Send + 'r> {
    let from = BufReader::with_capacity(INPUT_BYTES, from);
    Box::new(Inflate { from, state: Decompress::new(false), ended: false })
}

pub(super) fn zstd_writer<'w>(
    to: Box<dyn Write + Send + 'w>,
    level: Option<i32>,
) -> io::Result<Box<dyn Compressor + 'w>> {
    let level = level.map_or(3, |level| level.clamp(1, 19));
    Ok(Box::new(Zstd(zstd::stream::write::Encoder::new(to, level)?)))
}

pub(super) fn zstd_reader<'r>(from: Box<dyn Read + Send + 'r>) -> io::Result<Box<dyn Read + Send + 'r>> {
    let from = BufReader::with_capacity(INPUT_BYTES, from);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?.single_frame();
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(Box::new(Unzstd(decoder)))
}

struct Deflate<W: Write>(flate2::write::DeflateEncoder<W>);

impl<W: Write> Write for Deflate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write + Send> Compressor for Deflate<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

struct Zstd<'w, W: Write>(zstd::stream::write::Encoder<'w, W>);

impl<W: Write> Write for Zstd<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write + Send> Compressor for Zstd<'_, W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

/// Decompresses raw deflate. Unlike the library's reader, it fails when the data ends too early, or goes on after its end.
struct Inflate<R> {
    from: R,
    state: Decompress,
    ended: bool,
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buf.is_empty() {
            let input = self.from.fill_buf()?;
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let outcome = self.state.decompress(input, buf, FlushDecompress::None);
            let at_end = input.is_empty();
            let taken = usize::try_from(self.state.total_in() - before_in).unwrap_or(usize::MAX);
            let given = usize::try_from(self.state.total_out() - before_out).unwrap_or(usize::MAX);
            self.from.consume(taken);
            let status = outcome.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.ended = status == Status::StreamEnd;
            if self.ended && !self.from.fill_buf()?.is_empty() {
                return Err(trailing());
            }
            if given > 0 {
                return Ok(given);
            }
            if at_end && !self.ended {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "compressed content ends too early",
                ));
            }
            if taken == 0 && !self.ended {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "compressed content is corrupt"));
            }
        }
        Ok(0)
    }
}

fn trailing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "bytes after the compressed content")
}

/// Decompresses one zstd frame, after which nothing may come.
struct Unzstd<'d, R: BufRead>(zstd::stream::read::Decoder<'d, R>);

impl<R: BufRead> Read for Unzstd<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buf)?;
        if count == 0 && !buf.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            return Err(trailing());
        }
        Ok(count)
    }
}
