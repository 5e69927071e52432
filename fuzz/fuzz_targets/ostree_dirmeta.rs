//! OSTree directory metadata: what is taken encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::{DirMeta, Format};

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::meta::<DirMeta>(Format::Ostree, data);
});
