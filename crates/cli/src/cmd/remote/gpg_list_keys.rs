//! `remote gpg-list-keys`.

use crate::ctx::Ctx;
use crate::trust;
use crate::ui::Render;
use sapwood_repo::sign::gpg::{KeyListing, Keyring, date};
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;

/// List the GPG keys that are trusted for a remote, or for all
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The repository is that of this sysroot
    #[arg(long, value_name = "PATH")]
    sysroot: Option<PathBuf>,
    /// The remote; without, the keys that count where a remote has none of its own
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// The keys.
#[derive(Debug)]
pub(crate) struct Outcome(Vec<KeyListing>);

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = |key: &KeyListing| {
            let subkeys = key.subkeys.iter().map(|sub| {
                json!({ "fingerprint": sub.fingerprint, "created": sub.created, "expires": sub.expires })
            });
            json!({
                "fingerprint": key.fingerprint, "created": key.created, "expires": key.expires,
                "users": key.users, "subkeys": subkeys.collect::<Vec<_>>(),
            })
        };
        serializer.collect_seq(self.0.iter().map(key))
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for key in &self.0 {
            writeln!(out, "Key: {}", key.fingerprint)?;
            writeln!(out, "  Created: {}", date(key.created))?;
            if let Some(at) = key.expires {
                writeln!(out, "  Expires: {}", date(at))?;
            }
            for user in &key.users {
                writeln!(out, "  UID: {user}")?;
            }
            for sub in &key.subkeys {
                writeln!(out, "  Subkey: {}", sub.fingerprint)?;
                writeln!(out, "    Created: {}", date(sub.created))?;
                if let Some(at) = sub.expires {
                    writeln!(out, "    Expires: {}", date(at))?;
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = super::open(ctx, args.sysroot.as_ref())?;
    let mut keyring = Keyring::default();
    match &args.name {
        Some(name) => keyring = trust::keyring(&repo, &repo.remote(name)?)?,
        None => trust::add_global(&mut keyring)?,
    }
    Ok(Outcome(keyring.list()))
}
