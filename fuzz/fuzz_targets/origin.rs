//! Origins of deployments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::Origin;

fuzz_target!(|data: &[u8]| {
    if let Ok(origin) = Origin::parse(data) {
        drop((origin.refspec(), origin.override_commit(), origin.pinned(), origin.etc_conflicts()));
        assert!(Origin::parse(origin.to_text().as_bytes()).is_ok());
    }
});
