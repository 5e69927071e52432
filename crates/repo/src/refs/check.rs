//! Whether edits of refs are possible: nothing here changes anything.

use super::read::{MAX_ALIASES, base_of, chain, follow};
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

/// One ref that changes.
#[derive(Debug)]
pub(super) struct Step {
    /// What it will be.
    pub(super) after: Stored,
    /// Which it is, and where it leads before and after.
    pub(super) moved: Moved,
}

/// What is done one after another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Refs go that stand in the way of new ones, and their aliases.
    Clear,
    /// Refs get another value.
    Set,
    /// The others go.
    Remove,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(db: RefDb<'a>) -> Self {
        Self { db, changed: BTreeMap::new() }
    }

    /// What changes, in groups that have to be durable one after another.
    ///
    /// An alias goes before what it follows, and comes after it: so it leads somewhere at any moment, and after a power loss
    /// too, wherever either is. New refs come before others go, except what stands in the way of one; then an alias of that which
    /// gets another value leads nowhere for a moment.
    pub(super) fn steps(&self) -> Result<Vec<Vec<Step>>> {
        let mut groups: BTreeMap<(Phase, usize), Vec<Step>> = BTreeMap::new();
        for (name, change) in self.real() {
            let (after, moved) = (change.after.clone(), self.moved(name));
            let key = if after == Stored::Absent {
                let follows = chain(name, |name| self.db.stored(name))?;
                let clears = std::iter::once(name).chain(&follows).any(|name| self.is_in_the_way(name));
                (if clears { Phase::Clear } else { Phase::Remove }, MAX_ALIASES - follows.len())
            } else {
                (Phase::Set, chain(name, |name| self.after(name))?.len())
            };
            groups.entry(key).or_default().push(Step { after, moved });
        }
        Ok(groups.into_values().collect())
    }

    /// What will not be as it was.
    fn real(&self) -> impl Iterator<Item = (&Refspec, &Change)> {
        self.changed.iter().filter(|(_, change)| change.before != change.after)
    }

    /// What will be there and was not, or was something else.
    fn new_refs(&self) -> impl Iterator<Item = &Refspec> {
        self.real().filter(|(_, change)| change.after != Stored::Absent).map(|(name, _)| name)
    }

    /// Whether a new ref would have to be a directory of this one, or the other way round.
    fn is_in_the_way(&self, of: &Refspec) -> bool {
        let is_below = |a: &Refspec, b: &Refspec| {
            b.name.as_str().strip_prefix(a.name.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        self.new_refs().any(|new| new.namespace == of.namespace && (is_below(of, new) || is_below(new, of)))
    }

    /// Where a ref is, and where it will be. What leads nowhere, or is malformed, is nowhere.
    fn moved(&self, name: &Refspec) -> Moved {
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

    /// Whether all edits together are possible.
    pub(super) fn check(&self) -> Result<()> {
        self.check_aliases()?;
        self.new_refs().try_for_each(|name| self.check_conflicts(name))
    }

    /// Nothing that is removed may have an alias left.
    fn check_aliases(&self) -> Result<()> {
        let gone = self.real().filter(|(_, change)| change.after == Stored::Absent);
        let removed: BTreeSet<&Refspec> = gone.map(|(name, _)| name).collect();
        let trees: BTreeSet<_> = removed.iter().map(|name| name.namespace.clone()).collect();
        for namespace in trees {
            let disk = self.db.list_stored(&namespace)?.into_iter();
            let changed = self.changed.keys().filter(|name| name.namespace == namespace);
            let names: BTreeSet<RefName> =
                disk.map(|(name, _)| name).chain(changed.map(|name| name.name.clone())).collect();
            for alias in names {
                let alias = Refspec { namespace: namespace.clone(), name: alias };
                if let Stored::Alias(of) = self.after(&alias)? {
                    let name = Refspec { namespace: namespace.clone(), name: of };
                    if removed.contains(&name) {
                        return Err(Error::HasAlias { name, alias: alias.name.to_string() });
                    }
                }
            }
        }
        Ok(())
    }

    /// No ref may be a directory of another one.
    fn check_conflicts(&self, name: &Refspec) -> Result<()> {
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
