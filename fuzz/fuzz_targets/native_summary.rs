//! Summaries of Native repositories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::Format;
use sapwood_repo::Summary;

fuzz_target!(|data: &[u8]| {
    if let Ok(summary) = Summary::decode(Format::Native, data) {
        let again =
            Summary::decode(Format::Native, &summary.encode(Format::Native)).expect("what was encoded");
        assert_eq!(again, summary);
        _ = summary.collections();
    }
});
