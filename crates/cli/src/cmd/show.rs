//! `show`: one object.

use super::log;
use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::{Render, human};
use sapwood_objstore::{
    Commit, DirMeta, DirTree, FileType, Id, Metadata, ObjectId, ObjectKind, ObjectName, kind,
};
use sapwood_repo::{LogEntry, Repo};
use serde_json::json;
use std::io::{self, Write};

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
    /// A revision, or the id of an object
    #[arg(value_name = "OBJECT")]
    object: String,
}

/// What is shown.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Commit(log::Outcome),
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

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Commit(log) => log.render(out),
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
    Ok(Outcome::Commit(log::Outcome { entries, raw: args.raw, format: store.format(), order, missing: None }))
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
