//! Ed25519: public keys are 32 bytes, secret keys 64 (seed and public key), both in base64.
#![deny(clippy::indexing_slicing)]

use super::{Judgement, SignError, Signer, Verifier, armor};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// Keys of the curve, whatever text they come in.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) trusted: Vec<VerifyingKey>,
    pub(super) revoked: Vec<VerifyingKey>,
    pub(super) secret: Option<SigningKey>,
}

/// The engine's keys.
#[derive(Debug)]
pub struct Ed25519(Keys);

const KEY: &str = "ostree.sign.ed25519";

fn bad(reason: &'static str) -> SignError {
    SignError::BadKey { engine: "ed25519", reason }
}

/// Reads a public key in base64.
fn public(text: &str) -> Result<VerifyingKey, SignError> {
    let bytes = armor::base64(text.trim()).ok_or_else(|| bad("it is not base64"))?;
    let bytes: [u8; 32] = bytes.try_into().or(Err(bad("it has not 32 bytes")))?;
    VerifyingKey::from_bytes(&bytes).or(Err(bad("it is no point of the curve")))
}

impl Ed25519 {
    /// From public keys in base64; a revoked one counts as not trusted.
    ///
    /// # Errors
    /// [`SignError::BadKey`].
    pub fn verifier(trusted: &[String], revoked: &[String]) -> Result<Self, SignError> {
        let read = |keys: &[String]| keys.iter().map(|key| public(key)).collect::<Result<Vec<_>, _>>();
        Ok(Self(Keys { trusted: read(trusted)?, revoked: read(revoked)?, secret: None }))
    }

    /// From a secret key in base64.
    ///
    /// # Errors
    /// [`SignError::BadKey`], also where the public half is not that of the secret one.
    pub fn signer(secret: &str) -> Result<Self, SignError> {
        let bytes = armor::base64(secret.trim()).ok_or_else(|| bad("it is not base64"))?;
        let bytes: [u8; 64] = bytes.try_into().or(Err(bad("it has not 64 bytes")))?;
        let key = SigningKey::from_keypair_bytes(&bytes).or(Err(bad("its halves do not belong together")))?;
        Ok(Self(Keys { secret: Some(key), ..Keys::default() }))
    }
}

impl Keys {
    /// Judges signatures.
    pub(super) fn judge(&self, data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement> {
        let judge = |signature: &Vec<u8>| {
            let Ok(signature) = Signature::from_slice(signature) else {
                return Judgement { good_by: None, words: "the signature has not 64 bytes".to_owned() };
            };
            match self.trusted.iter().find(|key| key.verify_strict(data, &signature).is_ok()) {
                Some(key) if self.revoked.contains(key) => {
                    Judgement { good_by: None, words: format!("Key '{}' is revoked", hex(key)) }
                }
                Some(key) => Judgement {
                    good_by: Some(hex(key)),
                    words: format!("Signature verified successfully with key '{}'", hex(key)),
                },
                None => Judgement { good_by: None, words: self.not_verified() },
            }
        };
        signatures.iter().map(judge).collect()
    }

    /// What is said of a signature by none of the keys.
    fn not_verified(&self) -> String {
        match self.trusted.as_slice() {
            [key] => format!("Signature couldn't be verified with: key '{}'", hex(key)),
            keys => format!("Signature couldn't be verified; tried {} keys", keys.len()),
        }
    }

    /// Signs with the secret key; `None` if there is none.
    pub(super) fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        self.secret.as_ref().map(|key| key.sign(data).to_bytes().to_vec())
    }
}

/// A key as it is shown.
fn hex(key: &VerifyingKey) -> String {
    armor::hex(key.as_bytes())
}

impl Verifier for Ed25519 {
    fn name(&self) -> &'static str {
        "ed25519"
    }
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn judge(&self, data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement> {
        self.0.judge(data, signatures)
    }
}

impl Signer for Ed25519 {
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
