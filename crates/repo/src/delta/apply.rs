//! Applying deltas: objects are made part by part, each verified before it is stored, and become visible together.

use super::content::Content;
use super::{DeltaError, DeltaFiles, PartInfo, PartPayload, Recipe, recipes};
use crate::tree::MAX_DEPTH;
use crate::{Error, Repo, Result, pool};
use rayon::prelude::*;
use sapwood_objstore::{Commit, DirTree, FileHeader, Format, Id, ObjectKind, Transaction, kind};
use std::collections::HashSet;

impl Repo {
    /// Adds the target commit of a delta and all it reaches, and what the delta has beside the commit if that is new here.
    /// Refs are not moved.
    ///
    /// What is compressed here is decompressed to find what patches build on; what is not is read where it lies. Memory:
    /// one decompressed part for each core.
    ///
    /// # Errors
    /// [`DeltaError::NotOstree`], [`DeltaError::NoSource`]; what a damaged delta fails with; [`DeltaError::Incomplete`] if
    /// it leaves objects to be fetched that are not here; [`Error::NewerFormat`], [`Error::Store`], [`Error::Io`]. Then
    /// nothing is visible.
    pub fn apply_delta(&self, delta: &DeltaFiles) -> Result<()> {
        let superblock = &delta.superblock;
        check_delta_source(self, superblock.name.from)?;
        let mut txn = self.begin()?;
        let content = superblock.parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.content_bytes));
        txn.objects().check_space(content)?;
        let parts = superblock.parts.par_iter().enumerate();
        let apply = |(index, info): (usize, &PartInfo)| {
            if part_is_here(txn.objects(), info)? {
                return Ok(());
            }
            apply_part(txn.objects(), info, &delta.part(index)?, &|_, _, _| true)
        };
        pool::run(pool::default_threads(), |_| parts.map(apply).collect::<Result<()>>())??;
        let target = superblock.name.to;
        let was_here = self.store().contains(target.name())?;
        txn.objects().put_bytes(target.name(), &superblock.commit)?;
        // Who made the delta has no say in what is beside a commit that was here before.
        if let Some(detached) = superblock.detached.as_ref().filter(|_| !was_here) {
            txn.objects().put_detached(target, detached)?;
        }
        check_complete(txn.objects(), target)?;
        txn.complete(target);
        txn.commit()?;
        Ok(())
    }
}

/// Whether deltas can be applied to a repository: it is of OSTree's format, and has the commit they build on.
fn check_delta_source(repo: &Repo, from: Option<Id<Commit>>) -> Result<()> {
    if repo.config().format != Format::Ostree {
        return Err(DeltaError::NotOstree.into());
    }
    match from {
        Some(id) if !repo.store().contains(id.name())? => Err(DeltaError::NoSource { id }.into()),
        _ => Ok(()),
    }
}

/// Whether all objects of a part are in the store or staged, so that the part is of no use.
///
/// # Errors
/// [`Error::Store`].
pub fn part_is_here(objects: &Transaction<'_>, info: &PartInfo) -> Result<bool> {
    for name in &info.objects {
        if !objects.contains(*name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the objects of a part and stages them, each verified. `bytes` are the part as it is downloaded. Files that `takes`
/// refuses, by their id, header and size, are left out; no more content is made than the superblock says. Memory: the
/// decompressed part.
///
/// # Errors
/// [`Error::Delta`] where the part is not what the superblock says, or cannot be read; [`Error::Store`] where an object
/// comes out wrong, or what it builds on is missing or damaged here, or nothing can be written. What was staged before
/// stays staged.
pub fn apply_part(
    objects: &Transaction<'_>,
    info: &PartInfo,
    bytes: &[u8],
    takes: &dyn Fn(Id<kind::File>, &FileHeader, u64) -> bool,
) -> Result<()> {
    let part = PartPayload::open(info, bytes)?;
    let scratch = objects.scratch()?;
    for recipe in recipes(info, &part)? {
        match recipe {
            // The caller judges and stores the target itself; no other is in a delta.
            Recipe::Meta { name, .. } if name.kind == ObjectKind::Commit => {}
            Recipe::Meta { name, range } => {
                let bytes = part.blob().get(range).unwrap_or_default();
                objects.put_bytes(name, bytes)?;
            }
            Recipe::File { id, header, size, pieces } => {
                if takes(id, &header, size) && !objects.contains(id.name())? {
                    let mut content = Content::new(objects.store(), &scratch, part.blob(), pieces);
                    objects.put_file_as(id, &header, size, &mut content)?;
                }
            }
        }
    }
    Ok(())
}

/// That everything a commit reaches is in the store or staged.
fn check_complete(objects: &Transaction<'_>, commit: Id<Commit>) -> Result<()> {
    let need = |name| {
        let here = objects.contains(name)?;
        if here { Ok(()) } else { Err(Error::Delta(DeltaError::Incomplete { name })) }
    };
    let root = objects.load(commit)?;
    need(root.meta.name())?;
    let mut seen = HashSet::new();
    let mut todo: Vec<(Id<DirTree>, usize)> = vec![(root.tree, 0)];
    while let Some((id, depth)) = todo.pop() {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        need(id.name())?;
        let tree = objects.load(id)?;
        for file in tree.files() {
            need(file.id.name())?;
        }
        for dir in tree.dirs() {
            need(dir.meta.name())?;
            if seen.insert(dir.tree) {
                todo.push((dir.tree, depth + 1));
            }
        }
    }
    Ok(())
}
