//! `summary`: the file that lists all refs.

use crate::ctx::Ctx;
use crate::report::{Usage, usage};
use crate::time;
use crate::ui::{Render, human};
use sapwood_objstore::{Format, Value};
use sapwood_repo::Summary;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Write or view the summary: the file that tells pullers all refs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write it anew
    #[arg(long, short = 'u')]
    update: bool,
    /// View it (also -v)
    #[arg(long)]
    view: bool,
    /// View it as the GVariant it is in OSTree's format
    #[arg(long)]
    raw: bool,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    Readable,
    Raw,
}

impl Outcome {
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

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.shown {
            Shown::Nothing => return Ok(()),
            Shown::Raw => return writeln!(out, "{}", self.raw()),
            Shown::Readable => {}
        }
        for entry in &self.summary.refs {
            writeln!(out, "* {}", entry.name)?;
            writeln!(out, "    Latest Commit ({}):", human::size(entry.commit_bytes))?;
            writeln!(out, "      {}", entry.target)?;
            for (key, value) in entry.metadata.iter() {
                match (key, self.time(value)) {
                    ("ostree.commit.timestamp", Some(at)) => {
                        writeln!(out, "    Timestamp ({key}): {}", time::local(at))?;
                    }
                    ("ostree.commit.version", _) => writeln!(out, "    Version ({key}): {}", text(value))?,
                    _ => writeln!(out, "    {key}: {}", value.to_text())?,
                }
            }
            writeln!(out)?;
        }
        for (key, value) in self.summary.metadata.iter() {
            let name = match key {
                "ostree.summary.mode" => "Repository Mode",
                "ostree.summary.last-modified" => "Last-Modified",
                "ostree.summary.tombstone-commits" => "Has Tombstone Commits",
                "ostree.summary.collection-id" => "Collection ID",
                "ostree.summary.expires" => "Expires",
                _ => {
                    writeln!(out, "{key}: {}", value.to_text())?;
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
    if !args.update && !view && !args.raw {
        let hint = "-v shows it".to_owned();
        return Err(Usage::new("No option specified; use -u to update summary", vec![hint]).into());
    }
    let shown = match (args.raw, view) {
        (true, _) => Shown::Raw,
        (_, true) => Shown::Readable,
        _ => Shown::Nothing,
    };
    if args.update {
        return Ok(Outcome { summary: repo.update_summary()?, format, shown });
    }
    let summary = repo.summary()?.ok_or_else(|| usage("the repository has no summary; -u writes one"))?;
    Ok(Outcome { summary, format, shown })
}
