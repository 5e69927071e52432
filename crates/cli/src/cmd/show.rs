//! `show`: one object.

mod object;
mod sizes;
mod variant;

use super::log;
use crate::ctx::Ctx;
use crate::report::usage;
use crate::trust;
use crate::ui::{Render, human};
use sapwood_objstore::{Commit, Id, Metadata, ObjectId, Value};
use sapwood_repo::sign::gpg::{Keyring, Report, Verdict};
use sapwood_repo::{LogEntry, Repo};
use std::io::{self, Write};
use std::path::PathBuf;

/// Show a commit, or any other object
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Print one value of the commit's metadata
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// List the keys of the commit's metadata
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print one value of the metadata beside the commit
    #[arg(long, value_name = "KEY")]
    print_detached_metadata_key: Option<String>,
    /// List the keys of the metadata beside the commit
    #[arg(long)]
    list_detached_metadata_keys: bool,
    /// Print bytes, of a value that is nothing else, as hexadecimal digits
    #[arg(long)]
    print_hex: bool,
    /// Sum up what the commit says of the sizes of its objects, and of those that are not here
    #[arg(long)]
    print_sizes: bool,
    /// List the commits that are related to the commit, of which there are none since 2011
    #[arg(long)]
    print_related: bool,
    /// Print the file OBJECT as a GVariant of this type
    #[arg(long, value_name = "TYPE")]
    print_variant_type: Option<String>,
    /// Show a commit, or a directory, as the GVariant it is in OSTree's format
    #[arg(long)]
    raw: bool,
    /// Do not reverse the bytes of numbers in metadata, as OSTree does
    #[arg(long, short = 'B')]
    no_byteswap: bool,
    /// Verify with the keys in this directory too
    #[arg(long, value_name = "HOMEDIR")]
    gpg_homedir: Option<PathBuf>,
    /// Verify with the keys of this remote
    #[arg(long, value_name = "REMOTE")]
    gpg_verify_remote: Option<String>,
    /// A revision, or the id of an object
    #[arg(value_name = "OBJECT")]
    object: String,
}

/// What is shown.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Commit {
        #[serde(flatten)]
        log: log::Outcome,
        gpg_signatures: Vec<GpgSignature>,
    },
    Value {
        key: String,
        value: serde_json::Value,
        #[serde(skip)]
        text: String,
    },
    Keys {
        keys: Vec<String>,
    },
    Sizes(sizes::Sizes),
    Related {
        related: Vec<String>,
    },
    Object {
        object: serde_json::Value,
        #[serde(skip)]
        text: String,
    },
}

/// A GPG signature of the commit.
#[derive(Debug, serde::Serialize)]
pub(crate) struct GpgSignature {
    good: bool,
    key: String,
    text: Vec<String>,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Commit { log, gpg_signatures } => {
                log.render(out)?;
                render_signatures(gpg_signatures, out)
            }
            Self::Value { text, .. } => writeln!(out, "{text}"),
            Self::Keys { keys } => keys.iter().try_for_each(|key| writeln!(out, "{key}")),
            Self::Sizes(sizes) => sizes.render(out),
            Self::Related { related } => related.iter().try_for_each(|line| writeln!(out, "{line}")),
            Self::Object { text, .. } => out.write_all(text.as_bytes()),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    if let Some(shown) = metadata(args, &repo)? {
        return Ok(shown);
    }
    let commit = || -> anyhow::Result<(Id<Commit>, Commit)> {
        let id = repo.resolve(&args.object)?;
        Ok((id, repo.store().load(id)?))
    };
    if args.print_related {
        // No decoder of ours takes a commit that has some.
        commit()?;
        return Ok(Outcome::Related { related: Vec::new() });
    }
    if let Some(signature) = &args.print_variant_type {
        return variant::read(&args.object, signature);
    }
    if args.print_sizes {
        return Ok(Outcome::Sizes(sizes::Sizes::of(&repo, &commit()?.1)?));
    }
    let order = args.order();
    let raw = (args.raw || args.no_byteswap).then_some(order);
    if let Ok(id) = ObjectId::from_hex(&args.object)
        && let Some(shown) = object::other_object(&repo, id, raw)?
    {
        return Ok(shown);
    }
    let (id, commit) = commit()?;
    let format = repo.store().format();
    let entries = vec![log::Shown::new(LogEntry { id, commit }, format)];
    let style = match (args.raw, args.no_byteswap) {
        (_, true) => log::Style::Both,
        (true, false) => log::Style::Raw,
        (false, false) => log::Style::Plain,
    };
    let log = log::Outcome { entries, style, format, order, missing: None };
    let gpg_signatures = if style == log::Style::Raw { Vec::new() } else { gpg_signatures(args, &repo, id)? };
    Ok(Outcome::Commit { log, gpg_signatures })
}

