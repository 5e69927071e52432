//! Adding objects and moving refs: objects are durable before any ref moves.
//!
//! **Invariant.** [`Transaction::commit`] goes in this order, and stops where a step fails: objects durable, objects
//! visible, marks of incompleteness removed, refs checked, refs moved, summary renewed. So a ref that can be seen leads
//! to a commit that is complete, whatever moment the power fails.

use crate::statement::Seen;
use crate::{RefEdit, RemoteName, Repo, Result, SummaryCopy, SummaryState};
use sapwood_objstore::{Commit, Id, ObjectName, Published};

/// Objects and ref changes that take effect together. Dropping it leaves nothing visible.
#[derive(Debug)]
#[must_use = "nothing is stored until `commit` returns"]
pub struct Transaction<'repo> {
    repo: &'repo Repo,
    objects: sapwood_objstore::Transaction<'repo>,
    edits: Vec<RefEdit>,
    completed: Vec<Id<Commit>>,
    believed: Option<(RemoteName, Seen)>,
}

/// What becomes of the summary once the refs have moved.
#[derive(Clone, Copy)]
enum Then<'a> {
    /// Where that is configured, it is renewed.
    Follow,
    /// This copy takes its place, if it still is as it was then.
    Copy(&'a SummaryCopy<'a>, &'a SummaryState),
    /// Nothing.
    Leave,
}

impl<'repo> Transaction<'repo> {
    pub(crate) fn begin(repo: &'repo Repo) -> Result<Self> {
        let objects = repo.store().begin()?;
        Ok(Self { repo, objects, edits: Vec::new(), completed: Vec::new(), believed: None })
    }

    /// The repository it belongs to.
    pub fn repo(&self) -> &'repo Repo {
        self.repo
    }

    /// The objects being added.
    pub fn objects(&self) -> &sapwood_objstore::Transaction<'repo> {
        &self.objects
    }

    /// Has objects made anew that are damaged: see [`sapwood_objstore::Transaction::replace`].
    pub fn replace(&mut self, names: impl IntoIterator<Item = ObjectName>) {
        self.objects.replace(names);
    }

    /// Adds a change of a ref, checked and made when the transaction commits.
    pub fn edit_ref(&mut self, edit: RefEdit) {
        self.edits.push(edit);
    }

    /// Has refs moved only if this is still what is known of a remote's statements then: see [`Repo::see`].
    pub fn believe(&mut self, remote: RemoteName, seen: Seen) {
        self.believed = Some((remote, seen));
    }

    /// Has the mark of incompleteness of a commit removed once the objects are durable.
    pub fn complete(&mut self, commit: Id<Commit>) {
        self.completed.push(commit);
    }

    /// Makes the objects durable and visible, then moves the refs, then (where configured) renews the summary.
    ///
    /// # Errors
    /// Those of [`sapwood_objstore::Transaction::publish`]: nothing is visible. Those of [`Repo::edit_refs`], and
    /// [`Error::NotFresh`](crate::Error::NotFresh) where a remote was not to be believed any more: the objects are there, no
    /// ref has moved (or, when the disk failed, some). Those of [`Repo::update_summary`]: all is done but the summary.
    pub fn commit(self) -> Result<Published> {
        self.commit_then(Then::Follow)
    }

    /// As [`commit`](Self::commit), but keeps a copy of another repository's summary in place of renewing it from the refs here;
    /// if it still is as it was `before`.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and those of [`Repo::copy_summary`]: all is done but the summary.
    pub fn commit_with_summary(self, copy: &SummaryCopy<'_>, before: &SummaryState) -> Result<Published> {
        self.commit_then(Then::Copy(copy, before))
    }

    /// As [`commit`](Self::commit), for a caller that writes the summary next.
    pub(crate) fn commit_before_summary(self) -> Result<Published> {
        self.commit_then(Then::Leave)
    }

    fn commit_then(self, then: Then<'_>) -> Result<Published> {
        let (published, guard) = self.objects.publish()?;
        // As OSTree does; a failure can be made up for by any later one.
        if let Err(error) = self.repo.store().clean_tmp(self.repo.config().tmp_expiry) {
            tracing::debug!(%error, "what is old in `tmp` was not removed");
        }
        for commit in self.completed {
            self.repo.clear_partial(commit)?;
        }
        let moved = !self.edits.is_empty();
        if moved {
            let repo = self.repo;
            repo.edit_refs_locked(self.edits, &|| match &self.believed {
                Some((remote, seen)) => repo.check_seen(remote, seen),
                None => Ok(()),
            })?;
        }
        match then {
            Then::Copy(copy, before) => self.repo.copy_summary(copy, before)?,
            Then::Follow if moved => self.repo.follow_with_summary()?,
            Then::Follow | Then::Leave => {}
        }
        drop(guard);
        Ok(published)
    }
}
