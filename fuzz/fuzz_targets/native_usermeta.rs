//! Native attributes of bare-user files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::Format;

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::user_meta(Format::Native, data);
});
