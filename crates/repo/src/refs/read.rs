//! Reading refs from disk: hostile content is an error that names the ref; nothing outside `refs/` is looked at.
#![deny(clippy::indexing_slicing)]

use super::{RefEntry, Stored};
use crate::{CollectionId, Error, Namespace, RefName, Refspec, RemoteName, Result};
use sapwood_fsio::{Dir, Kind};
use sapwood_objstore::{Commit, Id, ObjectId};
use std::io::ErrorKind;

/// Where local refs are.
pub(super) const HEADS: &str = "refs/heads";
/// Where the last known states of remotes' refs are.
pub(super) const REMOTES: &str = "refs/remotes";
/// Where refs of other collections are.
pub(super) const MIRRORS: &str = "refs/mirrors";

/// Largest ref file read, in bytes. A good one has 65.
const MAX_FILE_BYTES: u64 = 256;
/// How many aliases may follow each other.
pub(super) const MAX_ALIASES: usize = 8;

/// The refs of a repository directory.
#[derive(Debug)]
pub(crate) struct RefDb<'a> {
    pub(super) dir: &'a Dir,
}

/// The directory that holds a namespace's refs, relative to the repository.
pub(super) fn base_of(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Local => HEADS.to_owned(),
        Namespace::Remote(remote) => format!("{REMOTES}/{remote}"),
        Namespace::Mirror(collection) => format!("{MIRRORS}/{collection}"),
    }
}

/// A ref that leads nowhere: a file that holds no id, or an alias of what does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRef {
    /// Its name.
    pub name: Refspec,
    /// If it is an alias: the ref it follows.
    pub alias_of: Option<RefName>,
}

impl<'a> RefDb<'a> {
    pub(crate) fn new(dir: &'a Dir) -> Self {
        Self { dir }
    }

    /// What is stored under the name; an alias is not followed.
    pub(super) fn stored(&self, name: &Refspec) -> Result<Stored> {
        read_one(self.dir, &base_of(&name.namespace), &name.name)
    }

    /// Where a ref points, through aliases; `None` where there is none.
    pub(crate) fn target(&self, name: &Refspec) -> Result<Option<Id<Commit>>> {
        follow(name, |name| self.stored(name))
    }

