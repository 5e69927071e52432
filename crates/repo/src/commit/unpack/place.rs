//! From steps to the tree: files are stored, several at once, and get their names in the archive's order; hard links come
//! last, since they may come before what they link to.

use super::{Action, Content, Step, StoredFile, content_error, path_bytes, refused, shown};
use crate::archive::Remembered;
use crate::commit::BuildCounts;
use crate::commit::merge::{Branch, Slot, put_file};
use crate::commit::modify::Rules;
use crate::{Error, Result};
use rayon::prelude::*;
use sapwood_objstore::{self as objstore, DirMeta, EntryName, Id};

/// Stores files and gives them their names.
pub(super) struct Placer<'a> {
    pub(super) tree: &'a mut Branch,
    pub(super) rules: &'a Rules,
    pub(super) objects: &'a objstore::Transaction<'a>,
    pub(super) remembered: Remembered,
    pub(super) autocreate: bool,
    pub(super) links: Vec<(Vec<EntryName>, Vec<EntryName>)>,
    pub(super) counts: &'a mut BuildCounts,
}

impl Placer<'_> {
    pub(super) fn place(&mut self, steps: Vec<Step<Content>>) -> Result<()> {
        let objects = self.objects;
        let stored: Vec<_> = steps.into_par_iter().map(|step| store(objects, step)).collect();
        for step in stored {
            self.place_one(step?)?;
        }
        Ok(())
    }

    fn place_one(&mut self, step: Step<StoredFile>) -> Result<()> {
        let Step { path, uid, gid, action } = step;
        let Some((name, parents)) = path.split_last() else {
            if let Action::Dir(meta) = action {
                self.tree.meta = Some(self.objects.put(&meta)?);
                self.counts.dirs += 1;
            }
            return Ok(());
        };
        match action {
            Action::Dir(_) => self.counts.dirs += 1,
            Action::Link(_, None) => {}
            Action::File(_) | Action::Link(_, Some(_)) => self.counts.files += 1,
        }
        self.remember(name.as_str().len())?;
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
            Action::File((id, size)) => put_file(names, name.clone(), id, size)?,
            Action::Link(target, content) => {
                if let Some((id, size)) = content {
                    put_file(names, name.clone(), id, size)?;
                    if let Some((name, parents)) = target.split_last() {
                        let names = self.dir(parents)?.open(objects)?;
                        put_file(names, name.clone(), id, size)?;
                    }
                }
                self.remember(path_bytes(&path) + path_bytes(&target))?;
                self.links.push((path, target));
            }
        }
        Ok(())
    }

    /// Counts a name or a link that is held to the end.
    fn remember(&self, len: usize) -> Result<()> {
        if self.remembered.add(len) {
            return Ok(());
        }
        Err(refused("-", "its names and hard links take more memory than is allowed"))
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
        for name in parents {
            self.remember(name.as_str().len())?;
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
            let shown = || shown(&target);
            let found = match target.split_last() {
                Some((name, parents)) => match self.find(parents)? {
                    Some(dir) => dir.open(objects)?.get(name),
                    None => None,
                },
                None => None,
            };
            let (id, size) = match found {
                Some(Slot::File(id, size)) => (*id, *size),
                Some(Slot::Dir(_)) => return Err(refused(&shown(), "a hard link to a directory")),
                None => return Err(refused(&shown(), "No such file or directory: a hard link leads there")),
            };
            if let Some((name, parents)) = path.split_last() {
                put_file(self.dir(parents)?.open(objects)?, name.clone(), id, size)?;
            }
        }
        Ok(())
    }
}

/// Stores the content of a step.
fn store(objects: &objstore::Transaction<'_>, step: Step<Content>) -> Result<Step<StoredFile>> {
    let Step { path, uid, gid, action } = step;
    let put = |content: Content| match content {
        Content::Held(header, content) => {
            let size = content.len() as u64;
            let id = objects.put_file(&header, size, &mut &*content);
            id.map(|id| (id, size)).map_err(|error| content_error(&shown(&path), error))
        }
        Content::Stored(stored) => Ok(stored),
    };
    let action = match action {
        Action::Dir(meta) => Action::Dir(meta),
        Action::File(content) => Action::File(put(content)?),
        Action::Link(target, content) => Action::Link(target, content.map(put).transpose()?),
    };
    Ok(Step { path, uid, gid, action })
}
