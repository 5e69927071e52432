//! `remote gpg-list-keys`.

use crate::ctx::Ctx;
use crate::trust;
use crate::ui::Render;
use sapwood_repo::sign::gpg::{KeyListing, Keyring, date};
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

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
                json!({
                    "fingerprint": sub.fingerprint, "created": sub.created, "expires": sub.expires,
                    "revoked": sub.revoked,
                })
            });
            let users = key.users.iter().map(|user| json!({ "name": user.name, "revoked": user.revoked }));
            json!({
                "fingerprint": key.fingerprint, "created": key.created, "expires": key.expires,
                "revoked": key.revoked, "users": users.collect::<Vec<_>>(), "subkeys": subkeys.collect::<Vec<_>>(),
            })
        };
        serializer.collect_seq(self.0.iter().map(key))
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for key in &self.0 {
            writeln!(out, "Key: {}{}", key.fingerprint, revoked(key.revoked))?;
            writeln!(out, "  Created: {}", date(key.created))?;
            if let Some(at) = key.expires {
                writeln!(out, "  {}: {}", expires(at), date(at))?;
            }
            for user in &key.users {
                writeln!(out, "  UID: {}{}", user.name, revoked(user.revoked))?;
                if let Some(urls) = &user.directory {
                    writeln!(out, "  Advanced update URL: {}", urls.advanced)?;
                    writeln!(out, "  Direct update URL: {}", urls.direct)?;
                }
            }
            for sub in &key.subkeys {
                writeln!(out, "  Subkey: {}{}", sub.fingerprint, revoked(sub.revoked))?;
                writeln!(out, "    Created: {}", date(sub.created))?;
                if let Some(at) = sub.expires {
                    writeln!(out, "    {}: {}", expires(at), date(at))?;
                }
            }
        }
        Ok(())
    }
}

fn revoked(is: bool) -> &'static str {
    if is { " (revoked)" } else { "" }
}

/// The word for a time at which something ends.
fn expires(at: u64) -> &'static str {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if at <= now { "Expired" } else { "Expires" }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = super::open(ctx, args.sysroot.as_ref())?;
    let mut keyring = Keyring::default();
    match &args.name {
        Some(name) => keyring = trust::own_keyring(&repo, &repo.remote(name)?)?,
        None => trust::add_global(&mut keyring)?,
    }
    Ok(Outcome(keyring.list()))
}
