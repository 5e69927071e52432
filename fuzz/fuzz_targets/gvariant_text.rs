//! GVariant's text form: what is parsed is in normal form, and printed it parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::gvariant_text(data);
});
