//! How large the objects of a commit are: the value of `ostree.sizes`, by which clients know what they will fetch.
#![deny(clippy::indexing_slicing)]

use crate::{Repo, Result, Root, Transaction, leb128};
use sapwood_objstore::{Commit, DecodeError, DirTree, ObjectId, ObjectKind, ObjectName, Value};
use std::collections::BTreeMap;

/// The key in a commit's metadata.
pub(crate) const SIZES: &str = "ostree.sizes";

/// How large an object is, as a commit records it. Nothing of it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedSize {
    /// Which object.
    pub name: ObjectName,
    /// Bytes as an archive repository stores it.
    pub stored_bytes: u64,
    /// Bytes of its content.
    pub content_bytes: u64,
}

/// The sizes of objects that a commit records; none if it records none. Of old entries that do not tell the kind, objects
/// are taken for files.
///
/// # Errors
/// Where they are not what OSTree writes.
pub fn recorded_sizes(commit: &Commit) -> std::result::Result<Vec<RecordedSize>, DecodeError> {
    match commit.metadata.get(SIZES) {
        None => Ok(Vec::new()),
        Some(Value::ByteArrays(entries)) => entries.iter().map(|entry| read_size(entry)).collect(),
        Some(_) => Err(DecodeError { offset: 0, what: "sizes of another type" }),
    }
}

fn read_size(entry: &[u8]) -> std::result::Result<RecordedSize, DecodeError> {
    let bad = |what| DecodeError { offset: 0, what };
    let (id, mut rest) = entry.split_at_checked(32).ok_or_else(|| bad("a size without an id"))?;
    let id = ObjectId::from_slice(id).ok_or_else(|| bad("a size without an id"))?;
    let mut number = || leb128::take(&mut rest).ok_or_else(|| bad("a size that is no number"));
    let (stored_bytes, content_bytes) = (number()?, number()?);
    let kind = match rest {
        [] => ObjectKind::File,
        [kind] => ObjectKind::from_number(*kind).ok_or_else(|| bad("a size of an unknown kind"))?,
        _ => return Err(bad("more than two sizes of one object")),
    };
    Ok(RecordedSize { name: ObjectName { kind, id }, stored_bytes, content_bytes })
}

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
                    let size = objects.unpacked_size(entry.id)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use sapwood_objstore::{Id, Metadata};

    fn commit(value: Value) -> Commit {
        let mut metadata = Metadata::default();
        metadata.set(SIZES, value);
        let id = ObjectId::from_bytes([0; 32]);
        Commit {
            metadata,
            parent: None,
            subject: String::new(),
            body: String::new(),
            timestamp: 0,
            tree: Id::new(id),
            meta: Id::new(id),
            totals: None,
        }
    }

    #[test]
    fn sizes_are_read_with_a_kind_and_without_and_nothing_else_is_taken_for_them() {
        let entry = |end: &[u8]| [&[7; 32], end].concat();
        let read = |end: &[u8]| recorded_sizes(&commit(Value::ByteArrays(vec![entry(end)])));
        let sizes = read(&[0x8e, 0x01, 3, 2]).unwrap();
        let name = ObjectName { kind: ObjectKind::DirTree, id: ObjectId::from_bytes([7; 32]) };
        assert_eq!(sizes, [RecordedSize { name, stored_bytes: 142, content_bytes: 3 }]);
        assert_eq!(read(&[1, 1]).unwrap().first().unwrap().name.kind, ObjectKind::File);
        for end in [&[][..], &[1], &[1, 0x80], &[1, 1, 99], &[1, 1, 1, 1], &[0xff; 30]] {
            assert!(read(end).is_err(), "{end:?}");
        }
        assert!(recorded_sizes(&commit(Value::Bool(true))).is_err());
        assert!(recorded_sizes(&commit(Value::ByteArrays(vec![vec![1; 31]]))).is_err());
    }
}
