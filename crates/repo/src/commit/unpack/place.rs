//! From steps to the tree: files are stored, several at once, and get their names in the archive's order; hard links come
//! last, since they may come before what they link to.

use super::{Action, Step, content_error, refused};
use crate::commit::BuildCounts;
use crate::commit::merge::{Branch, Slot, put_file};
use crate::commit::modify::Rules;
use crate::{Error, Result};
use rayon::prelude::*;
use sapwood_objstore::{self as objstore, DirMeta, EntryName, FileHeader, Id, kind};

/// A file, and the size of its content.
type StoredFile = (Id<kind::File>, u64);

/// Stores files and gives them their names.
pub(super) struct Placer<'a> {
    pub(super) tree: &'a mut Branch,
    pub(super) rules: &'a Rules,
    pub(super) objects: &'a objstore::Transaction<'a>,
    pub(super) max_depth: usize,
    pub(super) autocreate: bool,
    pub(super) links: Vec<(Vec<EntryName>, Vec<EntryName>)>,
    pub(super) counts: &'a mut BuildCounts,
}

impl Placer<'_> {
    pub(super) fn place(&mut self, steps: Vec<Step>) -> Result<()> {
        let objects = self.objects;
        let stored: Vec<_> = steps.into_par_iter().map(|step| store(objects, step)).collect();
        for step in stored {
            let (step, linked) = step?;
            self.place_one(step, linked)?;
        }
        Ok(())
    }

    fn place_one(&mut self, step: Step, linked: Option<StoredFile>) -> Result<()> {
        let Step { path, uid, gid, action } = step;
        let Some((name, parents)) = path.split_last() else {
            if let Action::Dir(meta) = action {
                self.tree.meta = Some(self.objects.put(&meta)?);
                self.counts.dirs += 1;
            }
            return Ok(());
        };
        if path.len() > self.max_depth {
            return Err(Error::TooDeep { limit: self.max_depth });
        }
        match action {
            Action::Dir(_) => self.counts.dirs += 1,
            Action::Link(..) if linked.is_none() => {}
            _ => self.counts.files += 1,
        }
        self.ensure_parents(parents, uid, gid)?;
        let objects = self.objects;
        let names = self.dir(parents)?.open(objects)?;
        match action {
            Action::Dir(meta) => {
                let meta = objects.put(&meta)?;
                let slot = names.entry(name.clone()).or_insert_with(|| Slot::Dir(Box::new(Branch::new())));
                match slot {
                    Slot::Dir(dir) => dir.meta = Some(meta),
                    Slot::File(..) => {
                        return Err(Error::MergeConflict { what: "file with directory", name: name.clone() });
                    }
                }
            }
            Action::Stored(id, size) => put_file(names, name.clone(), id, size)?,
            Action::Link(target, _) => {
                if let Some((id, size)) = linked {
                    put_file(names, name.clone(), id, size)?;
                    if let Some((name, parents)) = target.split_last() {
                        let names = self.dir(parents)?.open(objects)?;
                        put_file(names, name.clone(), id, size)?;
                    }
                }
                self.links.push((path, target));
            }
            Action::File(..) => unreachable!("it was stored before"),
        }
        Ok(())
    }

    /// As in OSTree: where one is missing, those that are there get new attributes as well.
    fn ensure_parents(&mut self, parents: &[EntryName], uid: u32, gid: u32) -> Result<()> {
        if !self.autocreate || self.find(parents)?.is_some() {
            return Ok(());
        }
        let objects = self.objects;
        self.tree.meta = Some(self.implied_dir(uid, gid, "/")?);
        let mut metas = Vec::with_capacity(parents.len());
        let mut path = String::new();
        for name in parents {
            path = path + "/" + name.as_str();
            metas.push(self.implied_dir(uid, gid, &path)?);
        }
        let mut here = &mut *self.tree;
        for (name, meta) in parents.iter().zip(metas) {
            let slot = here.open(objects)?.entry(name.clone());
            match slot.or_insert_with(|| Slot::Dir(Box::new(Branch::new()))) {
                Slot::Dir(dir) => {
                    dir.meta = Some(meta);
                    here = dir;
                }
                Slot::File(..) => {
                    return Err(Error::MergeConflict { what: "file with directory", name: name.clone() });
                }
            }
        }
        Ok(())
    }

    /// Stores the attributes of a directory that the archive has in its paths only.
    pub(super) fn implied_dir(&self, uid: u32, gid: u32, path: &str) -> Result<Id<DirMeta>> {
        Ok(self.objects.put(&self.rules.implied_dir(uid, gid, || path.to_owned())?)?)
    }

    /// The directory at a path; `None` if nothing is there.
    fn find(&mut self, path: &[EntryName]) -> Result<Option<&mut Branch>> {
        let objects = self.objects;
        let mut here = &mut *self.tree;
        for name in path {
            here = match here.open(objects)?.get_mut(name) {
                Some(Slot::Dir(dir)) => dir,
                Some(Slot::File(..)) => return Err(refused(name.as_str(), "Not a directory")),
                None => return Ok(None),
            };
        }
        Ok(Some(here))
    }

    fn dir(&mut self, path: &[EntryName]) -> Result<&mut Branch> {
        let shown = path.last().map(ToString::to_string).unwrap_or_default();
        self.find(path)?.ok_or_else(|| {
            refused(&shown, "No such file or directory: the archive does not have it before what is in it")
        })
    }

    pub(super) fn place_links(&mut self) -> Result<()> {
        let objects = self.objects;
        for (path, target) in std::mem::take(&mut self.links) {
            let shown = target.iter().fold(String::new(), |text, name| format!("{text}/{name}"));
            let found = match target.split_last() {
                Some((name, parents)) => match self.find(parents)? {
                    Some(dir) => dir.open(objects)?.get(name),
                    None => None,
                },
                None => None,
            };
            let (id, size) = match found {
                Some(Slot::File(id, size)) => (*id, *size),
                Some(Slot::Dir(_)) => return Err(refused(&shown, "a hard link to a directory")),
                None => return Err(refused(&shown, "No such file or directory: a hard link leads there")),
            };
            if let Some((name, parents)) = path.split_last() {
                put_file(self.dir(parents)?.open(objects)?, name.clone(), id, size)?;
            }
        }
        Ok(())
    }
}

/// Stores the content of a step; what a link brings is returned beside it.
fn store(objects: &objstore::Transaction<'_>, step: Step) -> Result<(Step, Option<StoredFile>)> {
    let put = |header: &FileHeader, content: &[u8]| {
        let size = content.len() as u64;
        let id = objects.put_file(header, size, &mut &*content).map_err(|error| {
            let shown = step.path.iter().fold(String::new(), |text, name| format!("{text}/{name}"));
            content_error(&shown, error)
        });
        id.map(|id| (id, size))
    };
    match &step.action {
        Action::File(header, content) => {
            let (id, size) = put(header, content)?;
            Ok((Step { action: Action::Stored(id, size), ..step }, None))
        }
        Action::Link(_, Some((header, content))) => {
            let linked = put(header, content)?;
            Ok((step, Some(linked)))
        }
        _ => Ok((step, None)),
    }
}
