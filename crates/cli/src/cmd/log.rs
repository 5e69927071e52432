//! `log`: a commit and its parents.

use crate::ctx::Ctx;
use crate::ui::{Render, human};
use sapwood_objstore::Format;
use sapwood_repo::LogEntry;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Show a commit and its parents, newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show each commit as the GVariant it is in OSTree's format
    #[arg(long)]
    raw: bool,
    /// Where to begin
    #[arg(value_name = "REV")]
    revision: String,
}

/// A history, or a part of one.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(super) entries: Vec<Shown>,
    pub(super) style: Style,
    pub(super) format: Format,
    pub(super) order: human::ByteOrder,
    /// A parent that is named but not here.
    pub(super) missing: Option<String>,
}

/// How commits are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// For reading.
    Plain,
    /// As the GVariant that it is in OSTree's format.
    Raw,
    /// Both, one after the other.
    Both,
}

/// A commit with what has to be computed of it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(super) entry: LogEntry,
    pub(super) content: String,
}

impl Shown {
    pub(super) fn new(entry: LogEntry, format: Format) -> Self {
        let content = content_id(&entry.commit, format);
        Self { entry, content }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let commit = &self.entry.commit;
        json!({
            "commit": self.entry.id.to_hex(),
            "parent": commit.parent.map(|id| id.to_hex()),
            "content": self.content,
            "timestamp": commit.timestamp,
            "version": commit.metadata.get_str("version"),
            "subject": commit.subject,
            "body": commit.body,
            "tree": commit.tree.to_hex(),
            "meta": commit.meta.to_hex(),
            "totals": commit.totals.map(|t| json!({ "files": t.files, "dirs": t.dirs, "bytes": t.bytes })),
            "metadata": human::metadata_json(&commit.metadata),
        })
    }
}

/// The id of a commit's tree alone, whatever is said of it: equal for equal trees.
fn content_id(commit: &sapwood_objstore::Commit, format: Format) -> String {
    let mut digest = sapwood_objstore::Digest::new(format, sapwood_objstore::ObjectKind::DirTree);
    digest.update(commit.tree.raw().as_bytes());
    digest.update(commit.meta.raw().as_bytes());
    digest.finish().to_hex()
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let commits: Vec<_> = self.entries.iter().map(Shown::json).collect();
        json!({ "commits": commits, "missing_parent": self.missing }).serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for shown in &self.entries {
            let LogEntry { id, commit } = &shown.entry;
            if self.style != Style::Plain {
                out.write_all(human::raw_commit(*id, commit, self.format, self.order).as_bytes())?;
            }
            if self.style == Style::Plain {
                writeln!(out, "commit {id}")?;
            }
            if self.style != Style::Raw {
                human::commit(&shown.content, commit, out)?;
            }
        }
        if self.missing.is_some() {
            writeln!(out, "<< History beyond this commit not fetched >>")?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let format = repo.store().format();
    let mut history = repo.history(repo.resolve(&args.revision)?);
    let entries = history.by_ref().map(|entry| entry.map(|entry| Shown::new(entry, format)));
    let entries = entries.collect::<Result<_, _>>()?;
    let missing = history.missing().map(|id| id.to_hex());
    let style = if args.raw { Style::Raw } else { Style::Plain };
    Ok(Outcome { entries, style, format, order: human::ByteOrder::Swapped, missing })
}
