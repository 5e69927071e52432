//! `show`: one object.

use super::log;
use crate::ctx::Ctx;
use crate::report::usage;
use crate::trust;
use crate::ui::{Render, human};
use sapwood_objstore::{
    Commit, DirMeta, DirTree, FileType, Id, Metadata, ObjectId, ObjectKind, ObjectName, kind,
};
use sapwood_repo::sign::gpg::{Keyring, METADATA_KEY, Report, Verdict};
use sapwood_repo::sign::signatures;
use sapwood_repo::{LogEntry, Repo};
use serde_json::json;
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
    /// Show a commit as the GVariant it is in OSTree's format
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
            Self::Object { text, .. } => out.write_all(text.as_bytes()),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let store = repo.store();
    let order = if args.no_byteswap { human::ByteOrder::AsStored } else { human::ByteOrder::Swapped };
    let value = |metadata: &Metadata, key: &str, what: &str| match metadata.get(key) {
        Some(value) => Ok(Outcome::Value {
            key: key.to_owned(),
            value: human::value_json(value),
            text: human::value_text(value, store.format(), order),
        }),
        None => Err(usage(format!("No such {what} '{key}'"))),
    };
    let keys = |metadata: &Metadata| {
        let mut keys: Vec<_> = metadata.iter().map(|(key, _)| key.to_owned()).collect();
        keys.sort();
        Outcome::Keys { keys }
    };
    let commit = || -> anyhow::Result<(Id<Commit>, Commit)> {
        let id = repo.resolve(&args.object)?;
        Ok((id, store.load(id)?))
    };
    if let Some(key) = &args.print_metadata_key {
        return value(&commit()?.1.metadata, key, "metadata key");
    }
    if args.list_metadata_keys {
        return Ok(keys(&commit()?.1.metadata));
    }
    if args.print_detached_metadata_key.is_some() || args.list_detached_metadata_keys {
        let id = repo.resolve(&args.object)?;
        let detached = store.detached(id)?;
        let detached = detached.ok_or_else(|| usage(format!("No detached metadata for commit {id}")))?;
        return match &args.print_detached_metadata_key {
            Some(key) => value(&detached, key, "detached metadata key"),
            None => Ok(keys(&detached)),
        };
    }
    if let Ok(raw) = ObjectId::from_hex(&args.object)
        && let Some(shown) = other_object(&repo, raw)?
    {
        return Ok(shown);
    }
    let (id, commit) = commit()?;
    let entries = vec![log::Shown::new(LogEntry { id, commit }, store.format())];
    let log = log::Outcome { entries, raw: args.raw, format: store.format(), order, missing: None };
    let gpg_signatures = if args.raw { Vec::new() } else { gpg_signatures(args, &repo, id)? };
    Ok(Outcome::Commit { log, gpg_signatures })
}

/// What is to be said of each GPG signature of a commit, by the keys that are trusted here.
fn gpg_signatures(args: &Args, repo: &Repo, id: Id<Commit>) -> anyhow::Result<Vec<GpgSignature>> {
    let Some(beside) = repo.store().detached(id)? else { return Ok(Vec::new()) };
    let list = signatures(&beside, METADATA_KEY);
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let mut keyring = Keyring::default();
    match &args.gpg_verify_remote {
        Some(name) => keyring = trust::keyring(repo, &repo.remote(name)?)?,
        None => trust::add_global(&mut keyring)?,
    }
    if let Some(dir) = &args.gpg_homedir {
        trust::add_dir(&mut keyring, dir)?;
    }
    let bytes = repo.store().load_bytes(id.name())?;
    let reports = list.iter().flat_map(|blob| keyring.verify(&bytes, blob));
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

/// An object that is no commit.
fn other_object(repo: &Repo, id: ObjectId) -> anyhow::Result<Option<Outcome>> {
    let store = repo.store();
    let has = |kind| store.contains(ObjectName { kind, id });
    if has(ObjectKind::DirTree)? {
        let tree: DirTree = store.load(Id::new(id))?;
        let files: Vec<_> =
            tree.files().iter().map(|f| json!({ "name": f.name.as_str(), "id": f.id.to_hex() })).collect();
        let dirs = tree
            .dirs()
            .iter()
            .map(|d| json!({ "name": d.name.as_str(), "tree": d.tree.to_hex(), "meta": d.meta.to_hex() }));
        let object =
            json!({ "kind": "dirtree", "id": id.to_hex(), "files": files, "dirs": dirs.collect::<Vec<_>>() });
        return Ok(Some(Outcome::Object { object, text: format!("dirtree {id}\n") }));
    }
    if has(ObjectKind::DirMeta)? {
        let meta: DirMeta = store.load(Id::new(id))?;
        let object = json!({
            "kind": "dirmeta", "id": id.to_hex(), "uid": meta.uid, "gid": meta.gid, "mode": meta.mode,
            "xattrs": human::xattrs(&meta.xattrs),
        });
        return Ok(Some(Outcome::Object { object, text: format!("dirmeta {id}\n") }));
    }
    if has(ObjectKind::File)? {
        return Ok(Some(file(repo, Id::new(id))?));
    }
    Ok(None)
}

fn file(repo: &Repo, id: Id<kind::File>) -> anyhow::Result<Outcome> {
    let file = repo.store().open_file(id)?;
    let header = &file.header;
    let (type_name, type_bits, target) = match &header.file_type {
        FileType::Regular => ("regular", 0o100_000, None),
        FileType::Symlink(target) => ("symbolic link", 0o120_000, Some(target)),
        FileType::Fifo => ("fifo", 0o010_000, None),
        FileType::CharDevice(_) => ("character device", 0o020_000, None),
        FileType::BlockDevice(_) => ("block device", 0o060_000, None),
    };
    let xattrs = human::xattrs(&header.xattrs);
    let size_or_target = match target {
        Some(target) => format!("Target: {target}"),
        None => format!("Size: {}", file.size),
    };
    let text = format!(
        "Object: {id}\nType: file\nFile Type: {type_name}\n{size_or_target}\nMode: 0{:o}\nUid: {}\nGid: {}\nExtended \
         Attributes: {xattrs}\n",
        type_bits | header.mode,
        header.uid,
        header.gid
    );
    let object = json!({
        "kind": "file", "id": id.to_hex(), "type": type_name, "size": file.size, "target": target,
        "uid": header.uid, "gid": header.gid, "mode": header.mode, "xattrs": xattrs,
    });
    Ok(Outcome::Object { object, text })
}
