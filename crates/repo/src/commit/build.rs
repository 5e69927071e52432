//! Putting a tree together from several sources, each laid over those before it.

use super::devino::Devino;
use super::import;
use super::merge::{Branch, drop_unused, totals};
use super::modify::Rules;
use super::restore;
use crate::{
    CommitEvent, Consumed, Error, ImportOptions, ImportedTree, Links, Repo, Result, Root, TarOptions,
    Transaction,
};
use sapwood_fsio::Dir;
use sapwood_objstore::{self as objstore, Commit, DirTree, Format, Id, Totals};
use std::collections::HashSet;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// A tree that is put together in a transaction.
#[derive(Debug)]
#[must_use = "`finish` gives the tree"]
pub struct TreeBuilder<'a> {
    pub(crate) objects: &'a objstore::Transaction<'a>,
    pub(crate) repo: &'a Repo,
    pub(crate) options: &'a ImportOptions,
    pub(crate) rules: Rules,
    pub(crate) tree: Branch,
    pub(crate) devino: Devino,
    /// Directories written for the sources, which what is laid over them may make superfluous.
    pub(crate) written: Mutex<HashSet<Id<DirTree>>>,
    /// Trees of which it is known what they hold.
    known: Vec<(Root, Totals)>,
    pub(crate) counts: BuildCounts,
}

/// What was done for a tree. Everything that is met several times counts each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildCounts {
    /// Directories of sources, which all give their attributes.
    pub dirs: u64,
    /// Directories of the tree that are not as a stored tree has them.
    pub trees: u64,
    /// Files that were read, or offered otherwise.
    pub files: u64,
    /// Files that were recognised without reading.
    pub hits: u64,
    /// Of these, links to objects of the store.
    pub linked: u64,
}

/// A tree that was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltTree {
    /// The tree.
    pub tree: ImportedTree,
    /// What was done for it.
    pub counts: BuildCounts,
}

impl Repo {
    /// Begins a tree. Nothing of it is visible before the transaction commits.
    ///
    /// # Errors
    /// [`Error::Store`] where the repository's files are to be recognised and cannot be listed.
    pub fn build_tree<'a>(
        &'a self,
        txn: &'a Transaction<'_>,
        options: &'a ImportOptions,
    ) -> Result<TreeBuilder<'a>> {
        Ok(TreeBuilder {
            objects: txn.objects(),
            repo: self,
            rules: Rules::new(options, self.store()),
            options,
            tree: Branch::new(),
            devino: match options.links {
                Links::Ignore => Devino::none(),
                Links::Modify | Links::Trust => Devino::scan(self.store())?,
            },
            written: Mutex::default(),
            known: Vec::new(),
            counts: BuildCounts::default(),
        })
    }
}

