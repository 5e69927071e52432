//! Native archive files: the header, and what follows it decompressed up to a limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::Format;

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::archive(Format::Native, data);
});
