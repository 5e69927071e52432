//! SPKI: public keys as PEM `PUBLIC KEY` blocks, secret ones as `PRIVATE KEY` (PKCS#8). Keys of Ed25519 only.
#![deny(clippy::indexing_slicing)]

use super::{Judgement, SignError, Signer, Verifier, ed25519};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

/// The engine's keys.
#[derive(Debug, Default)]
pub struct Spki {
    trusted: Vec<VerifyingKey>,
    revoked: Vec<VerifyingKey>,
    secret: Option<SigningKey>,
}

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
        Ok(Self { trusted: read(trusted)?, revoked: read(revoked)?, secret: None })
    }

    /// From a secret key in PEM.
    ///
    /// # Errors
    /// [`SignError::BadKey`].
    pub fn signer(secret: &str) -> Result<Self, SignError> {
        let key =
            SigningKey::from_pkcs8_pem(secret.trim()).or(Err(bad("not a secret Ed25519 key in PEM")))?;
        Ok(Self { secret: Some(key), ..Self::default() })
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
        ed25519::judge(&self.trusted, &self.revoked, data, signatures, &ed25519::hex)
    }
}

impl Signer for Spki {
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = self.secret.as_ref().ok_or_else(|| bad("there is no secret one"))?;
        Ok(key.sign(data).to_bytes().to_vec())
    }
    fn made_by(&self, _signature: &[u8]) -> Option<String> {
        None
    }
}
