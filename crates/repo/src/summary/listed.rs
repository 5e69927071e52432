//! Whether a summary says where the refs are.

use super::Summary;
use crate::{RefName, Repo, Result};
use sapwood_objstore::{Commit, DecodeError, Id};
use std::collections::BTreeMap;

/// Refs and what they point to: the repository's own, and with their collections those of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed(BTreeMap<(Option<String>, RefName), Id<Commit>>);

impl Summary {
    /// The refs that it lists.
    ///
    /// # Errors
    /// Where the list of other collections is malformed.
    pub fn listed(&self) -> std::result::Result<Listed, DecodeError> {
        let own = self.refs.iter().map(|entry| ((None, entry.name.clone()), entry.target));
        let mut listed: BTreeMap<_, _> = own.collect();
        for (collection, refs) in self.collections()? {
            let refs = refs.into_iter().map(|entry| ((Some(collection.clone()), entry.name), entry.target));
            listed.extend(refs);
        }
        Ok(Listed(listed))
    }
}

impl Repo {
    /// The refs that a summary would list if it were written now.
    ///
    /// # Errors
    /// As [`refs`](Self::refs).
    pub fn to_be_listed(&self) -> Result<Listed> {
        let own = self.refs()?.into_iter().filter(|entry| entry.name.is_local());
        let mut listed: BTreeMap<_, _> = own.map(|entry| ((None, entry.name.name), entry.target)).collect();
        for (collection, entry) in self.refs_of_others()? {
            listed.insert((Some(collection.to_string()), entry.name.name), entry.target);
        }
        Ok(Listed(listed))
    }
}
