//! A metalink is read or refused, and a file that it does not speak of is not taken for the one it does.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(metalink) = sapwood_transport::Metalink::parse(data) {
        assert!(!metalink.urls.is_empty());
        assert!(metalink.check(data).is_err() || metalink.size == data.len() as u64);
    }
});
