//! Compressed archives: which compression it is, the first bytes tell.

use std::io::{self, BufReader, Cursor, Read};

/// Base-2 logarithm of the largest zstd window: 128 MiB, which `zstd --long` writes.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Memory that reading xz may take: as much as `xz -9` needs, and some.
const XZ_MEMORY_KIB: u32 = 100 << 10;

/// The archive without its compression: gzip, bzip2, xz, zstd, lz4 (frames), or none.
///
/// # Errors
/// What reading the first bytes fails with. Damage is found when the bytes are read.
pub fn decompressed<'r>(mut input: Box<dyn Read + Send + 'r>) -> io::Result<Box<dyn Read + Send + 'r>> {
    let mut start = Vec::new();
    input.by_ref().take(6).read_to_end(&mut start)?;
    let kind = start.clone();
    let input = BufReader::with_capacity(128 << 10, Cursor::new(start).chain(input));
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
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
