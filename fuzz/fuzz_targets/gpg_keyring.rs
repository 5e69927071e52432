//! Keyrings, and signatures that are checked with them: what both are is told by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::sign::gpg::Keyring;

fuzz_target!(|data: &[u8]| {
    let Some((split, rest)) = data.split_first() else { return };
    let (keys, signature) = rest.split_at(rest.len() * usize::from(*split) / 256);
    let mut keyring = Keyring::default();
    if keyring.add(keys).is_ok() {
        assert_eq!(keyring.is_empty(), keyring.list().is_empty());
    }
    for report in keyring.verify(b"data", signature) {
        assert!(!report.to_string().is_empty());
    }
});
