//! Lists of modes and of what is left out, and filters of paths: any text is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::{ModeList, PathFilter, SkipList};

fuzz_target!(|data: (&str, &str, &str)| {
    let (list, pattern, replacement) = data;
    drop(ModeList::parse(list));
    drop(SkipList::parse(list));
    drop(PathFilter::new(pattern, replacement));
});
