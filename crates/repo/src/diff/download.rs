//! What a client has to fetch that has one commit and wants another.

use crate::commit::recorded_sizes;
use crate::{Error, Repo, Result, Root, WalkEntry};
use sapwood_objstore::{Commit, DirTree, Id, Mode, ObjectId, ObjectKind, ObjectName};
use std::collections::{HashMap, HashSet};

/// What is to be fetched, object by object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Download {
    /// Objects, the commit among them.
    pub objects: u64,
    /// Their sizes in bytes as they are transferred.
    pub bytes: u64,
    /// Files of which it is not known how far they can be compressed: they count with all of their content.
    pub uncompressed: u64,
}

impl Repo {
    /// What a client that has all of one commit fetches for another, without static deltas and without what is beside
    /// objects (requests and answers, signatures, the summary).
    ///
    /// Sizes are those of the archive that this repository is, or those that the commit records. Where neither is there,
    /// files count with their content. About 100 bytes of memory are needed for each object of the first commit.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) where a directory of either is not here, or a file of which the size is
    /// asked for.
    pub fn download_between(&self, from: Id<Commit>, to: Id<Commit>) -> Result<Download> {
        let mut seen = HashSet::from([from.name()]);
        let root = self.root(from)?;
        seen.extend([root.tree.name(), root.meta.name()]);
        for entry in self.walk(root) {
            match entry? {
                WalkEntry::Dir { entry, .. } => seen.extend([entry.tree.name(), entry.meta.name()]),
                WalkEntry::File { entry, .. } => _ = seen.insert(entry.id.name()),
            }
        }
        let commit: Commit = self.store().load(to)?;
        let recorded = recorded_sizes(&commit).map_err(Error::Sizes)?;
        let recorded = recorded.iter().map(|size| (size.name.id, size.stored_bytes)).collect();
        let mut counter = Counter { repo: self, seen, recorded, download: Download::default() };
        counter.take(to.name())?;
        counter.below(Root { tree: commit.tree, meta: commit.meta })?;
        Ok(counter.download)
    }
}

struct Counter<'repo> {
    repo: &'repo Repo,
    /// What is there, or counted.
    seen: HashSet<ObjectName>,
    recorded: HashMap<ObjectId, u64>,
    download: Download,
}

impl Counter<'_> {
    /// A directory that is there is there with all that is below it.
    fn below(&mut self, root: Root) -> Result<()> {
        self.take(root.meta.name())?;
        let mut pending = vec![root.tree];
        while let Some(id) = pending.pop() {
            if !self.take(id.name())? {
                continue;
            }
            let tree: DirTree = self.repo.store().load(id)?;
            for file in tree.files() {
                self.take(file.id.name())?;
            }
            for dir in tree.dirs() {
                self.take(dir.meta.name())?;
                pending.push(dir.tree);
            }
        }
        Ok(())
    }

    /// Counts an object; says whether it was not there.
    fn take(&mut self, name: ObjectName) -> Result<bool> {
        if !self.seen.insert(name) {
            return Ok(false);
        }
        let store = self.repo.store();
        let bytes = match self.recorded.get(&name.id) {
            Some(bytes) => *bytes,
            None if name.kind != ObjectKind::File || store.mode() == Mode::Archive => {
                store.stored_size(name)?
            }
            None => {
                self.download.uncompressed += 1;
                store.content_size(Id::new(name.id))?
            }
        };
        self.download.objects += 1;
        self.download.bytes = self.download.bytes.saturating_add(bytes);
        Ok(true)
    }
}
