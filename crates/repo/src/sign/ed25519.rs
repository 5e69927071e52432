//! Ed25519: public keys are 32 bytes, secret keys 64 (seed and public key), both in base64.
#![deny(clippy::indexing_slicing)]

use super::armor::{self, hex};
use super::{Judgement, SignError, Signer, Verifier};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// A public key. Bytes that are no point of the curve are kept as well: they verify nothing, but whoever counts keys
/// counts them.
type Public = [u8; 32];

/// The engine's keys.
#[derive(Debug, Default)]
pub struct Ed25519 {
    trusted: Vec<Public>,
    revoked: Vec<Public>,
    secret: Option<SigningKey>,
}

const KEY: &str = "ostree.sign.ed25519";

fn bad(reason: &'static str) -> SignError {
    SignError::BadKey { engine: "ed25519", reason }
}

/// Reads a public key in base64.
fn public(text: &str) -> Result<Public, SignError> {
    let bytes = armor::base64(text.trim()).ok_or_else(|| bad("it is not base64"))?;
    bytes.try_into().or(Err(bad("it has not 32 bytes")))
}

/// Whether 64 bytes are a signature over `data` by this key.
pub(crate) fn verifies(key: &[u8; 32], data: &[u8], signature: &[u8; 64]) -> bool {
    is_by(key, data, &Signature::from_bytes(signature))
}

/// Whether a signature is one over `data` by this key.
fn is_by(key: &Public, data: &[u8], signature: &Signature) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(data, signature).is_ok())
}

impl Ed25519 {
    /// From public keys in base64; a revoked one counts as not trusted.
    ///
    /// # Errors
    /// [`SignError::BadKey`].
    pub fn verifier(trusted: &[String], revoked: &[String]) -> Result<Self, SignError> {
        let read = |keys: &[String]| keys.iter().map(|key| public(key)).collect::<Result<Vec<_>, _>>();
        Ok(Self { trusted: read(trusted)?, revoked: read(revoked)?, secret: None })
    }

    /// From a secret key in base64.
    ///
    /// # Errors
    /// [`SignError::BadKey`], also where the public half is not that of the secret one.
    pub fn signer(secret: &str) -> Result<Self, SignError> {
        let bytes = armor::base64(secret.trim()).ok_or_else(|| bad("it is not base64"))?;
        let bytes: [u8; 64] = bytes.try_into().or(Err(bad("it has not 64 bytes")))?;
        let key = SigningKey::from_keypair_bytes(&bytes).or(Err(bad("its halves do not belong together")))?;
        Ok(Self { secret: Some(key), ..Self::default() })
    }

    /// The public key that belongs to the secret one, if there is one.
    pub fn public(&self) -> Option<[u8; 32]> {
        self.secret.as_ref().map(|key| key.verifying_key().to_bytes())
    }

    /// Reads a public key in base64.
    ///
    /// # Errors
    /// [`SignError::BadKey`], also where it is no point of the curve.
    pub fn public_key(text: &str) -> Result<[u8; 32], SignError> {
        let bytes = public(text)?;
        VerifyingKey::from_bytes(&bytes).or(Err(bad("it is no point of the curve")))?;
        Ok(bytes)
    }

    /// A public key as text.
    pub fn public_text(key: &[u8; 32]) -> String {
        armor::to_base64(key)
    }

    /// Makes a key from 32 bytes of chance: the secret one in base64, and the public one.
    pub fn generate(seed: &[u8; 32]) -> (String, String) {
        let key = SigningKey::from_bytes(seed);
        (armor::to_base64(&key.to_keypair_bytes()), armor::to_base64(key.verifying_key().as_bytes()))
    }

    fn judge_one(&self, data: &[u8], signature: &[u8]) -> Judgement {
        let Ok(signature) = Signature::from_slice(signature) else {
            return Judgement { good_by: None, words: "the signature has not 64 bytes".to_owned() };
        };
        match self.trusted.iter().find(|key| is_by(key, data, &signature)) {
            Some(key) if self.revoked.contains(key) => {
                Judgement { good_by: None, words: format!("Key '{}' is revoked", hex(key)) }
            }
            Some(key) => Judgement {
                good_by: Some(hex(key)),
                words: format!("Signature verified successfully with key '{}'", hex(key)),
            },
            None => {
                let keys: Vec<String> = self.trusted.iter().map(|key| hex(key)).collect();
                Judgement { good_by: None, words: not_verified(&keys) }
            }
        }
    }
}

/// What is said of a signature by none of the keys.
pub(super) fn not_verified(keys: &[String]) -> String {
    match keys {
        [key] => format!("Signature couldn't be verified with: key '{key}'"),
        keys => format!("Signature couldn't be verified; tried {} keys", keys.len()),
    }
}

impl Verifier for Ed25519 {
    fn name(&self) -> &'static str {
        "ed25519"
    }
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn judge(&self, data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement> {
        signatures.iter().map(|signature| self.judge_one(data, signature)).collect()
    }
}

impl Signer for Ed25519 {
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
