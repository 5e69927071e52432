//! Recording again what the repository has: files and directories of commits, with what is changed of them.

use super::build::TreeBuilder;
use super::modify::{Changes, Rules};
use crate::{Error, Result, Root, pool};
use rayon::prelude::*;
use sapwood_fsio::Kind;
use sapwood_objstore::{
    self as objstore, DirEntry, DirMeta, DirTree, FileEntry, FileType, Id, Mode, Xattrs, kind,
};
use std::sync::PoisonError;

/// A file that was recorded again.
pub(crate) struct Restored {
    pub(crate) id: Id<kind::File>,
    pub(crate) size: u64,
}

/// Records a file again. Its content is read only if something of it is different.
pub(crate) fn file(
    objects: &objstore::Transaction<'_>,
    rules: &Rules,
    id: Id<kind::File>,
    changes: &Changes,
) -> Result<Restored> {
    let store = objects.store();
    let mut object = store.open_file(id)?;
    let old = object.header.clone();
    let found = super::modify::Found { uid: old.uid, gid: old.gid, mode: old.mode };
    let xattrs = if rules.xattrs { old.xattrs.clone() } else { Xattrs::default() };
    let new = rules.file(found, old.file_type.clone(), xattrs, changes);
    if new == old {
        return Ok(Restored { id, size: object.size });
    }
    let id = objects.put_file(&new, object.size, &mut object.content)?;
    Ok(Restored { id, size: object.size })
}

/// Records a tree again; `None` if a list says to skip all of it.
pub(crate) fn restore(builder: &mut TreeBuilder<'_>, root: Root) -> Result<Option<Root>> {
    if builder.rules.lists().skips(|| "/".to_owned()) {
        return Ok(None);
    }
    // The threads of the pool have stacks for the deepest tree.
    let threads = builder.options.threads;
    let mut restored = Err(Error::EmptyTree);
    pool::run(threads, |_| restored = dir(builder, root, "", 1))?;
    restored.map(Some)
}

fn dir(builder: &mut TreeBuilder<'_>, root: Root, path: &str, depth: usize) -> Result<Root> {
    if depth > builder.options.max_depth {
        return Err(Error::TooDeep { limit: builder.options.max_depth });
    }
    let (objects, rules) = (builder.objects, &builder.rules);
    let meta: DirMeta = objects.load(root.meta)?;
    let own = || if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    let changes = rules.changes(Kind::Dir, own)?;
    let xattrs = if rules.xattrs { meta.xattrs } else { Xattrs::default() };
    let found = super::modify::Found { uid: meta.uid, gid: meta.gid, mode: meta.mode };
    let meta = objects.put(&rules.dir(found, xattrs, &changes))?;

    let tree: DirTree = objects.load(root.tree)?;
    let below = |name: &objstore::EntryName| format!("{path}/{name}");
    let files = tree.files().par_iter().filter(|entry| !rules.lists().skips(|| below(&entry.name)));
    let files: Vec<FileEntry> = files
        .map(|entry| {
            let kind = kind_of(builder, entry)?;
            let changes = rules.changes(kind, || below(&entry.name))?;
            let Restored { id, size } = file(objects, rules, entry.id, &changes)?;
            let size = entry.size.map(|_| size);
            Ok(FileEntry { name: entry.name.clone(), id, size })
        })
        .collect::<Result<_>>()?;
    builder.counts.dirs += 1;
    builder.counts.trees += 1;
    builder.counts.files += files.len() as u64;

    let mut dirs = Vec::with_capacity(tree.dirs().len());
    for entry in tree.dirs() {
        let path = format!("{path}/{}", entry.name);
        if builder.rules.lists().skips(|| path.clone()) {
            continue;
        }
        let Root { tree, meta } =
            dir(builder, Root { tree: entry.tree, meta: entry.meta }, &path, depth + 1)?;
        dirs.push(DirEntry { name: entry.name.clone(), tree, meta });
    }
    let tree = DirTree::new(files, dirs).map_err(|name| Error::MergeConflict { what: "name twice", name })?;
    let tree = builder.objects.put(&tree)?;
    builder.written.lock().unwrap_or_else(PoisonError::into_inner).insert(tree);
    Ok(Root { tree, meta })
}

/// The kind of a file, which a policy may ask for.
fn kind_of(builder: &TreeBuilder<'_>, entry: &FileEntry) -> Result<Kind> {
    if builder.options.labels.is_none() || builder.repo.store().mode() == Mode::BareUserOnly {
        return Ok(Kind::File);
    }
    Ok(match builder.objects.store().open_file(entry.id)?.header.file_type {
        FileType::Regular => Kind::File,
        FileType::Symlink(_) => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharDevice(_) => Kind::CharDevice,
        FileType::BlockDevice(_) => Kind::BlockDevice,
    })
}
