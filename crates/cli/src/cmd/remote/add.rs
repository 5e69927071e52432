//! `remote add`.

use super::gpg_import::{self, Taken};
use crate::args::Persona;
use crate::ctx::Ctx;
use crate::report::{OrUsage, usage};
use crate::ui::{Render, warn};
use sapwood_repo::sign::ENGINES;
use sapwood_repo::sign::gpg::Added;
use sapwood_repo::{RefName, Remote, RemoteName, Repo};
use std::io::{self, Write};
use std::path::PathBuf;

/// Add a remote
///
/// Unless --no-gpg-verify is given, pulling from it needs GPG signatures, as in OSTree.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Set a key of its configuration
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Do not ask for GPG signatures
    #[arg(long)]
    no_gpg_verify: bool,
    /// Do not ask for other signatures
    #[arg(long)]
    no_sign_verify: bool,
    /// Require signatures by this key
    #[arg(long, value_name = "TYPE=inline:KEY or TYPE=file:PATH")]
    sign_verify: Vec<String>,
    /// Trust the GPG keys in this file for it
    #[arg(long, value_name = "FILE")]
    gpg_import: Vec<PathBuf>,
    /// Leave a remote of that name as it is; keys to import are added to those it has
    #[arg(long, conflicts_with = "force")]
    if_not_exists: bool,
    /// Replace a remote of that name
    #[arg(long)]
    force: bool,
    /// Where objects are, if elsewhere
    #[arg(long, value_name = "URL")]
    contenturl: Option<String>,
    /// The id of the collection that its refs belong to
    #[arg(long, value_name = "COLLECTION-ID")]
    collection_id: Option<String>,
    /// The program that pulls from it
    #[arg(long, value_name = "NAME")]
    custom_backend: Option<String>,
    /// Add it to the repository of this sysroot
    #[arg(long, value_name = "PATH")]
    sysroot: Option<PathBuf>,
    /// What it is called here
    #[arg(value_name = "NAME")]
    name: String,
    /// http://, https:// or file://, or mirrorlist= or metalink= before the address of such a list
    #[arg(value_name = "URL", required_unless_present = "custom_backend")]
    url: Option<String>,
    /// The refs that are pulled when none are named
    #[arg(value_name = "BRANCH")]
    branches: Vec<String>,
}

/// The remote that is there now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    name: String,
    url: String,
    added: bool,
    #[serde(flatten)]
    taken: Option<Taken>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        self.taken.map_or(Ok(()), |taken| taken.say(&self.name, out))
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    if args.no_sign_verify && !args.sign_verify.is_empty() {
        return Err(usage("Cannot specify both --sign-verify and --no-sign-verify"));
    }
    let name = RemoteName::new(&args.name).or_usage(|| format!("Invalid remote name {}", args.name))?;
    let mut repo = super::open(ctx, args.sysroot.as_ref())?;
    let there = repo.remotes()?.into_iter().find(|remote| remote.name == name);
    let there = there.filter(|_| args.if_not_exists);
    let added = there.is_none();
    let url = match there {
        Some(there) => there.url,
        None => add(args, &name, &mut repo)?,
    };
    let mut imported: Option<Added> = None;
    for path in &args.gpg_import {
        *imported.get_or_insert_default() += gpg_import::add_file(&repo, &name, path)?;
    }
    if added && ctx.persona == Persona::Sapwood {
        warn_if_open(&repo.remote(&args.name)?);
    }
    Ok(Outcome { name: args.name.clone(), url, added, taken: imported.map(Taken::from) })
}

/// Writes its configuration; gives the address, as it was given.
fn add(args: &Args, name: &RemoteName, repo: &mut Repo) -> anyhow::Result<String> {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut set = |key: &str, value: &str| options.push((key.to_owned(), value.to_owned()));
    let given = args.url.as_deref().unwrap_or_default();
    let metalink = given.strip_prefix("metalink=");
    if let Some(url) = metalink {
        set("metalink", url);
    }
    if let Some(backend) = &args.custom_backend {
        set("custom-backend", backend);
    }
    if let Some(url) = &args.contenturl {
        set("contenturl", url);
    }
    if !args.branches.is_empty() {
        args.branches.iter().try_for_each(|branch| RefName::new(branch).map(drop))?;
        set("branches", &args.branches.iter().fold(String::new(), |list, branch| list + branch + ";"));
    }
    for text in &args.set {
        let (key, value) =
            text.split_once('=').ok_or_else(|| usage(format!("Missing '=' in --set={text}")))?;
        set(key, value);
    }
    if args.no_gpg_verify || args.no_sign_verify {
        set("gpg-verify", "false");
    }
    if args.no_sign_verify {
        set("sign-verify", "false");
    }
    set_sign_verify(&args.sign_verify, &mut set)?;
    if let Some(id) = &args.collection_id {
        set("collection-id", id);
    }
    let url = if metalink.is_some() { "" } else { given };
    repo.add_remote(name, url, &options, args.force)?;
    Ok(given.to_owned())
}

/// Sets the keys for `TYPE=inline:KEY` and `TYPE=file:PATH`; the engines named are those that verify.
fn set_sign_verify(texts: &[String], set: &mut impl FnMut(&str, &str)) -> anyhow::Result<()> {
    let mut engines: Vec<&str> = Vec::new();
    for text in texts {
        let parts = text.split_once('=').and_then(|(engine, key)| Some((engine, key.split_once(':')?)));
        let Some((engine, (kind, value))) = parts else {
            return Err(usage(format!("Failed to parse KEYTYPE=[inline|file]:DATA in --sign-verify={text}")));
        };
        if !["inline", "file"].contains(&kind) {
            return Err(usage(format!("Invalid key reference {kind}:{value}, expected file|inline")));
        }
        if !ENGINES.contains(&engine) {
            return Err(usage(format!("Requested signature type is not implemented: {engine}")));
        }
        let suffix = if kind == "inline" { "key" } else { "file" };
        set(&format!("verification-{engine}-{suffix}"), value);
        if !engines.contains(&engine) {
            engines.push(engine);
        }
    }
    if !engines.is_empty() {
        set("sign-verify", &format!("{};", engines.join(";")));
    }
    Ok(())
}

/// Says what it means that nothing is verified.
fn warn_if_open(remote: &Remote) {
    let signs = |key| remote.option(key).is_some_and(|value| !matches!(value.trim(), "false" | "0" | "no"));
    let proven = remote.option("trust-root").is_some();
    if !remote.flag("gpg-verify", true) && !signs("sign-verify") && !proven {
        warn(&format!(
            "no signatures are verified for remote {}: whoever controls the server or the way to it decides what is pulled",
            remote.name
        ));
    }
}
