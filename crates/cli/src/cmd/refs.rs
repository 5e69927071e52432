//! `refs`: lists, makes and deletes refs.

use crate::ctx::Ctx;
use crate::report::{OrUsage, usage};
use crate::ui::Render;
use sapwood_objstore::{Commit, Id};
use sapwood_repo::{Expected, RefEdit, RefEntry, RefName, Refspec, Repo};
use std::io::{self, Write};

/// List, make or delete refs
///
/// With PREFIX only refs below that directory of names (or REMOTE: for those of a remote), the prefix cut off.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Delete the refs that match PREFIX
    #[arg(long)]
    delete: bool,
    /// Do not cut the prefix off
    #[arg(long)]
    list: bool,
    /// List aliases; with --create make one
    #[arg(long, short = 'A')]
    alias: bool,
    /// Make a ref that points to the commit (with --alias: follows the ref) that is named
    #[arg(long, value_name = "NEWREF")]
    create: Option<String>,
    /// Let --create replace a ref that is there
    #[arg(long)]
    force: bool,
    /// List also the commit that each ref points to
    #[arg(long, short = 'r')]
    revision: bool,
    /// Which refs, or with --create the commit
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
}

/// Refs that were listed, made or deleted.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    refs: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<String>,
    #[serde(skip)]
    style: Style,
}

#[derive(Debug, serde::Serialize)]
struct Line {
    name: String,
    commit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    #[serde(skip)]
    shown: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Names,
    Aliases,
    Revisions,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in &self.refs {
            match (self.style, &line.alias_of) {
                (Style::Aliases, Some(of)) => writeln!(out, "{} -> {of}", line.shown)?,
                (Style::Revisions, _) => writeln!(out, "{}\t{}", line.shown, line.commit)?,
                _ => writeln!(out, "{}", line.shown)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    if args.delete {
        return delete(args, &repo);
    }
    if let Some(name) = &args.create {
        return create(args, name, &repo);
    }
    let style = match (args.alias, args.revision) {
        (true, _) => Style::Aliases,
        (_, true) => Style::Revisions,
        _ => Style::Names,
    };
    let mut refs = Vec::new();
    for entry in repo.refs()? {
        if args.alias && entry.alias_of.is_none() {
            continue;
        }
        let shown = match args.prefixes.as_slice() {
            [] => Some(entry.name.to_string()),
            prefixes => prefixes.iter().find_map(|prefix| matching(&entry.name, prefix, args.list)),
        };
        refs.extend(shown.map(|shown| line(&entry, shown)));
    }
    Ok(Outcome { refs, created: None, deleted: Vec::new(), style })
}

fn line(entry: &RefEntry, shown: String) -> Line {
    let alias_of = entry.alias_of.as_ref().map(ToString::to_string);
    Line { name: entry.name.to_string(), commit: entry.target.to_hex(), alias_of, shown }
}

/// What is printed of a ref that matches the prefix; `None` if it does not.
fn matching(name: &Refspec, prefix: &str, whole: bool) -> Option<String> {
    let (remote, prefix) = match prefix.split_once(':') {
        Some((remote, prefix)) => (Some(remote), prefix),
        None => (None, prefix),
    };
    if name.remote.as_ref().map(sapwood_repo::RemoteName::as_str) != remote {
        return None;
    }
    let text = name.name.as_str();
    if matches!(prefix, "" | ".") || text == prefix {
        return Some(name.to_string());
    }
    let below = text.strip_prefix(prefix)?.strip_prefix('/')?;
    Some(match remote {
        _ if whole => name.to_string(),
        Some(remote) => format!("{remote}:{below}"),
        None => below.to_owned(),
    })
}

fn delete(args: &Args, repo: &Repo) -> anyhow::Result<Outcome> {
    if args.prefixes.is_empty() {
        return Err(usage("At least one PREFIX is required when deleting refs"));
    }
    let refs = repo.refs()?;
    let goes = |entry: &&RefEntry| args.prefixes.iter().any(|p| matching(&entry.name, p, true).is_some());
    let doomed: Vec<_> = refs.iter().filter(goes).collect();
    // An alias goes before what it follows.
    let (aliases, others): (Vec<_>, Vec<_>) = doomed.iter().partition(|entry| entry.alias_of.is_some());
    let mut deleted = Vec::new();
    for entries in [aliases, others] {
        let edits = entries.iter().map(|entry: &&RefEntry| RefEdit::Delete {
            name: entry.name.clone(),
            expected: if entry.alias_of.is_some() { Expected::Any } else { Expected::At(entry.target) },
        });
        repo.edit_refs(edits.collect())?;
        deleted.extend(entries.iter().map(|entry| entry.name.to_string()));
    }
    Ok(Outcome { refs: Vec::new(), created: None, deleted, style: Style::Names })
}

fn create(args: &Args, name: &str, repo: &Repo) -> anyhow::Result<Outcome> {
    let [target] = args.prefixes.as_slice() else {
        return Err(usage("You must specify a revision when creating a new ref"));
    };
    let refspec = Refspec::parse(name).or_usage(|| format!("Invalid refspec {name}"))?;
    let now = repo.ref_target(&refspec)?;
    let was_alias = || repo.refs().map(|refs| refs.iter().any(|r| r.name == refspec && r.alias_of.is_some()));
    if now.is_some() && !args.force && !(args.alias && was_alias()?) {
        return Err(usage(format!("--create specified but ref {name} already exists")));
    }
    if args.alias && refspec.remote.is_some() {
        return Err(usage("Cannot create alias to remote ref"));
    }
    let edit = if args.alias {
        let of = RefName::new(target)?;
        if repo.ref_target(&Refspec::local(of.clone()))?.is_none() {
            return Err(usage(format!("Cannot create alias to non-existent ref: {target}")));
        }
        RefEdit::Alias { name: refspec.name, of }
    } else {
        let target: Id<Commit> = repo.resolve(target)?;
        RefEdit::Set { name: refspec, expected: now.map_or(Expected::Absent, Expected::At), target }
    };
    repo.edit_refs(vec![edit])?;
    Ok(Outcome { refs: Vec::new(), created: Some(name.to_owned()), deleted: Vec::new(), style: Style::Names })
}
