//! Signing, by the user's `gpg`.

use super::METADATA_KEY;
use crate::sign::{SignError, Signer};
use pgp::composed::{Deserializable as _, DetachedSignature};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Signs with one key, which `gpg` finds by its id, fingerprint or owner.
#[derive(Debug, Clone)]
pub struct GpgSigner {
    /// What `gpg` is told about the key.
    pub key: String,
    /// Where `gpg` has its keys; by default where it always has.
    pub homedir: Option<PathBuf>,
}

fn failed(reason: impl Into<String>) -> SignError {
    SignError::Signing { reason: reason.into() }
}

impl GpgSigner {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut command = Command::new("gpg");
        if let Some(homedir) = &self.homedir {
            command.arg("--homedir").arg(homedir);
        }
        command.args(["--batch", "--no-tty", "--quiet", "--no-auto-check-trustdb"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(format!("cannot run gpg: {error}")))?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // What it does not read it has no use for.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input).ok()));
            child.wait_with_output()
        });
        let output = output.map_err(|error| failed(format!("cannot run gpg: {error}")))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("gpg, key {}: {}", self.key, said.trim_end())))
    }

    /// The ids of the keys that belong together with this one; none where `gpg` does not know it.
    pub fn key_ids(&self) -> Vec<String> {
        let listed = self.run(&["--with-colons", "--list-keys", "--", &self.key], &[]);
        let listed = listed.unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed);
        let id = |line: &str| match line.split(':').collect::<Vec<_>>().as_slice() {
            ["pub" | "sub", _, _, _, id, ..] => Some((*id).to_owned()),
            _ => None,
        };
        listed.lines().filter_map(id).collect()
    }
}

impl Signer for GpgSigner {
    fn metadata_key(&self) -> &'static str {
        METADATA_KEY
    }
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.run(&["--detach-sign", "--local-user", &self.key, "--output", "-"], data)
    }
    fn made_by(&self, signature: &[u8]) -> Option<String> {
        issuer(signature)
    }
}

/// The id of the key that made a binary signature, as it says: 16 digits.
pub(crate) fn issuer(signature: &[u8]) -> Option<String> {
    let signature = DetachedSignature::from_bytes_many(signature).ok()?.next()?.ok()?.signature;
    super::keyring::issuer(&signature)
}
