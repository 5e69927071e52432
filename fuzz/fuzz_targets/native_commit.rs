//! Native commits: what is taken encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::{Commit, Format};

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::meta::<Commit>(Format::Native, data);
});
