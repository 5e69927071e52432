//! Revisions: the texts that name a commit.

use crate::refs::RefDb;
use crate::repo::ParentRepo;
use crate::{Error, RefName, Refspec, Repo, Result};
use sapwood_objstore::{Commit, Id, ObjectId, ObjectKind, Prefix};
use std::collections::BTreeSet;
use std::iter;

/// Stands before and after the number in `REF@{N}`.
const BACK: (&str, char) = ("@{", '}');

/// How many `^` a revision may end in.
const MAX_PARENTS: usize = 100_000;

impl Repo {
    /// The commit that a revision names: a ref, `REMOTE:REF`, an id, a unique prefix of one, each with any number of `^`. After
    /// a ref can stand `@{N}`: where it was before its last N moves, as far as the log of refs remembers.
    ///
    /// As in OSTree, what is the beginning of exactly one commit's id is that, whatever refs are called. A name is looked
    /// for among the local refs, then among those of all remotes (in order of their names), then likewise in the
    /// repositories that this one looks into. An id of full length is taken as it is, whether or not the commit is here.
    ///
    /// # Errors
    /// [`Error::UnknownRevision`], [`Error::AmbiguousRevision`], [`Error::NoParent`]; [`Error::MalformedRef`],
    /// [`Error::Store`], [`Error::Io`].
    pub fn resolve(&self, revision: &str) -> Result<Id<Commit>> {
        let base = revision.trim_end_matches('^');
        let parents = revision.len() - base.len();
        let unknown = || Error::UnknownRevision { text: revision.chars().take(80).collect() };
        if parents > MAX_PARENTS {
            return Err(unknown());
        }
        let mut id = self.resolve_base(base)?.ok_or_else(unknown)?;
        for _ in 0..parents {
            id = self.store().load(id)?.parent.ok_or(Error::NoParent { id })?;
        }
        Ok(id)
    }

    fn resolve_base(&self, text: &str) -> Result<Option<Id<Commit>>> {
        if let Ok(id) = ObjectId::from_hex(text) {
            return Ok(Some(Id::new(id)));
        }
        let back = text.strip_suffix(BACK.1).and_then(|text| text.rsplit_once(BACK.0));
        if let Some((name, back)) = back {
            return self.find_before(name, back);
        }
        let matches = match Prefix::parse(text) {
            Ok(prefix) => self.commits_beginning(&prefix)?,
            Err(_) => BTreeSet::new(),
        };
        let count = matches.len();
        if count == 1 {
            return Ok(matches.first().copied());
        }
        match self.find_name(text)? {
            None if count > 1 => Err(Error::AmbiguousRevision { text: text.to_owned(), count }),
            found => Ok(found),
        }
    }

    /// Where a ref of that name was: a local one, else the first remote's.
    fn find_before(&self, name: &str, back: &str) -> Result<Option<Id<Commit>>> {
        let is_number = !back.is_empty() && back.bytes().all(|byte| byte.is_ascii_digit());
        let Some(back) = back.parse().ok().filter(|_| is_number) else { return Ok(None) };
        if name.contains(':') {
            return Refspec::parse(name).map_or(Ok(None), |name| self.ref_before(&name, back));
        }
        let Ok(name) = RefName::new(name) else { return Ok(None) };
        let remotes = self.ref_db().remotes()?.into_iter();
        let of_remotes = remotes.map(|remote| Refspec::of_remote(remote, name.clone()));
        for name in iter::once(Refspec::local(name.clone())).chain(of_remotes) {
            if let Some(found) = self.ref_before(&name, back)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What a ref of that name points to: here, then in the repositories that this one looks into.
    fn find_name(&self, text: &str) -> Result<Option<Id<Commit>>> {
        let parents = self.parents().iter().map(ParentRepo::ref_db);
        for refs in iter::once(self.ref_db()).chain(parents) {
            let found = if text.contains(':') {
                Refspec::parse(text).ok().map(|name| refs.target(&name)).transpose()?.flatten()
            } else {
                find_ref(&refs, text)?
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The commit that a new one on the branch comes after: where the branch points; if there is no such local branch, where
    /// the first remote's ref of its name does, as in OSTree.
    ///
    /// # Errors
    /// [`Error::MalformedRef`], [`Error::Io`].
    pub fn branch_parent(&self, branch: &Refspec) -> Result<Option<Id<Commit>>> {
        if branch.is_local() {
            find_ref(&self.ref_db(), branch.name.as_str())
        } else {
            self.ref_target(branch)
        }
    }

    /// The commits here, and in the repositories that this one looks into, whose ids begin so.
    fn commits_beginning(&self, prefix: &Prefix) -> Result<BTreeSet<Id<Commit>>> {
        let mut found = BTreeSet::new();
        for store in iter::successors(Some(self.store()), |store| store.parent()) {
            for shard in 0..=u8::MAX {
                let name = format!("{shard:02x}");
                if !(name.starts_with(prefix.as_str()) || prefix.as_str().starts_with(&name)) {
                    continue;
                }
                let objects = store.shard_objects(shard)?.into_iter();
                let commits =
                    objects.filter(|name| name.kind == ObjectKind::Commit && prefix.matches(&name.id));
                found.extend(commits.map(|name| Id::new(name.id)));
            }
        }
        Ok(found)
    }
}

/// Where the local ref of that name points, else the first remote's, else `REMOTE/REF`, as git has it.
fn find_ref(refs: &RefDb<'_>, text: &str) -> Result<Option<Id<Commit>>> {
    let Ok(name) = RefName::new(text) else { return Ok(None) };
    if let Some(id) = refs.target(&Refspec::local(name.clone()))? {
        return Ok(Some(id));
    }
    for remote in refs.remotes()? {
        if let Some(id) = refs.target(&Refspec::of_remote(remote, name.clone()))? {
            return Ok(Some(id));
        }
    }
    match text.split_once('/').map(|(remote, name)| Refspec::parse(&format!("{remote}:{name}"))) {
        Some(Ok(name)) => refs.target(&name),
        _ => Ok(None),
    }
}
