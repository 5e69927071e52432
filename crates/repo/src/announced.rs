//! What native directories and commits announce of their content, held against it.
//!
//! Both are covered by ids, so what is wrong in them was wrong when they were made: nothing that is fetched makes it right.

use crate::tree::MAX_DEPTH;
use crate::{Error, Problem, Result, Transaction, pool};
use rayon::prelude::*;
use sapwood_objstore::{Commit, DirTree, Error as StoreError, Id, ObjectName, Totals, kind};
use std::collections::{BTreeSet, HashMap};

/// So many files are looked at together.
const BATCH: usize = 1 << 14;

/// What the trees that were counted hold; `None` where something of it cannot be counted.
pub(crate) type Known = HashMap<Id<DirTree>, Option<Totals>>;

/// A file as a directory announces it.
struct Announced {
    tree: Id<DirTree>,
    /// Whether the directory is, whatever the file.
    is_new: bool,
    file: Id<kind::File>,
    size: u64,
}

/// A directory being counted: what it holds so far, and what is below it still.
struct Level {
    tree: Id<DirTree>,
    below: Vec<Id<DirTree>>,
    totals: Option<Totals>,
}

impl Level {
    fn of(tree: Id<DirTree>, loaded: Option<&DirTree>) -> Self {
        let Some(loaded) = loaded else { return Self { tree, below: Vec::new(), totals: None } };
        let bytes = loaded.files().iter().filter_map(|entry| entry.size).fold(0, u64::saturating_add);
        let totals = Totals { files: loaded.files().len() as u64, dirs: 1, bytes };
        let below = loaded.dirs().iter().map(|entry| entry.tree).collect();
        Self { tree, below, totals: Some(totals) }
    }

    /// Sizes are what others wrote: a sum of them may be too large for any number.
    fn add(&mut self, more: Option<Totals>) {
        self.totals = self.totals.zip(more).map(|(totals, more)| Totals {
            files: totals.files.saturating_add(more.files),
            dirs: totals.dirs.saturating_add(more.dirs),
            bytes: totals.bytes.saturating_add(more.bytes),
        });
    }
}

/// What a tree holds; `None` where `open` gives nothing for a directory of it, or it is deeper than any tree may be. Each
/// directory is opened once, whatever the number of trees that share it.
pub(crate) fn count(
    root: Id<DirTree>,
    known: &mut Known,
    open: &mut dyn FnMut(Id<DirTree>) -> Result<Option<DirTree>>,
) -> Result<Option<Totals>> {
    let mut enter = |tree| Ok::<_, Error>(Level::of(tree, open(tree)?.as_ref()));
    if let Some(totals) = known.get(&root) {
        return Ok(*totals);
    }
    let mut levels = vec![enter(root)?];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(None) };
        if let Some(tree) = level.below.pop() {
            match known.get(&tree) {
                Some(totals) => level.add(*totals),
                None if depth > MAX_DEPTH => level.add(None),
                None => {
                    let next = enter(tree)?;
                    levels.push(next);
                }
            }
            continue;
        }
        let Some(Level { tree, totals, .. }) = levels.pop() else { return Ok(None) };
        known.insert(tree, totals);
        match levels.last_mut() {
            Some(above) => above.add(totals),
            None => return Ok(totals),
        }
    }
}

/// The size of a file's content, if the file can be read: one that cannot be is found otherwise.
pub(crate) fn actual_size(found: std::result::Result<u64, StoreError>) -> Result<Option<u64>> {
    use StoreError as E;
    match found {
        Ok(actual) => Ok(Some(actual)),
        Err(E::Missing { .. } | E::Malformed { .. } | E::SlashInName { .. }) => Ok(None),
        // Something else may be where the file should be.
        Err(E::Io(error)) if error.is_wrong_kind() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Transaction<'_> {
    /// Holds what these commits announce against their trees, and what their directories announce against their files, where this
    /// transaction adds either: as far as trees and files are here. A directory of a commit that was here in part can be older
    /// than its files.
    ///
    /// Formats that announce nothing are never wrong.
    ///
    /// # Errors
    /// [`Error::Announcement`] about the first that is wrong, [`Error::Store`].
    pub fn check_announced(&self, commits: &BTreeSet<Id<Commit>>) -> Result<()> {
        if !self.objects().store().format().records_sizes() {
            return Ok(());
        }
        let mut known = Known::new();
        pool::run(pool::default_threads(), |_| {
            commits.iter().try_for_each(|commit| self.check_commit(*commit, &mut known))
        })?
    }

    fn check_commit(&self, commit: Id<Commit>, known: &mut Known) -> Result<()> {
        let objects = self.objects();
        let loaded: Commit = objects.load(commit)?;
        let wrong = |object: ObjectName, problem| {
            Err(Error::Announcement { commit, object, problem: Box::new(problem) })
        };
        let check = |batch: &mut Vec<Announced>| -> Result<()> {
            batch.par_iter().try_for_each(|Announced { tree, is_new, file, size }| {
                if !is_new && !objects.is_staged(file.name())? {
                    return Ok(());
                }
                match actual_size(objects.content_size(*file))? {
                    Some(actual) if actual != *size => {
                        let problem = Problem::WrongSize { file: file.raw(), announced: *size, actual };
                        wrong(tree.name(), problem)
                    }
                    _ => Ok(()),
                }
            })?;
            batch.clear();
            Ok(())
        };
        let mut batch = Vec::new();
        let actual = count(loaded.tree, known, &mut |tree| {
            let loaded: DirTree = match objects.load(tree) {
                Err(StoreError::Missing { .. }) => return Ok(None),
                other => other?,
            };
            let is_new = objects.is_staged(tree.name())?;
            let sized = loaded.files().iter().filter_map(|entry| Some((entry.id, entry.size?)));
            batch.extend(sized.map(|(file, size)| Announced { tree, is_new, file, size }));
            if batch.len() >= BATCH {
                check(&mut batch)?;
            }
            Ok(Some(loaded))
        })?;
        check(&mut batch)?;
        match (loaded.totals, actual) {
            (Some(announced), Some(actual)) if announced != actual => {
                wrong(commit.name(), Problem::WrongTotals { announced, actual })
            }
            _ => Ok(()),
        }
    }
}
