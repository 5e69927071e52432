//! Revisions: the texts that name a commit.

use crate::{Error, Namespace, RefName, Refspec, Repo, Result};
use sapwood_objstore::{Commit, Id, ObjectId, ObjectKind, Prefix};

/// How many `^` a revision may end in.
const MAX_PARENTS: usize = 100_000;

impl Repo {
    /// The commit that a revision names: a ref, `REMOTE:REF`, an id, a unique prefix of one, each with any number of `^`.
    ///
    /// A name is looked for among the local refs, then among those of all remotes (in order of their names), then as a
    /// prefix. An id of full length is taken as it is, whether or not the commit is here.
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
        if text.contains(':') {
            return match Refspec::parse(text) {
                Ok(name) => self.ref_target(&name),
                Err(_) => Ok(None),
            };
        }
        if let Ok(name) = RefName::new(text)
            && let Some(id) = self.find_ref(name)?
        {
            return Ok(Some(id));
        }
        // `REMOTE/REF`, as git has it.
        if let Some((remote, name)) = text.split_once('/')
            && let Ok(name) = Refspec::parse(&format!("{remote}:{name}"))
            && let Some(id) = self.ref_target(&name)?
        {
            return Ok(Some(id));
        }
        match Prefix::parse(text) {
            Ok(prefix) => self.find_prefix(&prefix),
            Err(_) => Ok(None),
        }
    }

    /// The commit that a new one on the branch comes after: where the branch points; if there is no such local branch, where
    /// the first remote's ref of its name does, as in OSTree.
    ///
    /// # Errors
    /// [`Error::MalformedRef`], [`Error::Io`].
    pub fn branch_parent(&self, branch: &Refspec) -> Result<Option<Id<Commit>>> {
        if branch.is_local() { self.find_ref(branch.name.clone()) } else { self.ref_target(branch) }
    }

    fn find_ref(&self, name: RefName) -> Result<Option<Id<Commit>>> {
        let mut spec = Refspec::local(name);
        if let Some(id) = self.ref_target(&spec)? {
            return Ok(Some(id));
        }
        for remote in self.ref_db().remotes()? {
            spec.namespace = Namespace::Remote(remote);
            if let Some(id) = self.ref_target(&spec)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn find_prefix(&self, prefix: &Prefix) -> Result<Option<Id<Commit>>> {
        let mut found = Vec::new();
        for shard in 0..=u8::MAX {
            let name = format!("{shard:02x}");
            if !(name.starts_with(prefix.as_str()) || prefix.as_str().starts_with(&name)) {
                continue;
            }
            let objects = self.store().shard_objects(shard)?.into_iter();
            found.extend(objects.filter(|name| name.kind == ObjectKind::Commit && prefix.matches(&name.id)));
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Id::new(one.id))),
            _ => Err(Error::AmbiguousRevision { text: prefix.as_str().to_owned(), count: found.len() }),
        }
    }
}
