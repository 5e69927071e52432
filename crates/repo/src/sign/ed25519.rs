//! Ed25519: public keys are 32 bytes, secret keys 64 (seed and public key), both in base64.
#![deny(clippy::indexing_slicing)]

use super::{Judgement, SignError, Signer, Verifier, armor};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// The engine's keys.
#[derive(Debug, Default)]
pub struct Ed25519 {
    trusted: Vec<VerifyingKey>,
    revoked: Vec<VerifyingKey>,
    secret: Option<SigningKey>,
}

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
}

/// What is said of a signature by none of the keys.
fn not_verified(trusted: &[VerifyingKey], shown: &dyn Fn(&VerifyingKey) -> String) -> String {
    match trusted {
        [key] => format!("Signature couldn't be verified with: key '{}'", shown(key)),
        keys => format!("Signature couldn't be verified; tried {} keys", keys.len()),
    }
}

/// Judges signatures by keys of the curve, whose text `shown` gives.
pub(super) fn judge(
    trusted: &[VerifyingKey],
    revoked: &[VerifyingKey],
    data: &[u8],
    signatures: &[Vec<u8>],
    shown: &dyn Fn(&VerifyingKey) -> String,
) -> Vec<Judgement> {
    let judge = |signature: &Vec<u8>| {
        let Ok(signature) = Signature::from_slice(signature) else {
            return Judgement { good_by: None, words: "the signature has not 64 bytes".to_owned() };
        };
        match trusted.iter().find(|key| key.verify_strict(data, &signature).is_ok()) {
            Some(key) if revoked.contains(key) => {
                Judgement { good_by: None, words: format!("Key '{}' is revoked", shown(key)) }
            }
            Some(key) => Judgement {
                good_by: Some(shown(key)),
                words: format!("Signature verified successfully with key '{}'", shown(key)),
            },
            None => Judgement { good_by: None, words: not_verified(trusted, shown) },
        }
    };
    signatures.iter().map(judge).collect()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(key: &VerifyingKey) -> String {
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
        judge(&self.trusted, &self.revoked, data, signatures, &hex)
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
