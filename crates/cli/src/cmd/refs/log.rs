//! `refs log`: where refs were, since when, and what moved them.

use crate::ctx::Ctx;
use crate::report::OrUsage;
use crate::time;
use sapwood_repo::{CollectionId, RefMove, RefName, Refspec, Repo};
use std::io::{self, Write};

/// How much of an id is shown of where a ref was before.
const SHORT: usize = 12;

/// A move of a ref, as it is told.
#[derive(Debug, serde::Serialize)]
pub(super) struct Line {
    #[serde(rename = "ref")]
    name: String,
    old: Option<String>,
    new: Option<String>,
    time: u64,
    command: String,
}

impl Line {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let short = |id: &String| id.chars().take(SHORT).collect::<String>();
        let to = match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{new} (was {})", short(old)),
            (None, Some(new)) => format!("{new} (new)"),
            (old, None) => format!("deleted (was {})", old.as_ref().map(short).unwrap_or_default()),
        };
        writeln!(out, "{}  {}  {}  {to}", time::utc(self.time), self.command, self.name)
    }
}

/// The moves that are remembered, newest first: of all refs, or of those that are named.
pub(super) fn lines(names: &[String], repo: &Repo) -> anyhow::Result<Vec<Line>> {
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(parse(name)?);
    }
    let moves = repo.ref_moves()?.into_iter();
    Ok(moves.filter(|moved| wanted.is_empty() || wanted.contains(&moved.name)).map(line).collect())
}

/// A ref that is named `NAME`, `REMOTE:NAME`, or as it is shown where a collection has it: `(COLLECTION-ID, NAME)`.
fn parse(text: &str) -> anyhow::Result<Refspec> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    if let Some((collection, name)) = inner.and_then(|inner| inner.split_once(", ")) {
        let collection =
            CollectionId::new(collection).or_usage(|| format!("Invalid collection ID {collection}"))?;
        return Ok(Refspec::mirrored(collection, RefName::new(name)?));
    }
    Refspec::parse(text).or_usage(|| format!("Invalid refspec {text}"))
}

fn line(moved: RefMove) -> Line {
    Line {
        name: moved.name.to_string(),
        old: moved.old.map(|id| id.to_hex()),
        new: moved.new.map(|id| id.to_hex()),
        time: moved.at,
        command: moved.command,
    }
}

/// Whether the words ask for the log. Under OSTree's name, and with any option, `log` is the beginning of names.
pub(super) fn is_asked_for(words: &[String], plain: bool, ctx: &Ctx) -> bool {
    plain && ctx.persona == crate::args::Persona::Sapwood && words.first().is_some_and(|word| word == "log")
}
