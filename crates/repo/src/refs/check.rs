//! Whether edits of refs are possible: nothing here changes anything.

use super::read::{base_of, follow};
use super::{Expected, RefDb, RefEdit, Stored};
use crate::reflog::Moved;
use crate::{Error, RefName, Refspec, Result};
use sapwood_fsio::{Dir, Kind};
use sapwood_objstore::{Commit, Id};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

/// The refs as they are on disk, and as the edits so far would make them.
pub(super) struct Overlay<'a> {
    db: RefDb<'a>,
    changed: BTreeMap<Refspec, Change>,
}

struct Change {
    before: Stored,
    after: Stored,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(db: RefDb<'a>) -> Self {
        Self { db, changed: BTreeMap::new() }
    }

    /// The refs that get another value, and those that go.
    pub(super) fn changes(&self) -> (Vec<(Refspec, Stored)>, Vec<Refspec>) {
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        for (name, change) in self.changed.iter().filter(|(_, change)| change.before != change.after) {
            match &change.after {
                Stored::Absent => removed.push(name.clone()),
                after => set.push((name.clone(), after.clone())),
            }
        }
        (set, removed)
    }

    /// Whether a ref is an alias as it is on disk.
    pub(super) fn was_alias(&self, name: &Refspec) -> bool {
        self.changed.get(name).is_some_and(|change| matches!(change.before, Stored::Alias(_)))
    }

    /// Where a ref is, and where it will be. What leads nowhere, or is malformed, is nowhere.
    pub(super) fn moved(&self, name: &Refspec) -> Moved {
        let old = follow(name, |name| self.db.stored(name)).ok().flatten();
        let new = follow(name, |name| self.after(name)).ok().flatten();
        (name.clone(), old, new)
    }

    fn after(&self, name: &Refspec) -> Result<Stored> {
        match self.changed.get(name) {
            Some(change) => Ok(change.after.clone()),
            None => self.db.stored(name),
        }
    }

    fn set(&mut self, name: Refspec, after: Stored) -> Result<()> {
        let before = match self.changed.remove(&name) {
            Some(change) => change.before,
            None => self.db.stored(&name)?,
        };
        self.changed.insert(name, Change { before, after });
        Ok(())
    }

    fn expect(&self, name: &Refspec, expected: Expected, target: Option<Id<Commit>>) -> Result<()> {
        if expected == Expected::Any {
            return Ok(());
        }
        let found = follow(name, |name| self.after(name))?;
        let good = match expected {
            Expected::Any => true,
            Expected::Absent => self.after(name)? == Stored::Absent,
            Expected::At(id) => found == Some(id),
            Expected::Still(id) => found == id || found == target,
        };
        let text = |id: Option<Id<Commit>>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let wanted = match expected {
            Expected::At(id) | Expected::Still(Some(id)) => Some(id),
            Expected::Any | Expected::Absent | Expected::Still(None) => None,
        };
        if good {
            Ok(())
        } else {
            Err(Error::RefMoved { name: name.clone(), expected: text(wanted), found: text(found) })
        }
    }

    /// Takes an edit into account, if it is possible on what the others leave.
    pub(super) fn apply(&mut self, edit: RefEdit, exists: &dyn Fn(Id<Commit>) -> Result<()>) -> Result<()> {
        match edit {
            RefEdit::Set { name, expected, target } => {
                self.expect(&name, expected, Some(target))?;
                exists(target)?;
                self.set(name, Stored::At(target))
            }
            RefEdit::Alias { name, of } => {
                let alias = Refspec::local(name);
                self.set(alias.clone(), Stored::Alias(of.clone()))?;
                match follow(&alias, |name| self.after(name))? {
                    Some(_) => Ok(()),
                    None => Err(Error::UnknownRevision { text: of.to_string() }),
                }
            }
            RefEdit::Delete { name, expected } => {
                self.expect(&name, expected, None)?;
                self.set(name, Stored::Absent)
            }
        }
    }

    /// Nothing that is removed may have an alias left.
    pub(super) fn check_aliases(&self, removed: &[Refspec]) -> Result<()> {
        let trees: BTreeSet<_> = removed.iter().map(|name| name.namespace.clone()).collect();
        for namespace in trees {
            let disk = self.db.list_stored(&namespace)?.into_iter();
            let names: BTreeSet<RefName> = disk
                .map(|(name, _)| name)
                .chain(
                    self.changed
                        .keys()
                        .filter(|name| name.namespace == namespace)
                        .map(|name| name.name.clone()),
                )
                .collect();
            for alias in names {
                let alias = Refspec { namespace: namespace.clone(), name: alias };
                if let Stored::Alias(of) = self.after(&alias)?
                    && let Some(name) =
                        removed.iter().find(|name| name.namespace == namespace && name.name == of)
                {
                    return Err(Error::HasAlias { name: name.clone(), alias: alias.name.to_string() });
                }
            }
        }
        Ok(())
    }

    /// No ref may be a directory of another one.
    pub(super) fn check_conflicts(&self, name: &Refspec) -> Result<()> {
        let conflict = |other: &str| Error::RefConflict { name: name.clone(), other: other.to_owned() };
        for parent in parents(&name.name) {
            let parent = Refspec { namespace: name.namespace.clone(), name: parent };
            if self.after(&parent)? != Stored::Absent {
                return Err(conflict(parent.name.as_str()));
            }
        }
        let base = base_of(&name.namespace);
        for path in files_below(self.db.dir, &format!("{base}/{}", name.name))? {
            let path = format!("{}/{path}", name.name);
            let gone = RefName::new(&path).is_ok_and(|other| {
                let other = Refspec { namespace: name.namespace.clone(), name: other };
                self.changed.get(&other).is_some_and(|change| change.after == Stored::Absent)
            });
            if !gone {
                return Err(conflict(&path));
            }
        }
        Ok(())
    }
}

/// The names that would have to be directories for `name` to exist.
fn parents(name: &RefName) -> impl Iterator<Item = RefName> {
    let text = name.as_str();
    text.match_indices('/').filter_map(move |(at, _)| RefName::new(text.get(..at)?).ok())
}

/// Everything below the directory at `path` that is not a directory; nothing where there is no directory.
fn files_below(dir: &Dir, path: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut todo = vec![String::new()];
    while let Some(prefix) = todo.pop() {
        let path = if prefix.is_empty() { path.to_owned() } else { format!("{path}/{prefix}") };
        let here = match sapwood_fsio::open_dir_optional(dir, path) {
            Err(error) if error.source.kind() == ErrorKind::NotADirectory => None,
            other => other?,
        };
        let Some(here) = here else { continue };
        for entry in sapwood_fsio::entries(&here)? {
            let name = format!("{prefix}{}", entry.name.to_string_lossy());
            if entry.kind == Kind::Dir { todo.push(name + "/") } else { files.push(name) }
        }
    }
    Ok(files)
}
