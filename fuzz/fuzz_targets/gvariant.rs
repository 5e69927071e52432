//! GVariants of any type: a type string, a NUL, and the value.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sapwood_fuzz::gvariant(data);
});
