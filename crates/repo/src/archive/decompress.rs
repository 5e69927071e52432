//! Compressed archives: which compression it is, the first bytes tell.

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// Base-2 logarithm of the largest zstd window: 128 MiB, which `zstd --long` writes.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Memory that reading xz may take: as much as `xz -9` needs, and some.
const XZ_MEMORY_KIB: u32 = 100 << 10;

/// The archive without its compression: gzip, bzip2, xz, zstd, lz4 (frames), or none. What follows the last member of gzip
/// or bzip2 and is none itself, such as the padding of tapes, is read and left out, as OSTree leaves it out.
///
/// # Errors
/// What reading the first bytes fails with. Damage is found when the bytes are read.
pub fn decompressed<'r>(mut input: Box<dyn Read + Send + 'r>) -> io::Result<Box<dyn Read + Send + 'r>> {
    let mut start = Vec::new();
    input.by_ref().take(6).read_to_end(&mut start)?;
    let kind = start.clone();
    let input = BufReader::with_capacity(128 << 10, Cursor::new(start).chain(input));
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(Members::<_, GzDecoder<_>>::new(input)),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Box::new(Members::<_, BzDecoder<_>>::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
        _ => Box::new(input),
    })
}

/// What a member is read from: its first bytes, which were looked at, and the rest.
type Start<R> = Chain<Cursor<Vec<u8>>, R>;

/// Decompresses one member, up to its checksum and not a byte further.
trait Member<R>: Read {
    const MAGIC: &'static [u8];
    fn begin(input: Start<R>) -> Self;
    fn end(self) -> R;
}

impl<R: BufRead> Member<R> for GzDecoder<Start<R>> {
    const MAGIC: &'static [u8] = &[0x1f, 0x8b];

    fn begin(input: Start<R>) -> Self {
        Self::new(input)
    }

    fn end(self) -> R {
        self.into_inner().into_inner().1
    }
}

impl<R: BufRead> Member<R> for BzDecoder<Start<R>> {
    const MAGIC: &'static [u8] = b"BZh";

    fn begin(input: Start<R>) -> Self {
        Self::new(input)
    }

    fn end(self) -> R {
        self.into_inner().into_inner().1
    }
}

/// Members one after the other, and what follows them; the input is read to its end.
struct Members<R, M> {
    /// None at the end.
    member: Option<M>,
    input: std::marker::PhantomData<fn() -> R>,
}

impl<R: BufRead, M: Member<R>> Members<R, M> {
    fn new(input: R) -> Self {
        let member = M::begin(Cursor::new(Vec::new()).chain(input));
        Self { member: Some(member), input: std::marker::PhantomData }
    }
}

impl<R: BufRead, M: Member<R>> Read for Members<R, M> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let n = member.read(buf)?;
            if n > 0 {
                return Ok(n);
            }
            let Some(mut input) = self.member.take().map(M::end) else { break };
            let mut start = Vec::new();
            input.by_ref().take(M::MAGIC.len() as u64).read_to_end(&mut start)?;
            if start == M::MAGIC {
                self.member = Some(M::begin(Cursor::new(start).chain(input)));
            } else {
                io::copy(&mut input, &mut io::sink())?;
            }
        }
        Ok(0)
    }
}
