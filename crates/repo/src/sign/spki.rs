//! SPKI: public keys as PEM `PUBLIC KEY` blocks, secret ones as `PRIVATE KEY` (PKCS#8). Keys of Ed25519 only.
#![deny(clippy::indexing_slicing)]

use super::ed25519::Keys;
use super::{Judgement, SignError, Signer, Verifier};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};

/// The engine's keys.
#[derive(Debug)]
pub struct Spki(Keys);

const KEY: &str = "ostree.sign.spki";

fn bad(reason: &'static str) -> SignError {
    SignError::BadKey { engine: "spki", reason }
}

impl Spki {
    /// From PEM blocks, one for each key; a revoked one counts as not trusted.
    ///
    /// # Errors
    /// [`SignError::BadKey`], also for keys of another kind than Ed25519.
    pub fn verifier(trusted: &[String], revoked: &[String]) -> Result<Self, SignError> {
        let read = |keys: &[String]| {
            let key = |pem: &String| {
                VerifyingKey::from_public_key_pem(pem.trim()).or(Err(bad("not an Ed25519 key in PEM")))
            };
            keys.iter().map(key).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self(Keys { trusted: read(trusted)?, revoked: read(revoked)?, secret: None }))
    }

    /// From a secret key in PEM.
    ///
    /// # Errors
    /// [`SignError::BadKey`].
    pub fn signer(secret: &str) -> Result<Self, SignError> {
        let key =
            SigningKey::from_pkcs8_pem(secret.trim()).or(Err(bad("not a secret Ed25519 key in PEM")))?;
        Ok(Self(Keys { secret: Some(key), ..Keys::default() }))
    }
}

impl Verifier for Spki {
    fn name(&self) -> &'static str {
        "spki"
    }
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn judge(&self, data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement> {
        self.0.judge(data, signatures)
    }
}

impl Signer for Spki {
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(data).ok_or_else(|| bad("there is no secret one"))
    }
    fn made_by(&self, _signature: &[u8]) -> Option<String> {
        None
    }
}
