//! SELinux file contexts: any text is read or refused, and any path then looked up or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_fsio::Kind;
use sapwood_repo::selinux::Contexts;

fuzz_target!(|data: (&[u8], &[u8], &[u8])| {
    let (lines, subs, path) = data;
    if let Ok(contexts) = Contexts::parse(&[lines], [subs, b""]) {
        // An answer is the same each time.
        let answer = contexts.lookup(path, Some(Kind::File));
        assert_eq!(contexts.lookup(path, Some(Kind::File)), answer);
    }
});
