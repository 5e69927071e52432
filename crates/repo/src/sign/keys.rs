//! Engines by name, and the keys in files.

use super::{Dummy, Ed25519, SignError, Signer, Spki, Verifier, armor};

/// The engines beside GPG.
pub const ENGINES: [&str; 3] = ["ed25519", "spki", "dummy"];

/// Largest file of keys, in bytes.
pub const MAX_KEY_FILE_BYTES: u64 = 1 << 20;

/// The keys in a file: PEM blocks for `spki`, else one on each line.
pub fn keys_in(engine: &str, text: &str) -> Vec<String> {
    if engine == "spki" {
        let kinds = ["PUBLIC KEY", "PRIVATE KEY"];
        return kinds.iter().flat_map(|kind| armor::blocks(text, kind)).map(str::to_owned).collect();
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// An engine that verifies, by name. Keys that it cannot read are left out with a warning, as long as there is one that
/// it can: files of keys outlive what is in them.
///
/// # Errors
/// [`SignError::UnknownEngine`]; [`SignError::NoKeys`] where no trusted key is left; [`SignError::BadKey`] for a revoked
/// key: leaving that out would mean to trust it.
pub fn verifier(
    engine: &str,
    trusted: &[String],
    revoked: &[String],
) -> Result<Box<dyn Verifier>, SignError> {
    let usable = |engine: &'static str, is_key: &dyn Fn(&String) -> bool| {
        let (good, bad): (Vec<String>, Vec<String>) = trusted.iter().cloned().partition(is_key);
        if !bad.is_empty() {
            tracing::warn!(engine, count = bad.len(), "left out what is no key");
        }
        if good.is_empty() {
            return Err(SignError::NoKeys { engine });
        }
        Ok(good)
    };
    Ok(match engine {
        "ed25519" => {
            let is_key = |key: &String| Ed25519::verifier(std::slice::from_ref(key), &[]).is_ok();
            Box::new(Ed25519::verifier(&usable("ed25519", &is_key)?, revoked)?)
        }
        "spki" => {
            let is_key = |key: &String| Spki::verifier(std::slice::from_ref(key), &[]).is_ok();
            Box::new(Spki::verifier(&usable("spki", &is_key)?, revoked)?)
        }
        "dummy" => {
            let trusted = usable("dummy", &|_| true)?.into_iter().filter(|key| !revoked.contains(key));
            Box::new(Dummy::new(trusted.collect())?)
        }
        other => return Err(SignError::UnknownEngine { name: other.to_owned() }),
    })
}

/// An engine that signs, by name, with a secret key as text.
///
/// # Errors
/// [`SignError::UnknownEngine`], [`SignError::BadKey`].
pub fn signer(engine: &str, secret: &str) -> Result<Box<dyn Signer>, SignError> {
    Ok(match engine {
        "ed25519" => Box::new(Ed25519::signer(secret)?),
        "spki" => Box::new(Spki::signer(secret)?),
        "dummy" => Box::new(Dummy::new(vec![secret.to_owned()])?),
        other => return Err(SignError::UnknownEngine { name: other.to_owned() }),
    })
}

/// The key of the metadata that holds an engine's signatures.
///
/// # Errors
/// [`SignError::UnknownEngine`].
pub fn metadata_key(engine: &str) -> Result<&'static str, SignError> {
    match engine {
        "gpg" => Ok(super::gpg::METADATA_KEY),
        "ed25519" => Ok("ostree.sign.ed25519"),
        "spki" => Ok("ostree.sign.spki"),
        "dummy" => Ok("ostree.sign.dummy"),
        other => Err(SignError::UnknownEngine { name: other.to_owned() }),
    }
}
