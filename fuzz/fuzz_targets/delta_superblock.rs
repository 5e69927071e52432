//! Superblocks of static deltas.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::Superblock;

fuzz_target!(|data: &[u8]| {
    if let Ok(superblock) = Superblock::decode(data) {
        let mut again = Superblock::decode(&superblock.encode()).expect("what was encoded");
        again.order_guessed = superblock.order_guessed;
        assert_eq!(again, superblock);
    }
});