impl Args {
    fn order(&self) -> human::ByteOrder {
        if self.no_byteswap { human::ByteOrder::AsStored } else { human::ByteOrder::Swapped }
    }
}

/// What is asked for of the metadata of a commit, or of what stands beside it; as in OSTree, the latter goes first.
fn metadata(args: &Args, repo: &Repo) -> anyhow::Result<Option<Outcome>> {
    let store = repo.store();
    let (key, what, metadata) = if args.print_detached_metadata_key.is_some()
        || (args.list_detached_metadata_keys && args.print_metadata_key.is_none())
    {
        let id = repo.resolve(&args.object)?;
        let detached = store.detached(id)?;
        let detached = detached.ok_or_else(|| usage(format!("No detached metadata for commit {id}")))?;
        (&args.print_detached_metadata_key, "detached metadata key", detached)
    } else if args.print_metadata_key.is_some() || args.list_metadata_keys {
        let commit: Commit = store.load(repo.resolve(&args.object)?)?;
        (&args.print_metadata_key, "metadata key", commit.metadata)
    } else {
        return Ok(None);
    };
    let Some(key) = key else { return Ok(Some(keys(&metadata))) };
    let value = metadata.get(key).ok_or_else(|| usage(format!("No such {what} '{key}'")))?;
    let text = match value {
        Value::Bytes(bytes) if args.print_hex => {
            bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        }
        value => human::value_text(value, store.format(), args.order()),
    };
    Ok(Some(Outcome::Value { key: key.clone(), value: human::value_json(value), text }))
}

fn keys(metadata: &Metadata) -> Outcome {
    let mut keys: Vec<_> = metadata.iter().map(|(key, _)| key.to_owned()).collect();
    keys.sort();
    Outcome::Keys { keys }
}

/// What is to be said of each GPG signature of a commit, by the keys that are trusted here.
fn gpg_signatures(args: &Args, repo: &Repo, id: Id<Commit>) -> anyhow::Result<Vec<GpgSignature>> {
    let keyring = || {
        let mut keyring = Keyring::default();
        match &args.gpg_verify_remote {
            Some(name) => keyring = trust::keyring(repo, &repo.remote(name)?)?,
            None => trust::add_global(&mut keyring)?,
        }
        if let Some(dir) = &args.gpg_homedir {
            trust::add_dir(&mut keyring, dir)?;
        }
        Ok(keyring)
    };
    let reports = trust::reports(repo, id, keyring)?.into_iter();
    let shown = |report: Report| GpgSignature {
        good: report.verdict == Verdict::Good,
        key: report.key_id.clone(),
        text: report.lines(),
    };
    Ok(reports.map(shown).collect())
}

fn render_signatures(signatures: &[GpgSignature], out: &mut dyn Write) -> io::Result<()> {
    if signatures.is_empty() {
        return Ok(());
    }
    let plural = if signatures.len() == 1 { "" } else { "s" };
    writeln!(out, "Found {} signature{plural}:", signatures.len())?;
    for signature in signatures {
        writeln!(out)?;
        signature.text.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}
