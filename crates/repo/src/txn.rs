//! Adding objects and moving refs: objects are durable before any ref moves.

use crate::{RefEdit, Result};
use sapwood_objstore::Published;

/// Objects and ref changes that take effect together. Dropping it leaves nothing visible.
#[derive(Debug)]
#[must_use = "nothing is stored until `commit` returns"]
pub struct Transaction<'repo> { objects: sapwood_objstore::Transaction<'repo> }

impl<'repo> Transaction<'repo> {
    /// The objects being added.
    pub fn objects(&self) -> &sapwood_objstore::Transaction<'repo> { &self.objects }
    /// Adds a change of a ref, checked and made when the transaction commits.
    pub fn edit_ref(&mut self, edit: RefEdit) { todo!() }
    /// Has the mark of incompleteness of a commit removed once the objects are durable.
    pub fn complete(&mut self, commit: sapwood_objstore::Id<sapwood_objstore::Commit>) { todo!() }
    /// Makes the objects durable and visible, then moves the refs, then (where configured) renews the summary.
    pub fn commit(self) -> Result<Published> { todo!() }
}
