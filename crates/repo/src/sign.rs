//! Signatures on commits and summaries: who vouches for what, and whether that is enough.
//!
//! Signatures are over the exact bytes of the commit object or of the summary file. They are kept where OSTree keeps
//! them: in the metadata beside the commit, or in `summary.sig`, as a list for each engine. A [`Verifier`] knows the
//! trusted keys of one engine; a [`Policy`] says which of them must be satisfied.

pub(crate) mod armor;
mod dummy;
pub(crate) mod ed25519;
pub mod gpg;
mod keys;
mod policy;
mod spki;
mod store;

pub use dummy::Dummy;
pub use ed25519::Ed25519;
pub use keys::{ENGINES, MAX_KEY_FILE_BYTES, keys_in, metadata_key, signer, verifier};
pub use policy::{Mechanism, Policy};
pub use spki::Spki;

use sapwood_objstore::{Metadata, Value};
use std::fmt;

/// An engine with the keys that it trusts.
pub trait Verifier: fmt::Debug + Send + Sync {
    /// What the engine is called: `gpg`, `ed25519`, `spki`, `dummy`.
    fn name(&self) -> &'static str;

    /// The key of the metadata under which its signatures are kept.
    fn metadata_key(&self) -> &'static str;

    /// The judgement on each signature of `signatures` over `data`; an element may hold several.
    fn judge(&self, data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement>;
}

/// An engine with a secret key.
pub trait Signer {
    /// The key of the metadata under which its signatures are kept.
    fn metadata_key(&self) -> &'static str;

    /// Signs `data`.
    ///
    /// # Errors
    /// [`SignError::Signing`].
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError>;

    /// The key that made a signature, where making a second one with it is to be refused.
    fn made_by(&self, signature: &[u8]) -> Option<String>;
}

/// What is to be said about one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The key it is good by: its fingerprint or its text. `None` if it does not count.
    pub good_by: Option<String>,
    /// In words: `verified successfully with key …`, `public key not found`.
    pub words: String,
}

/// Why something is not signed as it must be, or cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No signature of this kind is there.
    #[error("{}", unsigned(mechanism, option))]
    Unsigned {
        /** The mechanism. */
        mechanism: &'static str,
        /** The key of a remote's configuration that asks for it. */
        option: &'static str,
    },
    /// There are signatures, and too few good ones by trusted keys.
    #[error("{reasons}")]
    NotTrusted {
        /** What is wrong with each signature. */
        reasons: String,
    },
    /// Fewer trusted keys signed than are required.
    #[error("{mechanism}: good signatures by {found} trusted keys, and {required} are required")]
    Threshold {
        /** The mechanism. */
        mechanism: &'static str,
        /** How many did. */
        found: usize,
        /** How many must. */
        required: usize,
    },
    /// The key has signed this already.
    #[error("Commit is already signed with GPG key {key}")]
    AlreadySigned {
        /** Its id. */
        key: String,
    },
    /// A key is malformed.
    #[error("{engine}: not a key: {reason}")]
    BadKey {
        /** The engine. */
        engine: &'static str,
        /** Why. */
        reason: &'static str,
    },
    /// No trusted key is known.
    #[error("No keys found for required signapi type {engine}")]
    NoKeys {
        /** The engine. */
        engine: &'static str,
    },
    /// There is no such engine.
    #[error("Requested signature type is not implemented: {name}")]
    UnknownEngine {
        /** What was asked for. */
        name: String,
    },
    /// Signing failed.
    #[error("cannot sign: {reason}")]
    Signing {
        /** Why. */
        reason: String,
    },
}

fn unsigned(mechanism: &str, option: &str) -> String {
    let found =
        if mechanism == "GPG" { "but no signatures found" } else { "and not satisfied: No signatures found" };
    format!("{mechanism} verification enabled, {found} (use {option}=false in remote config to disable)")
}

/// The list of signatures under a key of metadata; one that is no such list counts as empty.
pub fn signatures<'m>(metadata: &'m Metadata, key: &str) -> &'m [Vec<u8>] {
    match metadata.get(key) {
        Some(Value::ByteArrays(list)) => list,
        _ => &[],
    }
}

/// Signs, and adds the signature to such a list.
///
/// # Errors
/// [`SignError::AlreadySigned`]; [`SignError::Signing`].
pub fn add_signature(metadata: &mut Metadata, data: &[u8], signer: &dyn Signer) -> Result<(), SignError> {
    let signature = signer.sign(data)?;
    keep_signature(metadata, signer, signature)
}

/// The signatures of all of these, as they are kept beside what they sign.
///
/// # Errors
/// As [`add_signature`].
pub(crate) fn sign_by_all(signers: &[Box<dyn Signer>], data: &[u8]) -> Result<Metadata, SignError> {
    let mut made = Metadata::default();
    signers.iter().try_for_each(|signer| add_signature(&mut made, data, &**signer))?;
    Ok(made)
}

/// Adds a signature that a signer made.
pub(crate) fn keep_signature(
    metadata: &mut Metadata,
    signer: &dyn Signer,
    signature: Vec<u8>,
) -> Result<(), SignError> {
    let key = signer.metadata_key();
    let mut list = signatures(metadata, key).to_vec();
    if let Some(new) = signer.made_by(&signature)
        && list.iter().any(|old| signer.made_by(old).as_ref() == Some(&new))
    {
        return Err(SignError::AlreadySigned { key: new });
    }
    list.push(signature);
    metadata.set(key, Value::ByteArrays(list));
    Ok(())
}
