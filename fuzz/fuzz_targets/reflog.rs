//! A line of the log of refs that is read can be written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(moved) = std::str::from_utf8(data).ok().and_then(sapwood_repo::RefMove::parse) {
        assert_eq!(sapwood_repo::RefMove::parse(&moved.to_string()), Some(moved));
    }
});
