//! SPKI: public keys as PEM `PUBLIC KEY` blocks, secret ones as `PRIVATE KEY` (PKCS#8): Ed25519, ECDSA with P-256 and P-384,
//! RSA.
//!
//! As OSTree does it: `OpenSSL`'s one-shot signing with the digest that it takes by itself, which is SHA-256 for all but
//! Ed25519; signatures of ECDSA are in DER, those of RSA are PKCS#1 v1.5.
#![deny(clippy::indexing_slicing)]

use super::armor::hex;
use super::ed25519::not_verified;
use super::{Judgement, SignError, Signer, Verifier};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p384::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use rsa::sha2::{Digest as _, Sha256};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use rsa::traits::PublicKeyParts as _;

/// Smallest modulus that is still hard to factor, and largest that is worth the time, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The engine's keys.
#[derive(Debug, Default)]
pub struct Spki {
    trusted: Vec<Public>,
    revoked: Vec<Public>,
    secret: Option<Box<Secret>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Rsa(rsa::RsaPublicKey),
}

#[derive(Debug)]
enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Rsa(rsa::RsaPrivateKey),
}

const KEY: &str = "ostree.sign.spki";

fn bad(reason: &'static str) -> SignError {
    SignError::BadKey { engine: "spki", reason }
}

impl Public {
    fn from_pem(pem: &str) -> Result<Self, SignError> {
        let pem = pem.trim();
        if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
            return Ok(Self::Ed25519(key));
        }
        if let Ok(key) = p256::PublicKey::from_public_key_pem(pem) {
            return Ok(Self::P256(key.into()));
        }
        if let Ok(key) = p384::PublicKey::from_public_key_pem(pem) {
            return Ok(Self::P384(key.into()));
        }
        let key = rsa::RsaPublicKey::from_public_key_pem(pem);
        let key = key.or(Err(bad("not a key of Ed25519, P-256, P-384 or RSA in PEM")))?;
        check_size(&key)?;
        Ok(Self::Rsa(key))
    }

    /// Whether a signature is one over `data` by this key.
    fn is_by(&self, data: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(data, &signature).is_ok()),
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(data, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&Sha256::digest(data), &signature).is_ok()),
            Self::Rsa(key) => rsa::pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| {
                rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key.clone()).verify(data, &signature).is_ok()
            }),
        }
    }

    /// The point or the modulus, in hexadecimal digits.
    fn shown(&self) -> String {
        match self {
            Self::Ed25519(key) => hex(key.as_bytes()),
            Self::P256(key) => hex(key.to_encoded_point(true).as_bytes()),
            Self::P384(key) => hex(key.to_encoded_point(true).as_bytes()),
            Self::Rsa(key) => hex(&key.n().to_bytes_be()),
        }
    }
}

fn check_size(key: &impl rsa::traits::PublicKeyParts) -> Result<(), SignError> {
    if RSA_BITS.contains(&key.n().bits()) { Ok(()) } else { Err(bad("a key of RSA has 2048 to 8192 bits")) }
}

impl Secret {
    fn from_pem(pem: &str) -> Result<Self, SignError> {
        let pem = pem.trim();
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            return Ok(Self::Ed25519(key));
        }
        if let Ok(key) = p256::SecretKey::from_pkcs8_pem(pem) {
            return Ok(Self::P256(key.into()));
        }
        if let Ok(key) = p384::SecretKey::from_pkcs8_pem(pem) {
            return Ok(Self::P384(key.into()));
        }
        let key = rsa::RsaPrivateKey::from_pkcs8_pem(pem);
        let key = key.or(Err(bad("not a secret key of Ed25519, P-256, P-384 or RSA in PEM (PKCS#8)")))?;
        check_size(&key)?;
        Ok(Self::Rsa(key))
    }

    /// Signs; `None` where the key cannot.
    fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::Ed25519(key) => key.try_sign(data).ok()?.to_bytes().to_vec(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(data).ok()?;
                signature.to_der().as_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(&Sha256::digest(data)).ok()?;
                signature.to_der().as_bytes().to_vec()
            }
            // With chance, so that how long it takes tells nothing of the key.
            Self::Rsa(key) => rsa::pkcs1v15::SigningKey::<Sha256>::new(key.clone())
                .try_sign_with_rng(&mut rsa::rand_core::OsRng, data)
                .ok()?
                .to_vec(),
        })
    }
}

impl Spki {
    /// From PEM blocks, one for each key; a revoked one counts as not trusted.
    ///
    /// # Errors
    /// [`SignError::BadKey`], also for keys of other kinds, and for keys of RSA that are too small or too large.
    pub fn verifier(trusted: &[String], revoked: &[String]) -> Result<Self, SignError> {
        let read =
            |keys: &[String]| keys.iter().map(|pem| Public::from_pem(pem)).collect::<Result<Vec<_>, _>>();
        Ok(Self { trusted: read(trusted)?, revoked: read(revoked)?, secret: None })
    }

    /// From a secret key in PEM.
    ///
    /// # Errors
    /// [`SignError::BadKey`].
    pub fn signer(secret: &str) -> Result<Self, SignError> {
        Ok(Self { secret: Some(Box::new(Secret::from_pem(secret)?)), ..Self::default() })
    }

    fn judge_one(&self, data: &[u8], signature: &[u8]) -> Judgement {
        match self.trusted.iter().find(|key| key.is_by(data, signature)) {
            Some(key) if self.revoked.contains(key) => {
                Judgement { good_by: None, words: format!("Key '{}' is revoked", key.shown()) }
            }
            Some(key) => Judgement {
                good_by: Some(key.shown()),
                words: format!("Signature verified successfully with key '{}'", key.shown()),
            },
            None => {
                let keys: Vec<String> = self.trusted.iter().map(Public::shown).collect();
                Judgement { good_by: None, words: not_verified(&keys) }
            }
        }
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
        signatures.iter().map(|signature| self.judge_one(data, signature)).collect()
    }
}

impl Signer for Spki {
    fn metadata_key(&self) -> &'static str {
        KEY
    }
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = self.secret.as_ref().ok_or_else(|| bad("there is no secret one"))?;
        key.sign(data).ok_or_else(|| SignError::Signing { reason: "the key cannot sign this".to_owned() })
    }
    fn made_by(&self, _signature: &[u8]) -> Option<String> {
        None
    }
}
