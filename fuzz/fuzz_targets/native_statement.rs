//! Statements, and what clients remember of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::statement::{Seen, StatementFile, check};

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = StatementFile::decode(data) {
        assert_eq!(file.encode(), data);
        let root = file.first().id();
        if let Ok(checked) = check(Some(data), &root, None, 1_700_000_000) {
            // Who has seen it takes it again.
            assert!(check(Some(data), &root, Some(&checked.seen), 1_700_000_000).is_ok());
        }
    }
    if let Ok(seen) = Seen::decode(data) {
        assert!(seen.key_set().is_ok());
    }
});
