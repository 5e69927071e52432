//! Archives, compressed or not: any bytes are read to their end or refused, with bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::archive::{Archive, MAX_HEADER_BYTES, MAX_PATH_BYTES, Remembered, decompressed};
use std::io::{Cursor, Read};

/// What a small input may be decompressed to here.
const LIMIT: u64 = 8 << 20;
/// What may be remembered of its entries.
const REMEMBERED: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(stream) = decompressed(Box::new(Cursor::new(data.to_vec()))) else { return };
    let mut archive = Archive::new(stream.take(LIMIT), Remembered::new(REMEMBERED));
    while let Ok(Some(entry)) = archive.next_entry() {
        assert!(entry.path.len() as u64 <= MAX_PATH_BYTES);
        let attributes = entry.xattrs.iter().map(|(name, value)| name.len() + value.len());
        assert!(attributes.sum::<usize>() as u64 <= MAX_HEADER_BYTES);
        let mut content = Vec::new();
        // What is read is never more than the entry said.
        if archive.by_ref().take(1 << 16).read_to_end(&mut content).is_err() {
            return;
        }
        assert!(content.len() as u64 <= entry.size);
    }
});
