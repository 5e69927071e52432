//! Boot links.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::BootLink;

fuzz_target!(|data: &[u8]| {
    drop(BootLink::parse(data));
});
