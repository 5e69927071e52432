//! Key files: what is read is written to the same bytes, until something is set.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::Keyfile;

fuzz_target!(|data: &[u8]| {
    if let Ok(keyfile) = Keyfile::parse(data) {
        let again = Keyfile::parse(keyfile.to_text().as_bytes()).expect("what was written");
        assert_eq!(again.to_text(), keyfile.to_text());
    }
});
