//! Signatures, checked with good keys of every engine and algorithm: what is good over some bytes is good over no others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_repo::sign::gpg::Keyring;
use sapwood_repo::sign::{Verifier, verifier};
use std::sync::LazyLock;

/// What the seeds are signatures over.
const DATA: &[u8] = b"data";

static VERIFIERS: LazyLock<Vec<Box<dyn Verifier>>> = LazyLock::new(|| {
    let pem = [
        include_str!("../keys/ed25519.pem"),
        include_str!("../keys/p256.pem"),
        include_str!("../keys/p384.pem"),
        include_str!("../keys/rsa.pem"),
    ];
    let pem = pem.map(str::to_owned);
    let raw = ["11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned()];
    let mut keyring = Keyring::default();
    keyring.add(include_bytes!("../keys/keyring.gpg")).expect("a keyring");
    let known = |engine, keys: &[String]| verifier(engine, keys, &[]).expect("good keys");
    vec![known("spki", &pem), known("ed25519", &raw), Box::new(keyring)]
});

fuzz_target!(|data: &[u8]| {
    for verifier in VERIFIERS.iter() {
        let judged = verifier.judge(DATA, &[data.to_vec()]);
        assert!(!judged.is_empty() && judged.iter().all(|judgement| !judgement.words.is_empty()));
        if judged.iter().any(|judgement| judgement.good_by.is_some()) {
            let other = verifier.judge(b"Data", &[data.to_vec()]);
            assert!(other.iter().all(|judgement| judgement.good_by.is_none()));
        }
    }
});
