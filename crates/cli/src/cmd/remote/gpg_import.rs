//! `remote gpg-import`.

use crate::ctx::{Ctx, read_file};
use crate::report::usage;
use crate::trust;
use crate::ui::{Render, warn};
use anyhow::Context as _;
use sapwood_repo::sign::gpg::{Added, Keyring};
use sapwood_repo::{RemoteName, Repo};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

/// Trust GPG keys for a remote
///
/// Without --keyring and --stdin they come from gpg's own public keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take the keys from this file; may be given several times
    #[arg(long, short = 'k', value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// Take them from standard input
    #[arg(long, conflicts_with = "keyring")]
    stdin: bool,
    /// The repository is that of this sysroot
    #[arg(long, value_name = "PATH")]
    sysroot: Option<PathBuf>,
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
    /// Ids of the keys to take; without, all
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
}

/// What was taken.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    remote: String,
    #[serde(flatten)]
    taken: Taken,
}

/// What a remote's keyring had not before.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Taken {
    /// How many keys.
    imported: usize,
    /// Of how many of its keys that they are revoked.
    revoked: usize,
}

impl From<Added> for Taken {
    fn from(Added { keys, revoked }: Added) -> Self {
        Self { imported: keys, revoked }
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        self.taken.say(&self.remote, out)
    }
}

impl Taken {
    pub(super) fn say(self, remote: &str, out: &mut dyn Write) -> io::Result<()> {
        let plural = |count| if count == 1 { "" } else { "s" };
        let Self { imported, revoked } = self;
        writeln!(out, "Imported {imported} GPG key{} to remote \"{remote}\"", plural(imported))?;
        if revoked > 0 {
            writeln!(out, "Revoked {revoked} GPG key{} of remote \"{remote}\"", plural(revoked))?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = super::open(ctx, args.sysroot.as_ref())?;
    let remote = repo.remote(&args.name)?;
    let mut sources = Vec::new();
    if args.stdin {
        let mut bytes = Vec::new();
        io::stdin().take(trust::MAX_KEYRING_BYTES).read_to_end(&mut bytes).context("standard input")?;
        sources.push(bytes);
    }
    for path in &args.keyring {
        sources.push(read_file(path, trust::MAX_KEYRING_BYTES)?);
    }
    if sources.is_empty() {
        sources.push(exported()?);
    }
    let taken = add(&repo, &remote.name, &sources, &args.keys)?.into();
    Ok(Outcome { remote: remote.name.to_string(), taken })
}

/// All public keys that the user's gpg has.
fn exported() -> anyhow::Result<Vec<u8>> {
    let output = std::process::Command::new("gpg").args(["--batch", "--export"]).output();
    let output = output.context("cannot run gpg")?;
    if output.stdout.is_empty() {
        return Err(usage("gpg has no public keys; --keyring and --stdin take others"));
    }
    Ok(output.stdout)
}

/// Adds keys to those of a remote, and revocations of them. An id that none of them has is an error: a keyring without it, empty
/// perhaps, would take the place of the machine's. So is a mere revocation of a key that the remote does not have.
fn add(repo: &Repo, remote: &RemoteName, sources: &[Vec<u8>], ids: &[String]) -> anyhow::Result<Added> {
    let mut offered = Keyring::default();
    for source in sources {
        offered.add(source)?;
    }
    let mut all = Added::default();
    repo.change_remote_keyring(remote, |there| {
        let mut keyring = Keyring::default();
        if let Some(bytes) = there.filter(|bytes| !bytes.is_empty()) {
            keyring.add(&bytes)?;
        }
        // What revokes a key need not come with it.
        let knows = |id: &str| offered.knows(id) || (offered.has_loose_revocations() && keyring.knows(id));
        if let Some(id) = ids.iter().find(|id| !knows(id)) {
            return Err(usage(format!("GPG: Unable to find key \"{id}\"")));
        }
        for source in sources {
            all += keyring.add_some(source, ids)?;
        }
        if offered.is_empty() && keyring.has_loose_revocations() {
            return Err(usage(format!("remote {remote} has no keys of its own that this would revoke")));
        }
        if keyring.has_loose_revocations() {
            warn(&format!("left out what revokes keys that remote {remote} does not have"));
        }
        anyhow::Ok(keyring.to_bytes()?)
    })?;
    Ok(all)
}

/// Adds the keys of a file to those of a remote.
pub(super) fn add_file(repo: &Repo, remote: &RemoteName, path: &Path) -> anyhow::Result<Added> {
    let bytes = read_file(path, trust::MAX_KEYRING_BYTES)?;
    add(repo, remote, &[bytes], &[])
}
