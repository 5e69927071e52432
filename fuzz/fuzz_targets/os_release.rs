//! Files of `os-release`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::OsRelease;

fuzz_target!(|data: &[u8]| {
    let release = OsRelease::parse(data);
    assert!(release.title().is_none_or(|title| title.len() <= data.len() * 3 + 16));
});
