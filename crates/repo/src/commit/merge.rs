//! A tree that is put together: directories in memory where something is being changed, stored ones as their ids.
//!
//! What is laid over a stored tree opens only the directories that both have, so memory holds what the sources share, and
//! the names of what comes from archives.

use crate::{Error, Result, Root};
use sapwood_objstore::{
    self as objstore, DirEntry, DirMeta, DirTree, EntryName, FileEntry, Id, Totals, kind,
};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

/// A directory and all below it.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Its attributes; none while nothing has told them.
    pub(crate) meta: Option<Id<DirMeta>>,
    names: Names,
}

#[derive(Debug)]
enum Names {
    Stored(Id<DirTree>),
    Open(BTreeMap<EntryName, Slot>),
}

/// What has a name in a directory.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Anything but a directory, and the size of its content.
    File(Id<kind::File>, u64),
    Dir(Box<Branch>),
}

impl Branch {
    pub(crate) fn new() -> Self {
        Self { meta: None, names: Names::Open(BTreeMap::new()) }
    }

    fn stored(root: Root) -> Self {
        Self { meta: Some(root.meta), names: Names::Stored(root.tree) }
    }

    /// The root, while it is a stored tree as a whole.
    pub(crate) fn as_stored(&self) -> Option<Root> {
        match (self.meta, &self.names) {
            (Some(meta), Names::Stored(tree)) => Some(Root { tree: *tree, meta }),
            _ => None,
        }
    }

    /// The names in it, to be looked at and changed.
    pub(crate) fn open(
        &mut self,
        objects: &objstore::Transaction<'_>,
    ) -> Result<&mut BTreeMap<EntryName, Slot>> {
        if let Names::Stored(tree) = self.names {
            let tree = objects.load(tree)?;
            let files = tree
                .files()
                .iter()
                .map(|entry| (entry.name.clone(), Slot::File(entry.id, entry.size.unwrap_or(0))));
            let dirs = tree.dirs().iter().map(|entry| {
                let branch = Self::stored(Root { tree: entry.tree, meta: entry.meta });
                (entry.name.clone(), Slot::Dir(Box::new(branch)))
            });
            self.names = Names::Open(files.chain(dirs).collect());
        }
        match &mut self.names {
            Names::Open(names) => Ok(names),
            Names::Stored(_) => unreachable!("it was opened just now"),
        }
    }

    /// Lays a stored tree over this one: its files replace files, its directories are merged and give their attributes.
    pub(crate) fn overlay(&mut self, objects: &objstore::Transaction<'_>, over: Root) -> Result<()> {
        self.meta = Some(over.meta);
        match &self.names {
            Names::Open(names) if names.is_empty() => {
                self.names = Names::Stored(over.tree);
                return Ok(());
            }
            Names::Stored(tree) if *tree == over.tree => return Ok(()),
            _ => {}
        }
        let over = objects.load(over.tree)?;
        let names = self.open(objects)?;
        for entry in over.files() {
            put_file(names, entry.name.clone(), entry.id, entry.size.unwrap_or(0))?;
        }
        for entry in over.dirs() {
            let root = Root { tree: entry.tree, meta: entry.meta };
            match names.entry(entry.name.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Slot::Dir(Box::new(Self::stored(root))));
                }
                Entry::Occupied(occupied) => match occupied.into_mut() {
                    Slot::Dir(dir) => dir.overlay(objects, root)?,
                    Slot::File(..) => {
                        return Err(Error::MergeConflict {
                            what: "file with directory",
                            name: entry.name.clone(),
                        });
                    }
                },
            }
        }
        Ok(())
    }

    /// Writes the directories that are open, and returns the root. `written` counts them.
    pub(crate) fn store(
        self,
        objects: &objstore::Transaction<'_>,
        written: &mut dyn FnMut(Id<DirTree>),
    ) -> Result<Root> {
        let meta = self.meta.ok_or(Error::EmptyTree)?;
        let names = match self.names {
            Names::Stored(tree) => return Ok(Root { tree, meta }),
            Names::Open(names) => names,
        };
        let sizes = objects.store().format().records_sizes();
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for (name, slot) in names {
            match slot {
                Slot::File(id, size) => files.push(FileEntry { name, id, size: sizes.then_some(size) }),
                Slot::Dir(branch) => {
                    let Root { tree, meta } = branch.store(objects, written)?;
                    dirs.push(DirEntry { name, tree, meta });
                }
            }
        }
        let tree =
            DirTree::new(files, dirs).map_err(|name| Error::MergeConflict { what: "name twice", name })?;
        let tree = objects.put(&tree)?;
        written(tree);
        Ok(Root { tree, meta })
    }
}

/// Gives a file its name; another file there is replaced.
pub(crate) fn put_file(
    names: &mut BTreeMap<EntryName, Slot>,
    name: EntryName,
    id: Id<kind::File>,
    size: u64,
) -> Result<()> {
    match names.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(Slot::File(id, size));
        }
        Entry::Occupied(mut occupied) => match occupied.get() {
            Slot::Dir(_) => {
                return Err(Error::MergeConflict {
                    what: "directory with file",
                    name: occupied.key().clone(),
                });
            }
            Slot::File(..) => {
                occupied.insert(Slot::File(id, size));
            }
        },
    }
    Ok(())
}

/// Drops from a transaction those of the directories in `written` that the tree does not have: what sources brought before
/// something was laid over it. Only directories written now can lead to others written now. The rest stay in `written`.
pub(crate) fn drop_unused(
    objects: &objstore::Transaction<'_>,
    root: Root,
    written: &mut HashSet<Id<DirTree>>,
) -> Result<()> {
    let mut used = HashSet::new();
    let mut pending = vec![root.tree];
    while let Some(tree) = pending.pop() {
        if written.contains(&tree) && used.insert(tree) {
            pending.extend(objects.load(tree)?.dirs().iter().map(|entry| entry.tree));
        }
    }
    for tree in written.iter().filter(|tree| !used.contains(*tree)) {
        objects.forget(tree.name())?;
    }
    *written = used;
    Ok(())
}

/// What a tree holds, by its directories, which record sizes.
pub(crate) fn totals(objects: &objstore::Transaction<'_>, root: Root) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut pending = vec![root.tree];
    while let Some(tree) = pending.pop() {
        let tree = objects.load(tree)?;
        totals.dirs += 1;
        totals.files += tree.files().len() as u64;
        totals.bytes += tree.files().iter().filter_map(|entry| entry.size).sum::<u64>();
        pending.extend(tree.dirs().iter().map(|entry| entry.tree));
    }
    Ok(totals)
}
