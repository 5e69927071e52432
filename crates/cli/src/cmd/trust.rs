//! `trust`: who may say which state of a repository is the newest, and what was seen of remotes that say it.

use super::signing::secret_keys;
use crate::ctx::{Ctx, open_parent};
use crate::report::{Usage, usage};
use crate::ui::{Render, show as emit};
use crate::{time, trust};
use anyhow::Context as _;
use sapwood_fsio::Staged;
use sapwood_repo::sign::Ed25519;
use sapwood_repo::statement::{Key, KeySet, Role, StatementFile};
use sapwood_repo::{RemoteName, Repo};
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;

/// Protect a repository's clients against old states that are offered as new ones
///
/// A key set says who the owners are, who may replace it, and who the publishers, who state with each summary that it is the
/// newest. Clients are told the id of the first key set: `sapwood remote add --set=trust-root=ID NAME URL`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    NewKey(NewKeyArgs),
    Init(InitArgs),
    Rotate(RotateArgs),
    Show(ShowArgs),
    Forget(ForgetArgs),
}

/// Make a key of Ed25519: the secret half goes to a file, the public one is printed
#[derive(Debug, clap::Args)]
struct NewKeyArgs {
    /// Where the secret half goes; the file must not be there
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Begin a key set in a repository that has none
#[derive(Debug, clap::Args)]
struct InitArgs {
    /// A public key that may replace the key set (may be repeated); it is best kept where no network is
    #[arg(long, value_name = "KEY", required = true)]
    owner: Vec<String>,
    /// A public key that states what is newest (may be repeated)
    #[arg(long, value_name = "KEY", required = true)]
    publisher: Vec<String>,
    /// How many owners must agree
    #[arg(long, value_name = "N", default_value_t = 1)]
    owner_threshold: u32,
    /// How many publishers must agree
    #[arg(long, value_name = "N", default_value_t = 1)]
    publisher_threshold: u32,
}

/// Replace the key set, as its owners and the new ones agree; what is not given stays
#[derive(Debug, clap::Args)]
struct RotateArgs {
    /// A public key that may replace the key set from now on (may be repeated)
    #[arg(long, value_name = "KEY")]
    owner: Vec<String>,
    /// A public key that states what is newest from now on (may be repeated)
    #[arg(long, value_name = "KEY")]
    publisher: Vec<String>,
    /// How many owners must agree from now on
    #[arg(long, value_name = "N")]
    owner_threshold: Option<u32>,
    /// How many publishers must agree from now on
    #[arg(long, value_name = "N")]
    publisher_threshold: Option<u32>,
    /// A file with the secret key of an owner, old or new (may be repeated)
    #[arg(long, value_name = "FILE", required = true)]
    sign_from_file: Vec<PathBuf>,
}

/// Show the key set of this repository, or what was seen of a remote
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The remote
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
}

/// Forget what was seen of a remote, so that an older state is taken again
#[derive(Debug, clap::Args)]
struct ForgetArgs {
    /// The remote
    #[arg(value_name = "REMOTE")]
    remote: String,
}

/// What is there now: lines of a name and a value.
#[derive(Debug)]
struct Outcome {
    lines: Vec<(&'static str, String)>,
    remarks: Vec<String>,
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serde_json::Map::new();
        for (name, value) in &self.lines {
            let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
            // Of these there may be several.
            if matches!(*name, "Owner" | "Publisher") {
                let list =
                    object.entry(format!("{}s", name.to_ascii_lowercase())).or_insert_with(|| json!([]));
                list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
            } else {
                object.insert(name.to_ascii_lowercase().replace(' ', "_"), value);
            }
        }
        object.serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        self.lines.iter().try_for_each(|(name, value)| writeln!(out, "{name}: {value}"))
    }
    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<u8> {
    let outcome = match &args.command {
        Command::NewKey(args) => new_key(args)?,
        Command::Init(args) => init(args, &ctx.open_repo()?)?,
        Command::Rotate(args) => rotate(args, &ctx.open_repo()?)?,
        Command::Show(args) => show(args, &ctx.open_repo()?)?,
        Command::Forget(args) => forget(args, &ctx.open_repo()?)?,
    };
    emit(&outcome, ctx.json)
}

fn new_key(args: &NewKeyArgs) -> anyhow::Result<Outcome> {
    let (secret, public) = Ed25519::generate(&chance()?);
    let (dir, name) = open_parent(&args.file)?;
    // Nobody else may read it, and none that is there is lost.
    let mut file = Staged::create_named(&dir, &name)?;
    writeln!(file, "{secret}").with_context(|| args.file.display().to_string())?;
    file.sync()?;
    drop(file.keep()?);
    sapwood_fsio::sync_dir(&dir)?;
    Ok(Outcome { lines: vec![("Public key", public)], remarks: Vec::new() })
}

/// 32 bytes that nobody can guess.
fn chance() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let count = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    anyhow::ensure!(count == bytes.len(), "the system gives no random numbers");
    Ok(bytes)
}

