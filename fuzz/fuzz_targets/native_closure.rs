//! Closures: the file as it is, and what its frames hold, so that decompression hides nothing from the fuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::Format;
use sapwood_repo::{ClosureDirs, ClosureFile, ClosureHead, encode_closure};
use std::io::Write;

fn packed(record: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut compressor = Format::Native.compressor(Box::new(&mut frame), Some(1)).expect("memory");
    compressor.write_all(record).expect("memory");
    compressor.finish().expect("memory");
    frame
}

fuzz_target!(|data: &[u8]| {
    if let Some((head, rest)) = data.split_first_chunk::<{ ClosureHead::BYTES }>()
        && let Ok(head) = ClosureHead::decode(*head)
    {
        let end = usize::try_from(head.dirs_end()).unwrap_or(usize::MAX) - ClosureHead::BYTES;
        let (first, second) = rest.split_at(end.min(rest.len()));
        _ = ClosureDirs::decode(first);
        _ = ClosureFile::decode_all(second);
    }
    let frame = packed(data);
    let dirs = ClosureDirs::decode(&frame).unwrap_or_default();
    let files = ClosureFile::decode_all(&frame).unwrap_or_default();
    let file = encode_closure(&dirs, &files).expect("within the limits");
    let head = ClosureHead::decode(*file.first_chunk().expect("a head")).expect("ours");
    let (first, second) = file.split_at(usize::try_from(head.dirs_end()).expect("small"));
    assert_eq!(ClosureDirs::decode(&first[ClosureHead::BYTES..]).as_ref(), Ok(&dirs));
    assert_eq!(ClosureFile::decode_all(second).as_ref(), Ok(&files));
});
