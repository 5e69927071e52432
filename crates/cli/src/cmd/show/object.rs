//! `show` of what is no commit.

use super::Outcome;
use crate::ui::human;
use sapwood_objstore::{
    DirMeta, DirTree, FileType, Format, Id, MetaObject, ObjectId, ObjectKind, ObjectName, Value, kind,
};
use sapwood_repo::Repo;
use serde_json::json;

/// An object that is no commit; `raw` is how numbers are shown where it is wanted as the GVariant that it is in OSTree's
/// format.
pub(super) fn other_object(
    repo: &Repo,
    id: ObjectId,
    raw: Option<human::ByteOrder>,
) -> anyhow::Result<Option<Outcome>> {
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
        return Ok(Some(Outcome::Object {
            object,
            text: format!("dirtree {id}\n{}", variant(&tree, DIRTREE, raw)),
        }));
    }
    if has(ObjectKind::DirMeta)? {
        let meta: DirMeta = store.load(Id::new(id))?;
        let object = json!({
            "kind": "dirmeta", "id": id.to_hex(), "uid": meta.uid, "gid": meta.gid, "mode": meta.mode,
            "xattrs": human::xattrs(&meta.xattrs),
        });
        return Ok(Some(Outcome::Object {
            object,
            text: format!("dirmeta {id}\n{}", variant(&meta, DIRMETA, raw)),
        }));
    }
    if has(ObjectKind::File)? {
        return Ok(Some(file(repo, Id::new(id))?));
    }
    Ok(None)
}

/// Types of the objects, as OSTree's documentation has them.
const DIRTREE: &str = "(a(say)a(sayay))";
const DIRMETA: &str = "(uuua(ayay))";

/// The line with the GVariant, if it is wanted.
fn variant(object: &impl MetaObject, signature: &str, raw: Option<human::ByteOrder>) -> String {
    let Some(order) = raw else { return String::new() };
    let value = Value::Variant { signature: signature.to_owned(), bytes: object.encode(Format::Ostree) };
    format!("{}\n", human::value_text(&value, Format::Ostree, order))
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
