//! How large the objects of a commit are: the value of `ostree.sizes`, by which clients know what they will fetch.

use crate::{Repo, Result, Root, Transaction, leb128};
use sapwood_objstore::{DirTree, ObjectId, ObjectKind, ObjectName, Value};
use std::collections::BTreeMap;

impl Repo {
    /// The size of every object that a tree in an archive repository consists of, in the form of `ostree.sizes`: for each,
    /// in order of ids, 32 bytes of id, size as stored and size of the content as LEB128, and a byte for the kind.
    ///
    /// About 100 bytes of memory are needed for each object.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store).
    pub fn sizes(&self, txn: &Transaction<'_>, root: Root) -> Result<Value> {
        let objects = txn.objects();
        let mut sizes: BTreeMap<(ObjectId, u8), (u64, u64)> = BTreeMap::new();
        let meta = |sizes: &mut BTreeMap<_, _>, name: ObjectName| -> Result<bool> {
            let key = (name.id, name.kind.number());
            if sizes.contains_key(&key) {
                return Ok(false);
            }
            let size = objects.stored_size(name)?;
            sizes.insert(key, (size, size));
            Ok(true)
        };
        meta(&mut sizes, root.meta.name())?;
        let mut pending = vec![root.tree];
        while let Some(tree) = pending.pop() {
            if !meta(&mut sizes, tree.name())? {
                continue;
            }
            let tree: DirTree = objects.load(tree)?;
            for entry in tree.files() {
                let key = (entry.id.raw(), ObjectKind::File.number());
                if let std::collections::btree_map::Entry::Vacant(vacant) = sizes.entry(key) {
                    let size = objects.archived_content_size(entry.id)?;
                    vacant.insert((objects.stored_size(entry.id.name())?, size));
                }
            }
            for entry in tree.dirs() {
                meta(&mut sizes, entry.meta.name())?;
                pending.push(entry.tree);
            }
        }
        let entries = sizes.into_iter().map(|((id, kind), (stored, content))| {
            let mut entry = id.as_bytes().to_vec();
            leb128::write(&mut entry, stored);
            leb128::write(&mut entry, content);
            entry.push(kind);
            entry
        });
        Ok(Value::ByteArrays(entries.collect()))
    }
}
