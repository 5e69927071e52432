//! Kernel arguments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::Kargs;

fuzz_target!(|data: &[u8]| {
    drop(Kargs::parse_proc_cmdline(data));
    if let Ok(text) = std::str::from_utf8(data) {
        let kargs = Kargs::parse(text);
        assert_eq!(Kargs::parse(&kargs.to_string()), kargs);
    }
});
