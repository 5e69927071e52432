//! `gpg-sign`: signs a commit that is there.

use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::Render;
use sapwood_repo::sign::Signer;
use sapwood_repo::sign::gpg::{GpgSigner, METADATA_KEY};
use std::io::{self, Write};
use std::path::PathBuf;

/// Sign a commit with GPG keys, or take their signatures away
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Delete the signatures by these keys
    #[arg(long, short = 'd')]
    delete: bool,
    /// Where gpg has its keys
    #[arg(long, value_name = "HOMEDIR")]
    gpg_homedir: Option<PathBuf>,
    /// The commit
    #[arg(value_name = "COMMIT")]
    commit: String,
    /// Ids of keys, as gpg takes them
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
}

/// What was done.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    commit: String,
    added: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<usize>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.deleted {
            Some(deleted) => writeln!(out, "Signatures deleted: {deleted}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let commit = repo.resolve(&args.commit)?;
    if args.keys.is_empty() {
        return Err(usage("Need at least one GPG KEY-ID to sign with"));
    }
    let gpg = |key: &String| GpgSigner { key: key.clone(), homedir: args.gpg_homedir.clone() };
    if args.delete {
        // What gpg does not know is taken for the end of an id.
        let mut ids: Vec<String> = args.keys.iter().flat_map(|key| gpg(key).key_ids()).collect();
        ids.extend(args.keys.iter().filter(|key| key.len() >= 8).map(|key| key.to_ascii_uppercase()));
        let any = GpgSigner { key: String::new(), homedir: None };
        let is_unwanted = |signature: &[u8]| {
            any.made_by(signature)
                .is_some_and(|made| ids.iter().any(|id| id.ends_with(&made) || made.ends_with(id)))
        };
        let deleted = repo.delete_signatures(commit, METADATA_KEY, &is_unwanted)?;
        return Ok(Outcome { commit: commit.to_hex(), added: 0, deleted: Some(deleted) });
    }
    let signers: Vec<Box<dyn Signer>> = args.keys.iter().map(|key| Box::new(gpg(key)) as _).collect();
    repo.sign_commit(commit, &signers)?;
    Ok(Outcome { commit: commit.to_hex(), added: signers.len(), deleted: None })
}
