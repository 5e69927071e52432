//! Bindings: a commit says which refs may point to it, and of which collection. Refs are held against what their commits
//! say, and commits against where the refs are that they name.

use super::BindingChecks;
use crate::commit::{COLLECTION_BINDING, REF_BINDING};
use crate::{CollectionId, Namespace, RefEntry, RefName, Refspec, Repo};
use sapwood_objstore::{Commit, Id, Value};

/// A commit and its refs that do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBinding {
    /// The commit.
    pub commit: Id<Commit>,
    /// What does not agree.
    pub problem: BindingProblem,
}

/// How a commit and its refs disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingProblem {
    /** A ref of a collection points to it, and it names no refs at all. */
    Unbound,
    /** A ref points to it that it does not name. */
    OtherRef {
        /** The ref. */
        name: RefName,
        /** Those that it names. */
        bound: Vec<String>,
    },
    /** A ref of a collection points to it, and it names no collection. */
    NoCollection,
    /** A ref of another collection than its own points to it. */
    OtherCollection {
        /** Its own. */
        bound: String,
        /** That of the ref. */
        expected: CollectionId,
    },
    /** A ref that it names does not exist. */
    NoSuchRef {
        /** The collection it names. */
        collection: Option<String>,
        /** The ref. */
        name: String,
    },
    /** A ref that it names points to another commit. */
    RefElsewhere {
        /** The collection it names. */
        collection: Option<String>,
        /** The ref. */
        name: String,
    },
}

/// What a commit says of itself.
struct Bound<'c> {
    refs: Option<&'c [String]>,
    collection: Option<&'c str>,
}

impl<'c> Bound<'c> {
    fn of(commit: &'c Commit) -> Self {
        let refs = match commit.metadata.get(REF_BINDING) {
            Some(Value::Strs(names)) => Some(names.as_slice()),
            _ => None,
        };
        Self { refs, collection: commit.metadata.get_str(COLLECTION_BINDING) }
    }

    /// The first thing wrong with a ref that points here; `collection` is the ref's.
    fn disagrees_with(&self, name: &RefName, collection: Option<&CollectionId>) -> Option<BindingProblem> {
        match self.refs {
            None if collection.is_some() => return Some(BindingProblem::Unbound),
            Some(bound) if !bound.iter().any(|bound| bound == name.as_str()) => {
                return Some(BindingProblem::OtherRef { name: name.clone(), bound: bound.to_vec() });
            }
            _ => {}
        }
        let expected = collection?;
        match self.collection {
            None => Some(BindingProblem::NoCollection),
            Some(bound) if bound != expected.as_str() => {
                Some(BindingProblem::OtherCollection { bound: bound.to_owned(), expected: expected.clone() })
            }
            Some(_) => None,
        }
    }
}

/// What is wrong with a ref that points to a commit, if anything is; `collection` is the ref's.
pub fn binding_problem(
    commit: &Commit,
    name: &RefName,
    collection: Option<&CollectionId>,
) -> Option<BindingProblem> {
    Bound::of(commit).disagrees_with(name, collection)
}

impl Repo {
    /// What is wrong with refs that point to a commit. Refs of remotes are not held against it, as in OSTree.
    pub(super) fn fsck_bound_refs(&self, refs: &[RefEntry], problems: &mut Vec<BadBinding>) {
        for entry in refs {
            let collection = match &entry.name.namespace {
                Namespace::Local => self.config().collection_id.as_ref(),
                Namespace::Mirror(collection) => Some(collection),
                Namespace::Remote(_) => continue,
            };
            // What cannot be read is found elsewhere.
            let Ok(commit) = self.store().load(entry.target) else { continue };
            if let Some(problem) = Bound::of(&commit).disagrees_with(&entry.name.name, collection) {
                problems.push(BadBinding { commit: entry.target, problem });
            }
        }
    }

    /// What is wrong with the refs that a commit names.
    pub(super) fn fsck_back_refs(
        &self,
        (id, commit): (Id<Commit>, &Commit),
        refs: &[RefEntry],
        checks: BindingChecks,
        problems: &mut Vec<BadBinding>,
    ) {
        if checks != BindingChecks::Both {
            return;
        }
        let bound = Bound::of(commit);
        for name in bound.refs.unwrap_or_default() {
            let is_it = |spec: &Refspec| match (&spec.namespace, bound.collection) {
                (Namespace::Local, None) => true,
                (Namespace::Local, Some(own)) => {
                    self.config().collection_id.as_ref().is_some_and(|id| id.as_str() == own)
                }
                (Namespace::Mirror(of), Some(own)) => of.as_str() == own,
                _ => false,
            };
            let found = refs.iter().find(|entry| entry.name.name.as_str() == name && is_it(&entry.name));
            let (collection, name) = (bound.collection.map(str::to_owned), name.clone());
            let problem = match found {
                Some(entry) if entry.target == id => continue,
                Some(_) => BindingProblem::RefElsewhere { collection, name },
                None => BindingProblem::NoSuchRef { collection, name },
            };
            problems.push(BadBinding { commit: id, problem });
        }
    }
}
