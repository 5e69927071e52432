//! The engine that tests use: a signature is the key itself. It must be switched on by `OSTREE_DUMMY_SIGN_ENABLED`.

use super::{Judgement, SignError, Signer, Verifier};

/// Text that is both key and signature.
#[derive(Debug, Clone)]
pub struct Dummy {
    keys: Vec<String>,
}

const KEY: &str = "ostree.sign.dummy";

impl Dummy {
    /// With these keys; signing uses the first.
    ///
    /// # Errors
    /// [`SignError::UnknownEngine`] unless the environment switches the engine on.
    pub fn new(keys: Vec<String>) -> Result<Self, SignError> {
        match std::env::var_os("OSTREE_DUMMY_SIGN_ENABLED") {
            Some(value) if !value.is_empty() => Ok(Self { keys }),
            _ => {
                Err(SignError::UnknownEngine { name: "dummy signature type is only for testing".to_owned() })
            }
        }
    }
}

impl Verifier for Dummy {
    fn name(&self) -> &'static str {
        "dummy"
    }
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn judge(&self, _data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement> {
        let judge = |signature: &Vec<u8>| {
            let key = self.keys.iter().find(|key| key.as_bytes() == signature);
            let words = if key.is_some() { "Signature verified" } else { "signature by another key" };
            Judgement { good_by: key.cloned(), words: words.to_owned() }
        };
        signatures.iter().map(judge).collect()
    }
}

impl Signer for Dummy {
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn sign(&self, _data: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = self.keys.first().ok_or(SignError::BadKey { engine: "dummy", reason: "there is none" })?;
        Ok(key.as_bytes().to_vec())
    }
    fn made_by(&self, _signature: &[u8]) -> Option<String> {
        None
    }
}
