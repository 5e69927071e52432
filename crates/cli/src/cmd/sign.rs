//! `sign`: signs a commit that is there with other keys than GPG's, or verifies it.

use crate::ctx::Ctx;
use crate::report::usage;
use crate::trust;
use crate::ui::Render;
use sapwood_repo::sign::{self, Mechanism};
use std::io::{self, Write};
use std::path::PathBuf;

/// Sign a commit, verify its signatures, or take them away
///
/// Keys: for ed25519 and spki secret ones to sign and public ones to verify.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Verify: at least one signature must be by one of the keys
    #[arg(long, conflicts_with = "delete")]
    verify: bool,
    /// Delete the signatures by these public keys
    #[arg(long, short = 'd')]
    delete: bool,
    /// The type of the keys: ed25519, spki or dummy
    #[arg(long, short = 's', value_name = "NAME", default_value = "ed25519", hide_default_value = true)]
    sign_type: String,
    /// A file of keys
    #[arg(long, value_name = "NAME")]
    keys_file: Vec<PathBuf>,
    /// A directory with files trusted.TYPE and revoked.TYPE, and directories trusted.TYPE.d and revoked.TYPE.d
    #[arg(long, value_name = "NAME")]
    keys_dir: Option<PathBuf>,
    /// The commit
    #[arg(value_name = "COMMIT")]
    commit: String,
    /// Keys
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
}

/// What was done.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commit: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verified: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<usize>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        // One signature that counts is enough.
        self.verified.iter().take(1).try_for_each(|words| writeln!(out, "{words}"))
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let commit = repo.resolve(&args.commit)?;
    let engine = args.sign_type.as_str();
    let key = sign::metadata_key(engine)?;
    let mut keys = args.keys.clone();
    for path in &args.keys_file {
        keys.extend(trust::keys_of_file(engine, path)?);
    }
    let mut done = Outcome { commit: commit.to_hex(), verified: Vec::new(), deleted: None };
    if !args.verify && !args.delete {
        if keys.is_empty() {
            return Err(usage("Need at least one KEY-ID to sign with"));
        }
        let signers: Vec<_> = keys.iter().map(|key| sign::signer(engine, key)).collect::<Result<_, _>>()?;
        repo.sign_commit(commit, &signers)?;
        return Ok(done);
    }
    let mut revoked = Vec::new();
    if let Some(dir) = &args.keys_dir {
        keys.extend(trust::trusted_below(engine, dir)?);
        revoked.extend(trust::revoked_below(engine, dir)?);
    } else if keys.is_empty() {
        for dir in trust::KEY_DIRS {
            keys.extend(trust::trusted_below(engine, dir.as_ref())?);
            revoked.extend(trust::revoked_below(engine, dir.as_ref())?);
        }
    }
    let bytes = repo.store().load_bytes(commit.name())?;
    let verifier = sign::verifier(engine, &keys, &revoked);
    if args.delete {
        let verifier = verifier?;
        let is_unwanted = |signature: &[u8]| {
            verifier.judge(&bytes, &[signature.to_vec()]).iter().any(|judgement| judgement.good_by.is_some())
        };
        done.deleted = Some(repo.delete_signatures(commit, key, &is_unwanted)?);
        return Ok(done);
    }
    let failed = |reason: String| {
        tracing::debug!(%reason, "not verified");
        usage(format!("{reason}: No valid signatures found"))
    };
    let verifier = verifier.map_err(|error| failed(error.to_string()))?;
    let mechanism =
        Mechanism { name: "Signature", option: "sign-verify", engines: vec![verifier], threshold: 1 };
    let beside = repo.store().detached(commit)?.unwrap_or_default();
    done.verified = mechanism.check(&bytes, &beside).map_err(|error| failed(error.to_string()))?;
    Ok(done)
}
