//! `summary`: the file that lists all refs.

use super::signing::Signing;
use crate::args::Persona;
use crate::ctx::Ctx;
use crate::report::{OrUsage, Usage, usage};
use crate::time;
use crate::ui::{Render, human};
use sapwood_objstore::{Format, Metadata, Value};
use sapwood_repo::sign::Ed25519;
use sapwood_repo::{Repo, Summary, SummaryRef, Vouching};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// Write or view the summary: the file that tells pullers all refs
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    #[command(flatten)]
    publishing: Publishing,
    /// Write it anew
    #[arg(long, short = 'u')]
    update: bool,
    /// View it (also -v)
    #[arg(long)]
    view: bool,
    /// View it as the GVariant it is in OSTree's format
    #[arg(long)]
    raw: bool,
    /// With -u: say more in it, a value in GVariant's text form; in a repository of a collection, and in a new commit on
    /// the branch ostree-metadata
    #[arg(long, short = 'm', value_name = "KEY=VALUE")]
    add_metadata: Vec<String>,
    /// List the keys of what it says about the repository
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print what it says under this key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
}

/// How a new summary is vouched for.
#[derive(Debug, clap::Args)]
pub(crate) struct Publishing {
    #[command(flatten)]
    signing: Signing,
    /// When a summary is written in a repository with a key set: for how many days clients may take it for the newest; 0 is for
    /// good
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    valid_for: u32,
}

impl Publishing {
    /// Whether summaries are signed.
    pub(crate) fn signs(&self) -> bool {
        self.signing.is_asked_for()
    }

    /// For how long clients may take a summary for the newest, where they are told so.
    pub(crate) fn lasts(&self, repo: &Repo) -> anyhow::Result<Option<Duration>> {
        let is_stated = self.valid_for != 0 && repo.statement()?.is_some();
        Ok(is_stated.then(|| Duration::from_secs(u64::from(self.valid_for) * DAY_SECONDS)))
    }

    /// Writes the summary anew, signed and stated; in a repository of a collection, after a commit that says the same, signed by
    /// the same keys. Where the keys for that are not here, or fail, summary and signatures stay; the commit may be new.
    pub(crate) fn publish(&self, repo: &Repo, facts: &Metadata) -> anyhow::Result<Summary> {
        let signers = self.signing.signers()?;
        let publishers = publishers(repo, &self.signing)?;
        repo.commit_metadata(facts, &signers)?;
        let lasts_seconds = (self.valid_for != 0).then(|| u64::from(self.valid_for) * DAY_SECONDS);
        let by = Vouching { signers: &signers, publishers: &publishers, lasts_seconds };
        Ok(repo.publish_summary(facts, &by)?)
    }
}

/// The summary, as it is now.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) summary: Summary,
    pub(crate) format: Format,
    /// How the text form shows it.
    pub(crate) shown: Shown,
}

/// How a summary is shown as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    Readable,
    Raw,
    Keys,
    /// What is said under a key.
    Key(String),
}

impl Outcome {
    /// Refuses to show what it does not say.
    pub(crate) fn check_key(&self) -> anyhow::Result<()> {
        match &self.shown {
            Shown::Key(key) if self.summary.metadata.get(key).is_none() => {
                Err(usage(format!("No such metadata key '{key}'")))
            }
            _ => Ok(()),
        }
    }

    /// Its GVariant in text; sizes stand in bytes of another order than times, as OSTree shows them.
    fn raw(&self) -> String {
        let dictionary = |metadata| human::dictionary(metadata, self.format, human::ByteOrder::Swapped);
        let mut refs = Vec::new();
        for (at, entry) in self.summary.refs.iter().enumerate() {
            let id = Value::Bytes(entry.target.raw().as_bytes().to_vec()).to_text();
            let (kind, id) = match at {
                0 => ("uint64 ", id.as_str()),
                _ => ("", id.strip_prefix("[byte ").unwrap_or(&id)),
            };
            let open = if at == 0 { "" } else { "[" };
            let name = Value::Str(entry.name.to_string()).to_text();
            refs.push(format!(
                "({name}, ({kind}{}, {open}{id}, {}))",
                entry.commit_bytes.swap_bytes(),
                dictionary(&entry.metadata)
            ));
        }
        let refs = match refs.as_slice() {
            [] => "@a(s(taya{sv})) []".to_owned(),
            refs => format!("[{}]", refs.join(", ")),
        };
        format!("({refs}, {})", dictionary(&self.summary.metadata))
    }

