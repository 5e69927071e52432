//! Sizes of objects that a commit records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::{Commit, Format, MetaObject as _};
use sapwood_repo::recorded_sizes;

fuzz_target!(|data: &[u8]| {
    if let Ok(commit) = Commit::decode(Format::Ostree, data)
        && let Ok(sizes) = recorded_sizes(&commit)
    {
        assert!(sizes.len() <= data.len() / 34, "each has an id and two numbers");
    }
});