impl TreeBuilder<'_> {
    /// Lays the tree of a commit over what is there, as it is.
    ///
    /// # Errors
    /// [`Error::MergeConflict`] where one has a directory and the other a file; [`Error::Incomplete`] where the commit is known
    /// to lack something; [`Error::Store`].
    pub fn add_base(&mut self, commit: Id<Commit>) -> Result<()> {
        self.check_complete(commit)?;
        let commit: Commit = self.repo.store().load(commit)?;
        let root = Root { tree: commit.tree, meta: commit.meta };
        if let Some(totals) = commit.totals {
            self.known.push((root, totals));
        }
        self.tree.overlay(self.objects, root)
    }

    /// Lays the tree of a commit over what is there, with the modifiers applied to it.
    ///
    /// # Errors
    /// As [`add_base`](Self::add_base), and as [`add_dir`](Self::add_dir).
    pub fn add_commit(&mut self, commit: Id<Commit>) -> Result<()> {
        if Rules::are_empty(self.options) {
            return self.add_base(commit);
        }
        self.check_complete(commit)?;
        let from = self.repo.root(commit)?;
        if let Some(root) = restore::restore(self, from)? {
            self.tree.overlay(self.objects, root)?;
        }
        Ok(())
    }

    /// A stored commit that is not marked as incomplete is all here: so it must be for the new one too.
    fn check_complete(&self, commit: Id<Commit>) -> Result<()> {
        if self.repo.is_partial(commit)? { Err(Error::Incomplete { id: commit }) } else { Ok(()) }
    }

    /// Lays a directory on disk over what is there. What is said of [`Repo::import`] is true here.
    ///
    /// # Errors
    /// As [`Repo::import`], and [`Error::MergeConflict`].
    pub fn add_dir(&mut self, dir: &Dir, on_event: &(dyn Fn(CommitEvent) + Sync)) -> Result<()> {
        self.add(dir, None, on_event)
    }

    /// As [`add_dir`](Self::add_dir), for a directory that nobody will need any more: files become objects without being
    /// copied, where that can be. What is returned removes the directory's content once the transaction has been committed;
    /// until then all of it stays where it is.
    ///
    /// Nobody may write to the files from now on: those that became objects are objects by every name that they have.
    ///
    /// # Errors
    /// As [`add_dir`](Self::add_dir).
    pub fn consume_dir(&mut self, dir: &Dir, on_event: &(dyn Fn(CommitEvent) + Sync)) -> Result<Consumed> {
        let consumed = Consumed::default();
        self.add(dir, Some(&consumed), on_event)?;
        Ok(consumed)
    }

    fn add(
        &mut self,
        dir: &Dir,
        consumed: Option<&Consumed>,
        on_event: &(dyn Fn(CommitEvent) + Sync),
    ) -> Result<()> {
        let imported = import::import(self, dir, consumed, on_event)?;
        self.counts.dirs += imported.totals.dirs;
        self.counts.trees += imported.totals.dirs;
        self.counts.files += imported.totals.files - imported.hits;
        self.counts.hits += imported.hits;
        self.counts.linked += imported.linked;
        if let Some(root) = imported.root {
            self.known.push((root, imported.totals));
            self.tree.overlay(self.objects, root)?;
        }
        Ok(())
    }

    /// Lays an archive over what is there: tar (ustar, pax, GNU) or cpio, plain or compressed by gzip, bzip2, xz, zstd
    /// or lz4.
    ///
    /// Hard links become equal files. What is not in the tree already, parents included, the archive must hold before
    /// what is in it, unless [`TarOptions::autocreate_parents`] is set. Extended attributes are those of pax headers.
    ///
    /// # Errors
    /// [`Error::Archive`] for an archive that is damaged, truncated, past the limits, or holds what cannot be recorded
    /// (`..` in a path, a device); [`Error::MergeConflict`]; [`Error::Store`].
    pub fn add_tar(&mut self, stream: Box<dyn Read + Send + '_>, options: &TarOptions) -> Result<()> {
        super::unpack::unpack(self, stream, options)
    }

    /// Writes what is not stored yet and gives the tree. Where that fails, the directories that were written for it are
    /// dropped.
    ///
    /// # Errors
    /// [`Error::EmptyTree`] if no source had a root directory, [`Error::Unmatched`] for lines of the lists that are about
    /// nothing in the sources, [`Error::Store`].
    pub fn finish(mut self) -> Result<BuiltTree> {
        let objects = self.objects;
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut written = std::mem::take(written);
        let built = self.write(&mut written);
        if built.is_err() {
            // As in OSTree, which writes no directory before it knows that nothing is amiss with the sources. That it could
            // not be dropped would say less than why it is.
            for tree in written {
                drop(objects.forget(tree.name()));
            }
        }
        built
    }

    fn write(self, written: &mut HashSet<Id<DirTree>>) -> Result<BuiltTree> {
        let (modes, skip) = self.rules.lists().unmatched();
        for (list, paths) in [("statoverride", modes), ("skip-list", skip)] {
            if !paths.is_empty() {
                return Err(Error::Unmatched { list, paths });
            }
        }
        let mut counts = self.counts;
        let root = if let Some(root) = self.tree.as_stored() {
            root
        } else {
            let mut open = 0;
            let root = self.tree.store(self.objects, &mut |tree| {
                open += 1;
                written.insert(tree);
            })?;
            counts.trees = counts.trees.max(open);
            drop_unused(self.objects, root, written)?;
            root
        };
        let known = self.known.iter().find(|(known, _)| *known == root).map(|(_, totals)| *totals);
        let totals = match known {
            Some(totals) => totals,
            None if self.repo.store().format() == Format::Native => totals(self.objects, root)?,
            None => Totals::default(),
        };
        Ok(BuiltTree { tree: ImportedTree { root, totals }, counts })
    }
}
