//! Patches of static deltas, applied to a file of this machine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::PatchedFile;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

static OLD: LazyLock<Arc<std::fs::File>> =
    LazyLock::new(|| Arc::new(std::fs::File::open("/proc/self/exe").expect("the program itself")));

fuzz_target!(|patch: &[u8]| {
    let mut new = Vec::new();
    drop(PatchedFile::new(Arc::clone(&OLD), patch).read_to_end(&mut new));
    assert!(new.len() <= patch.len(), "every byte of the result takes one of the patch");
});
