//! Compressed content of either format, read up to a limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::Format;

fuzz_target!(|data: &[u8]| {
    for format in [Format::Ostree, Format::Native] {
        sapwood_fuzz::decompress(format, data);
    }
});
