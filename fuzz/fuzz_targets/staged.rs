//! The record of what is staged, which OSTree writes, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::Staged;

fuzz_target!(|data: &[u8]| drop(Staged::parse(data)));
