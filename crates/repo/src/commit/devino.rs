//! Recognising hard links into the repository: which object an inode is.

use crate::Result;
use rayon::prelude::*;
use sapwood_fsio::Stat;
use sapwood_objstore::{Id, ObjectId, ObjectKind, Store, kind};

/// Device and inode of every file object, sorted; 48 bytes for each.
#[derive(Debug)]
pub(crate) struct Devino(Vec<(u64, u64, ObjectId)>);

impl Devino {
    /// One that recognises nothing.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Looks at all file objects of a store, and of its parents.
    pub(crate) fn scan(store: &Store) -> Result<Self> {
        let mut found = Vec::new();
        let mut here = Some(store);
        while let Some(store) = here {
            let shards =
                (0..=u8::MAX).into_par_iter().map(|shard| store.shard_inodes(shard, ObjectKind::File));
            for shard in shards.collect::<std::result::Result<Vec<_>, _>>()? {
                found.extend(shard);
            }
            here = store.parent();
        }
        found.sort_unstable();
        Ok(Self(found))
    }

    /// The object that this inode is.
    pub(crate) fn find(&self, stat: &Stat) -> Option<Id<kind::File>> {
        let at = self.0.binary_search_by(|(dev, ino, _)| (*dev, *ino).cmp(&(stat.dev, stat.ino))).ok()?;
        self.0.get(at).map(|(_, _, id)| Id::new(*id))
    }
}
