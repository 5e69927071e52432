//! `static-delta verify`, and the options that say by whom a delta must be signed.

use crate::ctx::Ctx;
use crate::report::{one_line, usage};
use crate::trust;
use crate::ui::Render;
use sapwood_repo::sign::{self, Mechanism, SignError};
use sapwood_repo::{DeltaFiles, Repo};
use std::io::{self, Write};
use std::path::PathBuf;

/// By whom a delta must be signed.
#[derive(Debug, clap::Args)]
pub(crate) struct Trusted {
    /// The type of the keys: ed25519, spki or dummy
    #[arg(long, value_name = "NAME", default_value = "ed25519", hide_default_value = true)]
    sign_type: String,
    /// Take keys from this file (may be repeated)
    #[arg(long, value_name = "FILE")]
    keys_file: Vec<PathBuf>,
    /// Take keys from the files of this directory, as `trusted.ed25519` and `revoked.ed25519`
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// Public keys
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
}

/// Verify the signatures of a delta
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The delta: FROM-TO or TO, or with a `/` in it, the path of its superblock or of the directory with that
    #[arg(value_name = "DELTA")]
    delta: String,
    #[command(flatten)]
    trusted: Trusted,
}

/// Whether one is good.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// In OSTree's words.
    #[serde(skip)]
    verdict: &'static str,
}

impl Outcome {
    fn refused(verdict: &'static str, error: &anyhow::Error) -> Self {
        Self { verified: false, reason: Some(one_line(error)), verdict }
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.verdict)
    }
    fn remarks(&self) -> Vec<String> {
        self.reason.iter().map(|reason| format!("error: {reason}")).collect()
    }
    fn exit_code(&self) -> u8 {
        u8::from(!self.verified)
    }
}

impl Trusted {
    /// Whether any are named.
    pub(crate) fn is_any(&self) -> bool {
        !self.keys.is_empty() || !self.keys_file.is_empty() || self.keys_dir.is_some()
    }

    /// Checks a delta; those of the machine count where none are named. Gives what is wrong.
    pub(crate) fn check(&self, delta: &DeltaFiles) -> anyhow::Result<Result<(), String>> {
        if !delta.is_signed() {
            return Ok(Err("no signatures in static-delta".to_owned()));
        }
        let engine = self.sign_type.as_str();
        let (mut keys, mut revoked) = (self.keys.clone(), Vec::new());
        for path in &self.keys_file {
            keys.extend(trust::keys_of_file(engine, path)?);
        }
        let of_the_machine = if self.is_any() { &[][..] } else { &trust::KEY_DIRS[..] };
        for dir in self.keys_dir.iter().map(PathBuf::as_path).chain(of_the_machine.iter().map(AsRef::as_ref))
        {
            keys.extend(trust::trusted_below(engine, dir)?);
            revoked.extend(trust::revoked_below(engine, dir)?);
        }
        let engines = vec![sign::verifier(engine, &keys, &revoked)?];
        let mechanism = Mechanism { name: "Signature", option: "sign-verify-deltas", engines, threshold: 1 };
        Ok(match delta.check_signatures(&mechanism) {
            Ok(_) => Ok(()),
            Err(SignError::Unsigned { .. }) => {
                Err(format!("no signature for '{}' in static-delta superblock", sign::metadata_key(engine)?))
            }
            Err(SignError::NotTrusted { reasons }) => {
                tracing::debug!(%reasons, "not verified");
                let count = reasons.lines().count();
                Err(format!("signature: {engine}: incorrect signatures found: {count}"))
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let engine = args.trusted.sign_type.as_str();
    if !sign::ENGINES.contains(&engine) {
        let error = SignError::UnknownEngine { name: engine.to_owned() };
        return Ok(Outcome::refused("Sign-type not supported", &error.into()));
    }
    let checked = open(&repo, &args.delta).and_then(|delta| args.trusted.check(&delta)?.map_err(usage));
    Ok(match checked {
        Ok(()) => Outcome { verified: true, reason: None, verdict: "Verification OK" },
        Err(error) => Outcome::refused("Verification fails", &error),
    })
}

/// A delta of the repository; what has a `/` in it is a file, or the directory of one.
fn open(repo: &Repo, delta: &str) -> anyhow::Result<DeltaFiles> {
    if delta.contains('/') {
        super::open_files(delta.as_ref())
    } else {
        Ok(repo.open_delta(&super::delta_name(delta)?)?)
    }
}
