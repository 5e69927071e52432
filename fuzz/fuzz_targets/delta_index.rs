//! Indexes of static deltas.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::ListedDelta;

fuzz_target!(|data: &[u8]| {
    if let Ok(deltas) = ListedDelta::decode_index(data) {
        assert!(deltas.len() <= data.len() / 32, "each has a digest");
    }
});
