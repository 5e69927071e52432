//! The options of commands that sign.

use crate::ctx::read_file;
use crate::report::{OrUsage, usage};
use sapwood_repo::sign::gpg::GpgSigner;
use sapwood_repo::sign::{self, Ed25519, MAX_KEY_FILE_BYTES, Signer};
use std::path::PathBuf;

/// With which keys to sign.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Signing {
    /// Sign with this GPG key
    #[arg(long, value_name = "KEY-ID")]
    gpg_sign: Vec<String>,
    /// Where gpg has its keys
    #[arg(long, value_name = "HOMEDIR")]
    pub(crate) gpg_homedir: Option<PathBuf>,
    /// Sign with this secret key
    #[arg(long, value_name = "KEY")]
    sign: Vec<String>,
    /// Sign with the secret key in this file
    #[arg(long, value_name = "FILE")]
    sign_from_file: Vec<PathBuf>,
    /// The type of the keys of --sign: ed25519, spki or dummy
    #[arg(long, value_name = "NAME", default_value = "ed25519", hide_default_value = true)]
    sign_type: String,
}

impl Signing {
    /// Whether any key is given.
    pub(crate) fn is_asked_for(&self) -> bool {
        !(self.gpg_sign.is_empty() && self.sign.is_empty() && self.sign_from_file.is_empty())
    }

    /// The keys that can make statements, which those of Ed25519 alone can.
    pub(crate) fn statement_keys(&self) -> anyhow::Result<Vec<Ed25519>> {
        if self.sign_type != "ed25519" {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        for key in &self.sign {
            keys.push(Ed25519::signer(key)?);
        }
        keys.extend(secret_keys(&self.sign_from_file)?);
        Ok(keys)
    }

    /// The keys, ready to sign.
    pub(crate) fn signers(&self) -> anyhow::Result<Vec<Box<dyn Signer>>> {
        let mut signers: Vec<Box<dyn Signer>> = Vec::new();
        for key in &self.sign {
            signers.push(sign::signer(&self.sign_type, key)?);
        }
        for path in &self.sign_from_file {
            let text = String::from_utf8(read_file(path, MAX_KEY_FILE_BYTES)?);
            let text = text.or_usage(|| format!("{} is not text", path.display()))?;
            let Some(key) = sign::keys_in(&self.sign_type, &text).into_iter().next() else {
                return Err(usage(format!("{} holds no key", path.display())));
            };
            signers.push(sign::signer(&self.sign_type, &key)?);
        }
        for key in &self.gpg_sign {
            signers.push(Box::new(GpgSigner { key: key.clone(), homedir: self.gpg_homedir.clone() }));
        }
        Ok(signers)
    }
}

/// The secret keys of Ed25519 in some files, the first of each.
pub(crate) fn secret_keys(paths: &[PathBuf]) -> anyhow::Result<Vec<Ed25519>> {
    let key = |path: &PathBuf| {
        let text = String::from_utf8(read_file(path, MAX_KEY_FILE_BYTES)?);
        let text = text.or_usage(|| format!("{} is not text", path.display()))?;
        let Some(key) = sign::keys_in("ed25519", &text).into_iter().next() else {
            return Err(usage(format!("{} holds no key", path.display())));
        };
        Ok(Ed25519::signer(&key)?)
    };
    paths.iter().map(key).collect()
}
