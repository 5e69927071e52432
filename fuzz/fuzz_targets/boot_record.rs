//! What boot programs read: the kernel's command line, and what they wrote to `/run/ostree-booted`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::{BootRecord, BootTarget};

fuzz_target!(|data: &[u8]| {
    drop(BootTarget::parse(data));
    if let Ok(record) = BootRecord::parse(data) {
        assert_eq!(BootRecord::parse(&record.to_bytes()).ok(), Some(record));
    }
});
