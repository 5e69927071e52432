//! Configurations of repositories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::Config;

fuzz_target!(|data: &[u8]| {
    drop(Config::parse(data));
});