    /// All local refs and those of remotes, sorted. Aliases of what does not exist are left out.
    pub(crate) fn list(&self) -> Result<Vec<RefEntry>> {
        let mut all = self.list_namespace(&Namespace::Local)?;
        for remote in self.remotes()? {
            all.extend(self.list_namespace(&Namespace::Remote(remote))?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The refs of other collections, sorted. Aliases of what does not exist are left out.
    pub(crate) fn list_mirrors(&self) -> Result<Vec<RefEntry>> {
        let mut all = Vec::new();
        for id in self.dirs_in(MIRRORS)? {
            let Ok(id) = CollectionId::new(&id) else { continue };
            all.extend(self.list_namespace(&Namespace::Mirror(id))?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn list_namespace(&self, namespace: &Namespace) -> Result<Vec<RefEntry>> {
        let mut all = Vec::new();
        for (name, stored) in self.list_stored(namespace)? {
            let name = Refspec { namespace: namespace.clone(), name };
            let (target, alias_of) = match stored {
                Stored::At(id) => (Some(id), None),
                Stored::Alias(of) => (self.target(&name)?, Some(of)),
                Stored::Malformed => return Err(Error::MalformedRef { name }),
                Stored::Absent => continue,
            };
            if let Some(target) = target {
                all.push(RefEntry { name, target, alias_of });
            } else {
                tracing::warn!(%name, "an alias of a ref that does not exist");
            }
        }
        Ok(all)
    }

    /// All refs, mirrored ones too, sorted, and those that cannot be followed: what [`list`](Self::list) fails on or
    /// leaves out.
    pub(crate) fn survey(&self) -> Result<(Vec<RefEntry>, Vec<BrokenRef>)> {
        let mut namespaces = vec![Namespace::Local];
        namespaces.extend(self.remotes()?.into_iter().map(Namespace::Remote));
        let collections = self.dirs_in(MIRRORS)?;
        namespaces
            .extend(collections.iter().filter_map(|id| CollectionId::new(id).ok()).map(Namespace::Mirror));
        let (mut good, mut broken) = (Vec::new(), Vec::new());
        for namespace in namespaces {
            let spec = |name| Refspec { namespace: namespace.clone(), name };
            let base = base_of(&namespace);
            for name in names_below(self.dir, &base)? {
                let name = spec(name);
                let (target, alias_of) = match self.stored(&name)? {
                    Stored::At(target) => (Ok(Some(target)), None),
                    Stored::Alias(of) => (self.target(&name), Some(of)),
                    Stored::Malformed => (Ok(None), None),
                    Stored::Absent => continue,
                };
                match target {
                    Ok(Some(target)) => good.push(RefEntry { name, target, alias_of }),
                    Ok(None) | Err(Error::MalformedRef { .. }) => broken.push(BrokenRef { name, alias_of }),
                    Err(error) => return Err(error),
                }
            }
        }
        good.sort_by(|a, b| a.name.cmp(&b.name));
        broken.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((good, broken))
    }

    /// The remotes that have refs here.
    pub(crate) fn remotes(&self) -> Result<Vec<RemoteName>> {
        Ok(self.dirs_in(REMOTES)?.iter().filter_map(|name| RemoteName::new(name).ok()).collect())
    }

    fn dirs_in(&self, path: &str) -> Result<Vec<String>> {
        let Some(dir) = sapwood_fsio::open_dir_optional(self.dir, path)? else { return Ok(Vec::new()) };
        let entries = sapwood_fsio::entries(&dir)?.into_iter();
        Ok(entries
            .filter(|entry| entry.kind == Kind::Dir)
            .filter_map(|entry| entry.name.into_string().ok())
            .collect())
    }

    /// All refs of one tree as they are stored, sorted. Files whose name no ref can have are left out.
    pub(super) fn list_stored(&self, namespace: &Namespace) -> Result<Vec<(RefName, Stored)>> {
        let base = base_of(namespace);
        let mut all = Vec::new();
        for name in names_below(self.dir, &base)? {
            match read_one(self.dir, &base, &name)? {
                // Removed in the meantime.
                Stored::Absent => {}
                stored => all.push((name, stored)),
            }
        }
        Ok(all)
    }
}

/// Follows aliases from `name` on, with what `stored` says of each.
pub(super) fn follow(
    name: &Refspec,
    mut stored: impl FnMut(&Refspec) -> Result<Stored>,
) -> Result<Option<Id<Commit>>> {
    let mut at = name.clone();
    for _ in 0..=MAX_ALIASES {
        match stored(&at)? {
            Stored::Absent => return Ok(None),
            Stored::At(id) => return Ok(Some(id)),
            Stored::Alias(next) => at.name = next,
            Stored::Malformed => return Err(Error::MalformedRef { name: at }),
        }
    }
    Err(Error::MalformedRef { name: name.clone() })
}

/// The refs that an alias follows, one after another, [`MAX_ALIASES`] at most; none where `name` is no alias.
pub(super) fn chain(
    name: &Refspec,
    mut stored: impl FnMut(&Refspec) -> Result<Stored>,
) -> Result<Vec<Refspec>> {
    let (mut at, mut follows) = (name.clone(), Vec::new());
    while follows.len() < MAX_ALIASES
        && let Stored::Alias(next) = stored(&at)?
    {
        at.name = next;
        follows.push(at.clone());
    }
    Ok(follows)
}

/// The names of the files below a directory that refs can have, sorted.
fn names_below(dir: &Dir, base: &str) -> Result<Vec<RefName>> {
    let mut all = Vec::new();
    let mut todo = vec![String::new()];
    while let Some(prefix) = todo.pop() {
        let Some(here) = sapwood_fsio::open_dir_optional(dir, format!("{base}/{prefix}"))? else { continue };
        for entry in sapwood_fsio::entries(&here)? {
            let Some(name) =
                entry.name.to_str().and_then(|name| RefName::new(&format!("{prefix}{name}")).ok())
            else {
                continue;
            };
            match entry.kind {
                Kind::Dir => todo.push(format!("{name}/")),
                _ => all.push(name),
            }
        }
    }
    all.sort();
    Ok(all)
}

fn read_one(dir: &Dir, base: &str, name: &RefName) -> Result<Stored> {
    let path = format!("{base}/{name}");
    let stat = match sapwood_fsio::stat_optional(dir, &path) {
        // Another ref is where a directory would have to be.
        Err(error) if error.source.kind() == ErrorKind::NotADirectory => None,
        other => other?,
    };
    let Some(stat) = stat else { return Ok(Stored::Absent) };
    Ok(match stat.kind {
        Kind::Dir => Stored::Absent,
        Kind::File if stat.size > MAX_FILE_BYTES => Stored::Malformed,
        Kind::File => match sapwood_fsio::read_optional(dir, &path, MAX_FILE_BYTES)? {
            None => Stored::Absent,
            Some(bytes) => parse_file(&bytes).map_or(Stored::Malformed, Stored::At),
        },
        Kind::Symlink => {
            let link = sapwood_fsio::read_link(dir, &path)?;
            parse_alias(name, &link).map_or(Stored::Malformed, Stored::Alias)
        }
        _ => Stored::Malformed,
    })
}

/// Reads the content of a ref file: an id, and white space after it.
pub(super) fn parse_file(bytes: &[u8]) -> Option<Id<Commit>> {
    let text = std::str::from_utf8(bytes.trim_ascii_end()).ok()?;
    ObjectId::from_hex(text).ok().map(Id::new)
}

/// The ref that the symlink at `name` leads to, if it stays in the tree of refs. No link on the way is followed.
pub(super) fn parse_alias(name: &RefName, link: &[u8]) -> Option<RefName> {
    let link = std::str::from_utf8(link).ok()?;
    let mut parts: Vec<&str> = name.as_str().split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => {
                parts.pop()?;
            }
            "." => {}
            part => parts.push(part),
        }
    }
    RefName::new(&parts.join("/")).ok()
}

/// What the symlink at `name` must hold to lead to `of`.
pub(super) fn alias_link(name: &RefName, of: &RefName) -> String {
    "../".repeat(name.as_str().matches('/').count()) + of.as_str()
}
