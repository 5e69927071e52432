//! Compression of content in archive repositories: raw deflate (OSTree) and zstd (native).
//!
//! All of it streams. Memory is bounded whatever the data: a zstd window is at most 8 MiB, when writing and when
//! reading.
#![deny(clippy::indexing_slicing)]

use super::Compressor;
use crate::DecodeError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Base-2 logarithm of the largest zstd window.
const WINDOW_LOG: u32 = 23;

/// How much compressed data is read at once.
const INPUT_BYTES: usize = 64 << 10;

/// Content up to this size is compressed in one go when it is complete: most files are so small, and a context that is
/// kept for the next one, told the size, is several times faster than a new one that must be ready for any size.
const SMALL_BYTES: usize = 128 << 10;

pub(super) fn deflate_writer<'w>(
    to: Box<dyn Write + Send + 'w>,
    level: Option<i32>,
) -> Box<dyn Compressor + 'w> {
    let level = level.map_or(6, |level| level.clamp(0, 9));
    Box::new(Held { bytes: Vec::new(), to: Target::Waiting(to, level, &DEFLATE) })
}

pub(super) fn deflate_reader<'r>(from: Box<dyn Read + Send + 'r>) -> Box<dyn Read + Send + 'r> {
    let from = BufReader::with_capacity(INPUT_BYTES, from);
    Box::new(Inflate { from, state: Decompress::new(false), ended: false })
}

pub(super) fn zstd_writer<'w>(
    to: Box<dyn Write + Send + 'w>,
    level: Option<i32>,
) -> Box<dyn Compressor + 'w> {
    let level = level.map_or(3, |level| level.clamp(1, 19));
    Box::new(Held { bytes: Vec::new(), to: Target::Waiting(to, level, &ZSTD) })
}

pub(super) fn zstd_reader<'r>(from: Box<dyn Read + Send + 'r>) -> io::Result<Box<dyn Read + Send + 'r>> {
    let from = BufReader::with_capacity(INPUT_BYTES, from);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?.single_frame();
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(Box::new(Unzstd(decoder)))
}

type Output<'w> = Box<dyn Write + Send + 'w>;

/// How one compression is done: whole, or as a stream.
struct Method {
    whole: fn(&[u8], i32) -> io::Result<Vec<u8>>,
    stream: for<'w> fn(Output<'w>, i32) -> io::Result<Stream<'w>>,
}

enum Stream<'w> {
    Deflate(flate2::write::DeflateEncoder<Output<'w>>),
    Zstd(zstd::stream::write::Encoder<'static, Output<'w>>),
}

const DEFLATE: Method = Method {
    whole: deflate_whole,
    stream: |to, level| {
        let level = Compression::new(level.unsigned_abs());
        Ok(Stream::Deflate(flate2::write::DeflateEncoder::new(to, level)))
    },
};

const ZSTD: Method = Method {
    whole: zstd_whole,
    stream: |to, level| zstd::stream::write::Encoder::new(to, level).map(Stream::Zstd),
};

thread_local! {
    static DEFLATE_CONTEXT: RefCell<Option<(i32, Compress)>> = const { RefCell::new(None) };
    static ZSTD_CONTEXT: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
}

fn deflate_whole(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    DEFLATE_CONTEXT.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some((kept_level, mut context)) if kept_level == level => {
                context.reset();
                context
            }
            _ => Compress::new(Compression::new(level.unsigned_abs()), false),
        };
        // Content that cannot be compressed grows by 5 bytes for each stored block.
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 1024 + 64);
        loop {
            let taken = usize::try_from(context.total_in()).unwrap_or(usize::MAX);
            let rest = bytes.get(taken..).unwrap_or_default();
            let status = context.compress_vec(rest, &mut out, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                break;
            }
            out.reserve(4096);
        }
        *kept = Some((level, context));
        Ok(out)
    })
}

fn zstd_whole(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    ZSTD_CONTEXT.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some((kept_level, context)) if kept_level == level => context,
            _ => zstd::bulk::Compressor::new(level)?,
        };
        let out = context.compress(bytes)?;
        *kept = Some((level, context));
        Ok(out)
    })
}

/// Holds back small content; streams larger.
struct Held<'w> {
    bytes: Vec<u8>,
    to: Target<'w>,
}

enum Target<'w> {
    Waiting(Output<'w>, i32, &'static Method),
    Streaming(Stream<'w>),
    /// Making the stream failed.
    Failed,
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Deflate(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Deflate(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl Held<'_> {
    /// The stream, with what was held back written to it.
    fn stream(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.to, Target::Failed) {
            Target::Waiting(to, level, method) => {
                let mut stream = (method.stream)(to, level)?;
                stream.write_all(&std::mem::take(&mut self.bytes))?;
                self.to = Target::Streaming(stream);
            }
            other => self.to = other,
        }
        Ok(())
    }
}

impl Write for Held<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Target::Waiting(..) = self.to {
            if self.bytes.len() + bytes.len() <= SMALL_BYTES {
                self.bytes.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            self.stream()?;
        }
        match &mut self.to {
            Target::Streaming(stream) => stream.write(bytes),
            _ => Err(io::Error::other("an earlier write failed")),
        }
    }
    /// Nothing: only what is complete is worth writing out.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Compressor for Held<'_> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        match self.to {
            Target::Waiting(mut to, level, method) => {
                to.write_all(&(method.whole)(&self.bytes, level)?)?;
                to.flush()
            }
            Target::Streaming(Stream::Deflate(encoder)) => encoder.finish()?.flush(),
            Target::Streaming(Stream::Zstd(encoder)) => encoder.finish()?.flush(),
            Target::Failed => Err(io::Error::other("an earlier write failed")),
        }
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

/// Compressed bytes, up to a limit.
pub(super) struct AtMost<R> {
    from: R,
    left: u64,
    /// Where the compressed bytes begin.
    at: usize,
}

impl<R> AtMost<R> {
    pub(super) fn new(from: R, limit: u64, at: usize) -> Self {
        Self { from, left: limit, at }
    }
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.from).take(self.left.saturating_add(1)).read(buf)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            wrong(self.at, "compressed content is larger than any compressor makes of so much")
        })?;
        Ok(read)
    }
}

/// Content that must have a size.
pub(super) struct Exactly<R> {
    from: R,
    left: u64,
    /// Where the compressed bytes begin.
    at: usize,
}

impl<R> Exactly<R> {
    pub(super) fn new(from: R, size: u64, at: usize) -> Self {
        Self { from, left: size, at }
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let read = (&mut self.from).take(self.left.saturating_add(1)).read(buf)?;
        if read == 0 && self.left > 0 {
            return Err(wrong(self.at, "content is smaller than the header says"));
        }
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| wrong(self.at, "content is larger than the header says"))?;
        Ok(read)
    }
}

/// What the header of an archived file makes wrong.
fn wrong(offset: usize, what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, DecodeError { offset, what })
}
