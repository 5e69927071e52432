//! Boot Loader Specification entries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::Bls;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = Bls::parse(data) {
        drop(entry.kargs());
        let again = Bls::parse(entry.to_text().as_bytes()).expect("what was written");
        assert_eq!(again.to_text(), entry.to_text());
    }
});
