//! Files of keys, public and secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::sign::{keys_in, signer, verifier};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for engine in ["ed25519", "spki"] {
        let keys = keys_in(engine, &text);
        if let Ok(verifier) = verifier(engine, &keys, &[]) {
            let judged = verifier.judge(b"data", &[data.to_vec()]);
            assert!(judged.iter().all(|judgement| !judgement.words.is_empty()));
            // What is revoked counts no more, in whatever form it is written.
            drop(sapwood_repo::sign::verifier(engine, &keys, &keys));
        }
        for key in &keys {
            if let Ok(signer) = signer(engine, key) {
                drop(signer.sign(b"data"));
            }
        }
    }
});
