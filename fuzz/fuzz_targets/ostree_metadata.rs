//! OSTree detached metadata, and the text of its values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::Format;

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::metadata(Format::Ostree, data);
});
