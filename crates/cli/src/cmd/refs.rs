//! `refs`: lists, makes and deletes refs.

mod log;

use crate::ctx::Ctx;
use crate::report::{OrUsage, usage};
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_objstore::{Commit, Id};
use sapwood_repo::{
    CollectionId, Error, Expected, Namespace, RefEdit, RefEntry, RefName, Refspec, RemoteName, Repo,
};
use std::io::{self, Write};

/// List, make or delete refs
///
/// With PREFIX only refs below that directory of names (or REMOTE: for those of a remote), the prefix cut off. With
/// --collections PREFIX is a collection id, and refs are shown as (COLLECTION-ID, REF).
///
/// `sapwood refs log [REF...]` says where refs were, newest first, since when, and what moved them; `refs --list log` lists
/// refs below the directory log. Where a ref was before its last N moves is also a revision: REF@{N}.
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
    /// Go by collections: those of the repository, of remotes and of refs mirrored from others; --create then makes or
    /// moves a mirrored ref, COLLECTION-ID:REF
    #[arg(long, short = 'c')]
    collections: bool,
    /// Let --create replace a ref that is there
    #[arg(long)]
    force: bool,
    /// Say where refs were: those named, or all
    #[arg(long, conflicts_with_all = ["delete", "list", "alias", "create", "collections", "force", "revision"])]
    log: bool,
    /// List also the commit that each ref points to
    #[arg(long, short = 'r')]
    revision: bool,
    /// Which refs, or with --create the commit
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
}

