//! OSTree directory trees: what is taken encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::{DirTree, Format};

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::meta::<DirTree>(Format::Ostree, data);
});