fn role(threshold: u32, keys: &[String]) -> anyhow::Result<Role> {
    let keys: Vec<Key> = keys.iter().map(|key| Ed25519::public_key(key)).collect::<Result<_, _>>()?;
    Role::new(threshold, keys)
        .ok_or_else(|| usage("a threshold is from 1 to the number of keys, which are 64 at most"))
}

fn init(args: &InitArgs, repo: &Repo) -> anyhow::Result<Outcome> {
    let first = KeySet {
        repository: chance()?,
        version: 1,
        owners: role(args.owner_threshold, &args.owner)?,
        publishers: role(args.publisher_threshold, &args.publisher)?,
    };
    let file = repo.change_statement(|file| {
        if file.is_some() {
            let hint = "`sapwood trust rotate` replaces it; `sapwood trust show` shows it".to_owned();
            return Err(anyhow::Error::from(Usage::new("the repository has a key set already", vec![hint])));
        }
        Ok(StatementFile::begin(first))
    })?;
    Ok(shown(&file))
}

fn rotate(args: &RotateArgs, repo: &Repo) -> anyhow::Result<Outcome> {
    let signers = secret_keys(&args.sign_from_file)?;
    let replaced = |old: &Role, keys: &[String], threshold: Option<u32>| {
        let threshold = threshold.unwrap_or_else(|| old.threshold());
        if keys.is_empty() {
            let same = Role::new(threshold, old.keys().iter().copied());
            return same.ok_or_else(|| usage("a threshold is from 1 to the number of keys"));
        }
        role(threshold, keys)
    };
    let file = repo.change_statement(|file| {
        let mut file = file.ok_or_else(no_key_set)?;
        let owners = replaced(&file.newest().owners, &args.owner, args.owner_threshold)?;
        let publishers = replaced(&file.newest().publishers, &args.publisher, args.publisher_threshold)?;
        file.rotate(owners, publishers, &signers)?;
        Ok::<_, anyhow::Error>(file)
    })?;
    Ok(shown(&file))
}

fn no_key_set() -> anyhow::Error {
    let hint = "`sapwood trust init` begins one".to_owned();
    Usage::new("the repository has no key set", vec![hint]).into()
}

fn show(args: &ShowArgs, repo: &Repo) -> anyhow::Result<Outcome> {
    let Some(remote) = &args.remote else {
        return Ok(shown(&repo.statement()?.ok_or_else(no_key_set)?));
    };
    let remote = repo.remote(remote)?;
    let seen = match trust::freshness(repo, &remote)? {
        Some(freshness) => freshness.seen,
        None => repo.own_seen(&remote.name)?,
    };
    let Some(seen) = seen else {
        return Ok(Outcome {
            lines: Vec::new(),
            remarks: vec![format!("nothing was seen of {}", remote.name)],
        });
    };
    let key_set = seen.key_set()?;
    let mut lines = vec![("Root", hex(&seen.root)), ("Key set", key_set.version.to_string())];
    lines.extend([("Counter", seen.counter.to_string()), ("Made", time::local(seen.made))]);
    Ok(Outcome { lines, remarks: Vec::new() })
}

fn forget(args: &ForgetArgs, repo: &Repo) -> anyhow::Result<Outcome> {
    let name = RemoteName::new(&args.remote)?;
    let forgot = repo.forget(&name)?;
    let remote = repo.remote(name.as_str()).ok();
    let freshness = remote.and_then(|remote| trust::freshness(repo, &remote).ok().flatten());
    let remarks = if freshness.is_some_and(|freshness| freshness.seen.is_some()) {
        vec![format!(
            "a repository that this one looks into (core.parent) knows {name} still: forget it there"
        )]
    } else if forgot {
        vec![format!("forgot what was seen of {name}: an older state of it will be taken once")]
    } else {
        vec![format!("nothing was seen of {name}")]
    };
    Ok(Outcome { lines: Vec::new(), remarks })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn shown(file: &StatementFile) -> Outcome {
    let newest = file.newest();
    let mut lines = vec![("Root", hex(&file.first().id())), ("Key set", newest.version.to_string())];
    for (role, key, threshold) in
        [(&newest.owners, "Owner", "Owners needed"), (&newest.publishers, "Publisher", "Publishers needed")]
    {
        lines.extend(role.keys().iter().map(|public| (key, Ed25519::public_text(public))));
        lines.push((threshold, role.threshold().to_string()));
    }
    if let Some(statement) = file.statement() {
        lines.push(("Counter", statement.counter.to_string()));
        lines.push(("Made", time::local(statement.made)));
        lines.push(("Expires", statement.expires.map_or_else(|| "never".to_owned(), time::local)));
    }
    let mut remarks = Vec::new();
    if !file.is_stated() {
        remarks.push(
            "its publishers have not signed a summary yet: `sapwood summary --update --sign-from-file=FILE` does; until \
             then clients that ask for it are refused"
                .to_owned(),
        );
    }
    Outcome { lines, remarks }
}