/// Refs that were listed, made or deleted.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    refs: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<log::Line>>,
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
    /// `None` if it leads nowhere.
    commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
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
        self.log.iter().flatten().try_for_each(|line| line.render(out))?;
        for line in &self.refs {
            match (self.style, &line.alias_of) {
                (Style::Aliases, Some(of)) => writeln!(out, "{} -> {of}", line.shown)?,
                (Style::Revisions, _) => {
                    writeln!(out, "{}\t{}", line.shown, line.commit.as_deref().unwrap_or("-"))?;
                }
                _ => writeln!(out, "{}", line.shown)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    if args.log {
        return Ok(Outcome { log: Some(log::lines(&args.prefixes, &repo)?), ..Default::default() });
    }
    let is_plain =
        !(args.delete || args.list || args.alias || args.collections || args.force || args.revision);
    if log::is_asked_for(&args.prefixes, is_plain && args.create.is_none(), ctx) {
        let names = args.prefixes.get(1..).unwrap_or_default();
        return Ok(Outcome { log: Some(log::lines(names, &repo)?), ..Default::default() });
    }
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
    if args.collections {
        return Ok(Outcome { refs: list_collections(args, &repo)?, style, ..Default::default() });
    }
    // As in OSTree: a repository without them has lost more than empty directories.
    for dir in ["refs/heads", "refs/remotes"] {
        sapwood_fsio::open_dir(repo.dir(), dir).with_context(|| format!("Listing refs: opendir({dir})"))?;
    }
    let prefixes = prefixes(args)?;
    let (good, broken) = repo.survey_refs()?;
    let good = good.iter().map(|entry| (&entry.name, Some(entry.target), &entry.alias_of));
    let broken = broken.iter().map(|broken| (&broken.name, None, &broken.alias_of));
    let mut found: Vec<_> =
        good.chain(broken).filter(|(name, ..)| !matches!(name.namespace, Namespace::Mirror(_))).collect();
    found.sort_by_key(|(name, ..)| *name);
    let mut refs = Vec::new();
    for (name, target, alias_of) in found {
        if args.alias && alias_of.is_none() {
            continue;
        }
        let shown = match prefixes.as_slice() {
            [] => Some(name.to_string()),
            prefixes => prefixes.iter().find_map(|prefix| prefix.shown(name, args.list)),
        };
        let Some(shown) = shown else { continue };
        if target.is_none() {
            tracing::warn!(%name, "a ref that leads nowhere");
        }
        refs.push(line(name, target, alias_of.as_ref(), shown));
    }
    Ok(Outcome { refs, style, ..Default::default() })
}

/// The refs whose collection is known, of the collections that are asked for.
fn list_collections(args: &Args, repo: &Repo) -> anyhow::Result<Vec<Line>> {
    let wanted = collections(args)?;
    let all = repo.collection_refs()?.into_iter();
    let of_wanted = all.filter(|((id, _), _)| wanted.is_empty() || wanted.contains(id));
    Ok(of_wanted
        .filter(|(_, entry)| !args.alias || entry.alias_of.is_some())
        .map(|((id, name), entry)| Line {
            collection: Some(id.to_string()),
            ..line(
                &entry.name,
                Some(entry.target),
                entry.alias_of.as_ref(),
                Refspec::mirrored(id, name).to_string(),
            )
        })
        .collect())
}

fn collections(args: &Args) -> anyhow::Result<Vec<CollectionId>> {
    let id = |text: &String| {
        CollectionId::new(text).or_usage(|| format!("Listing refs: Invalid collection ID {text}"))
    };
    args.prefixes.iter().map(id).collect()
}

fn line(name: &Refspec, target: Option<Id<Commit>>, alias_of: Option<&RefName>, shown: String) -> Line {
    Line {
        name: name.to_string(),
        commit: target.map(|target| target.to_hex()),
        collection: None,
        alias_of: alias_of.map(ToString::to_string),
        shown,
    }
}

/// Which refs are meant: one and those below it, or all of a remote.
#[derive(Debug)]
enum Prefix {
    At(Refspec),
    Remote(RemoteName),
}

/// The prefixes that are given, all of them understood before anything is done about one.
fn prefixes(args: &Args) -> anyhow::Result<Vec<Prefix>> {
    let parse = |text: &String| {
        // As in OSTree, what names all refs of a remote lists them and deletes none.
        let remote = text.strip_suffix('.').unwrap_or(text).strip_suffix(':').filter(|_| !args.delete);
        match remote.map(RemoteName::new) {
            Some(Ok(remote)) => Ok(Prefix::Remote(remote)),
            _ => Refspec::parse(text)
                .map(Prefix::At)
                .or_usage(|| format!("Listing refs: Invalid refspec {text}")),
        }
    };
    args.prefixes.iter().map(parse).collect()
}

impl Prefix {
    /// What is printed of a ref that matches; `None` if it does not.
    fn shown(&self, name: &Refspec, whole: bool) -> Option<String> {
        let prefix = match self {
            Self::Remote(remote) => return (name.remote() == Some(remote)).then(|| name.to_string()),
            Self::At(prefix) => prefix,
        };
        if name == prefix {
            return Some(name.to_string());
        }
        if name.namespace != prefix.namespace {
            return None;
        }
        let below = name.name.as_str().strip_prefix(prefix.name.as_str())?.strip_prefix('/')?;
        Some(match name.remote() {
            _ if whole => name.to_string(),
            Some(remote) => format!("{remote}:{below}"),
            None => below.to_owned(),
        })
    }
}

fn delete(args: &Args, repo: &Repo) -> anyhow::Result<Outcome> {
    if args.prefixes.is_empty() {
        return Err(usage("At least one PREFIX is required when deleting refs"));
    }
    let good = |entry: RefEntry| match entry.alias_of {
        Some(_) => (entry.name, Expected::Any),
        None => (entry.name, Expected::At(entry.target)),
    };
    // With what they are now.
    let doomed: Vec<(Refspec, Expected)> = if args.collections {
        // What is known of a remote is left alone: the next pull would bring it back.
        let wanted = collections(args)?;
        let all = repo.collection_refs()?.into_iter();
        all.filter(|((id, _), entry)| wanted.contains(id) && entry.name.remote().is_none())
            .map(|(_, entry)| good(entry))
            .collect()
    } else {
        let prefixes = prefixes(args)?;
        let goes = |name: &Refspec| prefixes.iter().any(|prefix| prefix.shown(name, true).is_some());
        let (found, broken) = repo.survey_refs()?;
        let found = found.into_iter().filter(|entry| goes(&entry.name)).map(good);
        let broken = broken.into_iter().filter(|broken| goes(&broken.name));
        found.chain(broken.map(|broken| (broken.name, Expected::Any))).collect()
    };
    let deleted = doomed.iter().map(|(name, _)| name.to_string()).collect();
    let edits = doomed.into_iter().map(|(name, expected)| RefEdit::Delete { name, expected });
    repo.edit_refs(edits.collect())?;
    Ok(Outcome { deleted, ..Default::default() })
}

fn create(args: &Args, name: &str, repo: &Repo) -> anyhow::Result<Outcome> {
    let [target] = args.prefixes.as_slice() else {
        return Err(usage("You must specify a revision when creating a new ref"));
    };
    let refspec = if args.collections {
        mirrored(name, repo)?
    } else {
        Refspec::parse(name).or_usage(|| format!("Invalid refspec {name}"))?
    };
    // Refs of collections are carried on: there, OSTree lets each take the place of the last.
    let may_replace = args.force || args.collections;
    let now = match repo.ref_target(&refspec) {
        // What leads nowhere can be replaced all the same.
        Err(Error::MalformedRef { .. }) if may_replace => None,
        found => found?,
    };
    let was_alias = || {
        let (refs, _) = repo.survey_refs()?;
        anyhow::Ok(refs.iter().any(|entry| entry.name == refspec && entry.alias_of.is_some()))
    };
    if now.is_some() && !may_replace && !(args.alias && was_alias()?) {
        return Err(usage(format!("--create specified but ref {name} already exists")));
    }
    if args.alias && !refspec.is_local() {
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
        let nowhere = if may_replace { Expected::Any } else { Expected::Absent };
        RefEdit::Set { name: refspec, expected: now.map_or(nowhere, Expected::At), target }
    };
    repo.edit_refs(vec![edit])?;
    Ok(Outcome { created: Some(name.to_owned()), ..Default::default() })
}

/// The ref that `COLLECTION-ID:REF` names here: one of the repository's own, if that is its collection.
fn mirrored(text: &str, repo: &Repo) -> anyhow::Result<Refspec> {
    let (collection, name) = text.split_once(':').unwrap_or((text, ""));
    let collection =
        CollectionId::new(collection).or_usage(|| format!("Invalid collection ID {collection}"))?;
    let name = RefName::new(name).or_usage(|| format!("Invalid refspec {text}"))?;
    Ok(match &repo.config().collection_id {
        Some(own) if *own == collection => Refspec::local(name),
        _ => Refspec::mirrored(collection, name),
    })
}