    /// A time of the summary: in OSTree's format they stand in big-endian order, and values are as they stand.
    fn time(&self, value: &Value) -> Option<u64> {
        match value {
            Value::U64(seconds) if self.format == Format::Ostree => Some(seconds.swap_bytes()),
            Value::U64(seconds) => Some(*seconds),
            _ => None,
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refs = self.summary.refs.iter().map(|entry| {
            json!({
                "name": entry.name.as_str(),
                "commit": entry.target.to_hex(),
                "commit_bytes": entry.commit_bytes,
                "timestamp": entry.metadata.get("ostree.commit.timestamp").and_then(|value| self.time(value)),
            })
        });
        let modified = self.summary.metadata.get("ostree.summary.last-modified");
        json!({
            "refs": refs.collect::<Vec<_>>(),
            "last_modified": modified.and_then(|value| self.time(value)),
            "metadata": human::metadata_json(&self.summary.metadata),
        })
        .serialize(serializer)
    }
}

impl Outcome {
    fn render_refs(
        &self,
        out: &mut dyn Write,
        collection: Option<&str>,
        refs: &[SummaryRef],
    ) -> io::Result<()> {
        for entry in refs {
            match collection {
                Some(collection) => writeln!(out, "* ({collection}, {})", entry.name)?,
                None => writeln!(out, "* {}", entry.name)?,
            }
            writeln!(out, "    Latest Commit ({}):", human::size(entry.commit_bytes))?;
            writeln!(out, "      {}", entry.target)?;
            for (key, value) in entry.metadata.iter() {
                match (key, self.time(value)) {
                    ("ostree.commit.timestamp", Some(at)) => {
                        writeln!(out, "    Timestamp ({key}): {}", time::local(at))?;
                    }
                    ("ostree.commit.version", _) => writeln!(out, "    Version ({key}): {}", text(value))?,
                    _ => writeln!(out, "    {key}: {}", value.to_plain_text())?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.shown {
            Shown::Nothing => return Ok(()),
            Shown::Raw => return writeln!(out, "{}", self.raw()),
            Shown::Keys => {
                let mut keys: Vec<_> = self.summary.metadata.iter().map(|(key, _)| key).collect();
                keys.sort_unstable();
                return keys.iter().try_for_each(|key| writeln!(out, "{key}"));
            }
            Shown::Key(key) => {
                let value = self.summary.metadata.get(key);
                return value.map_or(Ok(()), |value| writeln!(out, "{}", value.to_text()));
            }
            Shown::Readable => {}
        }
        self.render_refs(out, self.summary.collection(), &self.summary.refs)?;
        for (collection, refs) in self.summary.collections().unwrap_or_default() {
            self.render_refs(out, Some(&collection), &refs)?;
        }
        for (key, value) in self.summary.metadata.iter() {
            let name = match key {
                "ostree.static-deltas" => {
                    writeln!(out, "Static Deltas ({key}): {}", value.to_plain_text())?;
                    continue;
                }
                "ostree.summary.mode" => "Repository Mode",
                "ostree.summary.last-modified" => "Last-Modified",
                "ostree.summary.tombstone-commits" => "Has Tombstone Commits",
                "ostree.summary.collection-id" => "Collection ID",
                "ostree.summary.expires" => "Expires",
                "ostree.summary.collection-map" => {
                    writeln!(out, "Collection Map ({key}): (printed above)")?;
                    continue;
                }
                _ => {
                    writeln!(out, "{key}: {}", value.to_plain_text())?;
                    continue;
                }
            };
            let value = self.time(value).map_or_else(|| text(value), time::local);
            writeln!(out, "{name} ({key}): {value}")?;
        }
        Ok(())
    }
}

/// A value for reading.
fn text(value: &Value) -> String {
    match value {
        Value::Str(text) => text.clone(),
        Value::Bool(truth) => if *truth { "Yes" } else { "No" }.to_owned(),
        other => other.to_text(),
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let format = repo.store().format();
    let view = args.view || ctx.short_v;
    let shown = shown(args.print_metadata_key.as_deref(), args.list_metadata_keys, args.raw, view);
    if args.update {
        let summary = args.publishing.publish(&repo, &facts(&args.add_metadata)?)?;
        let shown = if ctx.persona == Persona::Ostree { Shown::Nothing } else { shown };
        return Ok(Outcome { summary, format, shown });
    }
    if shown == Shown::Nothing {
        let hint = "-v shows it".to_owned();
        return Err(Usage::new("No option specified; use -u to update summary", vec![hint]).into());
    }
    let summary = repo.summary()?.ok_or_else(|| usage("the repository has no summary; -u writes one"))?;
    summary.collections().map_err(sapwood_repo::Error::Summary)?;
    let outcome = Outcome { summary, format, shown };
    outcome.check_key()?;
    Ok(outcome)
}

/// What the options of viewing come to; the first counts.
pub(crate) fn shown(key: Option<&str>, keys: bool, raw: bool, readable: bool) -> Shown {
    match (key, keys, raw, readable) {
        (Some(key), ..) => Shown::Key(key.to_owned()),
        (_, true, ..) => Shown::Keys,
        (_, _, true, _) => Shown::Raw,
        (_, _, _, true) => Shown::Readable,
        _ => Shown::Nothing,
    }
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The keys that state what the newest summary is, where clients may ask for that: then it is not written without.
fn publishers(repo: &Repo, signing: &Signing) -> anyhow::Result<Vec<Ed25519>> {
    let Some(file) = repo.statement()? else { return Ok(Vec::new()) };
    let role = &file.newest().publishers;
    let mut keys = signing.statement_keys()?;
    keys.retain(|key| key.public().is_some_and(|public| role.keys().contains(&public)));
    let distinct: std::collections::BTreeSet<_> = keys.iter().filter_map(Ed25519::public).collect();
    if distinct.len() < role.threshold() as usize {
        let hint = "--sign-from-file=FILE takes one; `sapwood trust show` lists them".to_owned();
        let message = format!(
            "this repository has a key set: {} of its publishers' keys must sign the summary, and {} are here",
            role.threshold(),
            distinct.len()
        );
        return Err(Usage::new(message, vec![hint]).into());
    }
    Ok(keys)
}

/// What `--add-metadata` gives.
fn facts(pairs: &[String]) -> anyhow::Result<Metadata> {
    let mut facts = Metadata::default();
    for pair in pairs {
        let (key, text) = pair
            .split_once('=')
            .ok_or_else(|| usage(format!("Missing '=' in KEY=VALUE metadata '{pair}'")))?;
        let value = Value::parse(text).or_usage(|| format!("Error parsing variant ‘{text}’"))?;
        facts.set(key, value);
    }
    Ok(facts)
}
