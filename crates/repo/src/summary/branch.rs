//! The branch `ostree-metadata`: commits of nothing, whose metadata says about a collection what the summary says about
//! the repository, and which can be pulled as any other branch can.

use super::ordered;
use crate::commit::{COLLECTION_BINDING, REF_BINDING};
use crate::sign::{Signer, sign_by_all};
use crate::{CommitOptions, ImportedTree, RefName, Refspec, Repo, Result, Root};
use sapwood_objstore::{Commit, DirMeta, DirTree, Id, Metadata, Totals, Value, Xattrs};

/// Its name.
const BRANCH: &str = "ostree-metadata";

impl Repo {
    /// Records facts about the repository as a commit on the branch `ostree-metadata`, bound to it and to the repository's
    /// collection, signed before the branch shows it; for a caller that writes the summary next. `None`, and nothing done, in a
    /// repository of no collection. As for any commit, a prune waits while keys sign.
    ///
    /// # Errors
    /// [`Error::Sign`](crate::Error::Sign) where a key fails: the branch is where it was. As [`Transaction::commit`](crate::Transaction::commit).
    pub fn commit_metadata(
        &self,
        facts: &Metadata,
        signers: &[Box<dyn Signer>],
    ) -> Result<Option<Id<Commit>>> {
        let Some(collection) = &self.config().collection_id else { return Ok(None) };
        let mut metadata = facts.clone();
        metadata.set(REF_BINDING, Value::Strs(vec![BRANCH.to_owned()]));
        metadata.set(COLLECTION_BINDING, Value::Str(collection.to_string()));
        let mut txn = self.begin()?;
        let root = Root {
            tree: txn.objects().put(&DirTree::default())?,
            meta: txn.objects().put(&DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() })?,
        };
        let tree = ImportedTree { root, totals: Totals { dirs: 1, ..Totals::default() } };
        let options = CommitOptions {
            branch: Some(Refspec::local(RefName::new(BRANCH)?)),
            metadata: ordered(&metadata),
            no_bindings: true,
            ..CommitOptions::default()
        };
        let id = self.stage_commit(&mut txn, tree, &options)?;
        if !signers.is_empty() {
            let bytes = txn.objects().load_bytes(id.name())?;
            txn.objects().put_detached(id, &sign_by_all(signers, &bytes)?)?;
        }
        txn.commit_before_summary()?;
        Ok(Some(id))
    }
}
