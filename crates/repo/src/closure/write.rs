//! Writing closures when the summary is, and removing those of commits that are gone.

use super::{ClosureDirs, ClosureFile, ClosureHead, DIR, closure_path, encode_closure};
use crate::ids::{Ids, Spill};
use crate::tree::MAX_DEPTH;
use crate::{Error, Repo, Result, pool};
use rayon::prelude::*;
use sapwood_fsio::{At, Kind};
use sapwood_objstore::{Commit, DirMeta, DirTree, Format, Id, Mode, ObjectId};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

/// How a zstd frame begins: RFC 8878, section 3.1.1.
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Memory for the ids of files while a closure is made; what is more goes to a file in `tmp`.
const MEMORY_BYTES: u64 = 64 << 20;

impl Repo {
    /// Writes the closures of these commits, where there are none yet and others may fetch from here, and removes those of
    /// commits that are gone. A commit that is not all here gets none. For a caller that holds the repository's lock.
    ///
    /// That one cannot be written is no reason to go without a summary: clients do without it.
    pub(crate) fn renew_closures(&self, commits: &[Id<Commit>]) {
        if let Err(error) = self.remove_closures_of_lost() {
            tracing::warn!(%error, "closures of commits that are gone stay");
        }
        let config = self.config();
        if config.format != Format::Native || config.mode != Mode::Archive {
            return;
        }
        for commit in commits {
            if let Err(error) = self.renew_closure(*commit) {
                tracing::warn!(%commit, %error, "a commit without a closure");
            }
        }
    }

    fn renew_closure(&self, commit: Id<Commit>) -> Result<()> {
        let path = closure_path(commit);
        if self.is_closure_whole(&path)? || self.is_partial(commit)? {
            return Ok(());
        }
        let bytes = self.closure_of(commit)?;
        sapwood_fsio::ensure_dir(self.dir(), DIR, 0o755)?;
        crate::write::replace(self.dir(), &path, &bytes, self.config().fsync)
    }

    /// Whether there is a closure that looks whole: both frames begin where they should, and the end is not missing. Where
    /// nothing is synced, a power loss can leave one that is empty, cut or zeros; to read all of each, each time, would cost
    /// more than that is worth.
    fn is_closure_whole(&self, path: &str) -> Result<bool> {
        let Some(file) = sapwood_fsio::open_file_optional(self.dir(), path)? else { return Ok(false) };
        let whole = || -> io::Result<bool> {
            let bytes_at = |offset| {
                let mut bytes = [0; 4];
                file.read_exact_at(&mut bytes, offset).map(|()| bytes)
            };
            let mut head = [0; ClosureHead::BYTES];
            file.read_exact_at(&mut head, 0)?;
            let Ok(head) = ClosureHead::decode(head) else { return Ok(false) };
            let begins = [ClosureHead::BYTES as u64, head.dirs_end()];
            let end = file.metadata()?.len().saturating_sub(4);
            let has_frames = bytes_at(begins[0])? == FRAME_MAGIC && bytes_at(begins[1])? == FRAME_MAGIC;
            Ok(has_frames && bytes_at(end)? != [0; 4])
        };
        match whole() {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            other => Ok(other.at("read", path)?),
        }
    }

    fn closure_of(&self, commit: Id<Commit>) -> Result<Vec<u8>> {
        let spill = Spill::new(self.dir(), MEMORY_BYTES);
        let files = Ids::new(&spill);
        let dirs = self.dirs_of(commit, &files)?;
        let shards = pool::run(pool::default_threads(), |_| {
            let shards = (0..=u8::MAX).into_par_iter().with_max_len(1);
            shards.map(|shard| self.sized_files(&files.sorted(shard)?)).collect::<Result<Vec<_>>>()
        })??;
        Ok(encode_closure(&dirs, &shards.concat()).at("encode", closure_path(commit))?)
    }

    fn sized_files(&self, ids: &[ObjectId]) -> Result<Vec<ClosureFile>> {
        let sized = |id: &ObjectId| {
            let id = Id::new(*id);
            let content_bytes = self.store().content_size(id)?;
            let stored_bytes = self.store().stored_size(id.name())?;
            Ok(ClosureFile { id, content_bytes, stored_bytes })
        };
        ids.iter().map(sized).collect()
    }

    /// The directories of a commit, level by level; their files go to `files`.
    fn dirs_of(&self, commit: Id<Commit>, files: &Ids) -> Result<ClosureDirs> {
        let root = self.root(commit)?;
        let (mut seen, mut metas) = (HashSet::from([root.tree]), BTreeMap::new());
        let mut dirs = ClosureDirs::default();
        let mut level = vec![root.tree];
        self.note_meta(root.meta, &mut metas)?;
        for _ in 0..=MAX_DEPTH {
            if level.is_empty() {
                dirs.metas = metas.into_iter().map(|(id, bytes)| (Id::new(id), bytes)).collect();
                return Ok(dirs);
            }
            let trees = pool::run(pool::default_threads(), |_| {
                level.par_iter().map(|tree| self.tree_and_size(*tree)).collect::<Result<Vec<_>>>()
            })??;
            let mut below = Vec::new();
            for (id, (tree, bytes)) in level.into_iter().zip(trees) {
                dirs.trees.push((id, bytes));
                tree.files().iter().for_each(|file| files.push(file.id.raw()));
                for dir in tree.dirs() {
                    self.note_meta(dir.meta, &mut metas)?;
                    if seen.insert(dir.tree) {
                        below.push(dir.tree);
                    }
                }
            }
            level = below;
        }
        Err(Error::TooDeep { limit: MAX_DEPTH })
    }

    fn tree_and_size(&self, id: Id<DirTree>) -> Result<(DirTree, u64)> {
        Ok((self.store().load(id)?, self.store().stored_size(id.name())?))
    }

    fn note_meta(&self, id: Id<DirMeta>, metas: &mut BTreeMap<ObjectId, u64>) -> Result<()> {
        if let Entry::Vacant(free) = metas.entry(id.raw()) {
            free.insert(self.store().stored_size(id.name())?);
        }
        Ok(())
    }

    /// Removes the closure of a commit; not durable.
    pub(crate) fn remove_closure(&self, commit: Id<Commit>) -> Result<()> {
        Ok(sapwood_fsio::remove_file_optional(self.dir(), closure_path(commit)).map(drop)?)
    }

    fn remove_closures_of_lost(&self) -> Result<()> {
        let Some(dir) = sapwood_fsio::open_dir_optional(self.dir(), DIR)? else { return Ok(()) };
        for entry in sapwood_fsio::entries(&dir)? {
            let commit = entry.name.to_str().and_then(|name| ObjectId::from_hex(name).ok()).map(Id::new);
            let Some(commit) = commit.filter(|_| entry.kind == Kind::File) else { continue };
            if !self.store().contains(commit.name())? {
                self.remove_closure(commit)?;
            }
        }
        Ok(())
    }
}
