//! What the threads do: look up, verify, store.

use super::frontier::{Contents, Item};
use super::options::{Bindings, Scope};
use super::queue::{Job, Payload, Queue};
use super::scratch::Scratch;
use crate::PullError;
use bytes::Bytes;
use sapwood_objstore::{
    Commit, DirTree, Error, Id, MetaObject, ObjectId, ObjectKind, ObjectName, Transaction, Trust, Value,
};
use sapwood_repo::{RefName, Repo};
use std::collections::HashMap;
use std::sync::mpsc::Sender;

/// What the driver is told.
#[derive(Debug)]
pub(super) enum News {
    /// What came of looking objects up.
    Looked(Vec<(Item, Found)>),
    /// An object is stored.
    Stored(Item, Contents),
    /// What was fetched is not the object.
    Bad(Item, Error),
    /// The remote has no such object.
    NotThere(Item),
    /// The metadata beside a commit is stored.
    Detached,
    /// What came of several jobs.
    Several(Vec<News>),
    /// The pull cannot go on.
    Failed(PullError),
}

/// What came of looking an object up.
#[derive(Debug)]
pub(super) enum Found {
    /// It was here.
    Here(Contents),
    /// It was not, and has been taken over from the other repository.
    Taken(Contents),
    /// It is not here.
    Absent,
    /// It is neither here nor in the other repository.
    Missing,
}

/// Where objects come from that are at hand without a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local<'a> {
    pub(super) repo: &'a Repo,
    pub(super) trust: Trust,
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    pub(super) repo: &'a Repo,
    pub(super) objects: &'a Transaction<'a>,
    pub(super) local: Option<Local<'a>>,
    pub(super) scratch: Option<&'a Scratch>,
    /// What the source is called in messages.
    pub(super) source: &'a str,
    /// The refs that commits are pulled for.
    pub(super) bound: &'a HashMap<ObjectId, Vec<RefName>>,
    pub(super) bindings: Bindings,
    pub(super) scope: Scope,
}

/// Says that a thread died, so that nobody waits for it.
struct Alarm<'a>(&'a Sender<News>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.0.send(News::Failed(PullError::Stopped { why: "a thread died" })));
        }
    }
}

impl Workshop<'_> {
    /// Works until the queue is closed.
    pub(super) fn work(&self, queue: &Queue, threads: usize, news: &Sender<News>) {
        let _alarm = Alarm(news);
        while let Some(jobs) = queue.take(threads) {
            let done = jobs.into_iter().map(|job| self.one(job).unwrap_or_else(News::Failed)).collect();
            // Nobody listens if the pull has failed otherwise.
            drop(news.send(News::Several(done)));
        }
    }

    fn one(&self, job: Job) -> Result<News, PullError> {
        match job {
            Job::Look(items) => {
                let looked = items.into_iter().map(|item| Ok((item, self.look(item.name)?)));
                looked.collect::<Result<_, _>>().map(News::Looked)
            }
            Job::Store(item, payload) => match self.store(item.name, &payload) {
                Ok(contents) => {
                    self.clean(&payload)?;
                    Ok(News::Stored(item, contents))
                }
                Err(PullError::Store { source, .. }) if is_bad(&source) => {
                    self.clean(&payload)?;
                    Ok(News::Bad(item, *source))
                }
                Err(error) => Err(error),
            },
            Job::Detached(commit, bytes) => {
                self.put_detached(commit, bytes.as_ref())?;
                Ok(News::Detached)
            }
        }
    }

    fn clean(&self, payload: &Payload) -> Result<(), PullError> {
        match (payload, self.scratch) {
            (Payload::Parts(parts), Some(scratch)) => Ok(scratch.remove(parts)?),
            _ => Ok(()),
        }
    }

    fn look(&self, name: ObjectName) -> Result<Found, PullError> {
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        if self.objects.contains(name).map_err(failed)? {
            return self.contents(name).map(Found::Here);
        }
        let Some(local) = self.local else { return Ok(Found::Absent) };
        match self.take(local, name) {
            Err(PullError::Store { object, source })
                if object == name
                    && matches!(*source, Error::Missing { name: missing } if missing == name) =>
            {
                Ok(Found::Missing)
            }
            Err(PullError::Store { object, source }) if is_bad(&source) => {
                Err(PullError::BadObject { remote: self.source.into(), object, source })
            }
            other => other.map(Found::Taken),
        }
    }

    /// Takes an object over from the other repository.
    fn take(&self, local: Local<'_>, name: ObjectName) -> Result<Contents, PullError> {
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        if name.kind == ObjectKind::Commit {
            let id = Id::new(name.id);
            let commit: Commit = local.repo.store().load(id).map_err(failed)?;
            self.admit(id, &commit)?;
            if let Some(beside) = local.repo.store().detached(id).map_err(failed)? {
                self.objects.put_detached(id, &beside).map_err(failed)?;
            }
        }
        self.objects.import(local.repo.store(), name, local.trust).map_err(failed)?;
        self.contents(name)
    }

    /// What an object that is here refers to.
    fn contents(&self, name: ObjectName) -> Result<Contents, PullError> {
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        match name.kind {
            ObjectKind::File | ObjectKind::DirMeta => Ok(Contents::Leaf),
            ObjectKind::DirTree => {
                let tree: DirTree = self.objects.load(Id::new(name.id)).map_err(failed)?;
                Ok(tree_contents(&tree))
            }
            ObjectKind::Commit => {
                let id = Id::new(name.id);
                let commit: Commit = self.objects.load(id).map_err(failed)?;
                self.check_bindings(id, &commit)?;
                // One that is only staged was marked before.
                let complete = self.scope == Scope::Everything && !self.repo.is_partial(id)?;
                Ok(commit_contents(&commit, complete))
            }
        }
    }

    fn store(&self, name: ObjectName, payload: &Payload) -> Result<Contents, PullError> {
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        let put = |bytes: &Bytes| self.objects.put_bytes(name, bytes).map_err(failed);
        let format = self.repo.store().format();
        let malformed = |source| failed(Error::Malformed { name, source });
        match (name.kind, payload) {
            (ObjectKind::File, Payload::Parts(parts)) => {
                let Some(scratch) = self.scratch else { return Ok(Contents::Leaf) };
                let mut content = scratch.read(parts)?;
                self.objects.put_archived(Id::new(name.id), &mut content).map_err(failed)?;
                Ok(Contents::Leaf)
            }
            (ObjectKind::File, Payload::Bytes(bytes) | Payload::Commit(bytes, _)) => {
                self.objects.put_archived(Id::new(name.id), &mut bytes.as_ref()).map_err(failed)?;
                Ok(Contents::Leaf)
            }
            (ObjectKind::DirMeta, Payload::Bytes(bytes)) => put(bytes).map(|()| Contents::Leaf),
            (ObjectKind::DirTree, Payload::Bytes(bytes)) => {
                put(bytes)?;
                DirTree::decode(format, bytes).map(|tree| tree_contents(&tree)).map_err(malformed)
            }
            (ObjectKind::Commit, Payload::Commit(bytes, detached)) => {
                let id = Id::new(name.id);
                let actual = format.id_of(name.kind, bytes);
                if actual != name.id {
                    return Err(failed(Error::Corrupt { name, actual }));
                }
                let commit = Commit::decode(format, bytes).map_err(malformed)?;
                self.admit(id, &commit)?;
                self.put_detached(id, detached.as_ref())?;
                put(bytes)?;
                Ok(commit_contents(&commit, false))
            }
            _ => Err(PullError::Stopped { why: "an object was fetched as another kind" }),
        }
    }

    /// What must be right, and be on the disk, before a commit is taken in.
    fn admit(&self, id: Id<Commit>, commit: &Commit) -> Result<(), PullError> {
        self.check_bindings(id, commit)?;
        Ok(self.repo.mark_partial(id)?)
    }

    fn check_bindings(&self, id: Id<Commit>, commit: &Commit) -> Result<(), PullError> {
        let Some(names) = self.bound.get(&id.raw()).filter(|_| self.bindings == Bindings::Check) else {
            return Ok(());
        };
        let bound_to = match commit.metadata.get("ostree.ref-binding") {
            None => return Ok(()),
            Some(Value::Strs(bound_to)) => bound_to.as_slice(),
            Some(_) => &[],
        };
        match names.iter().find(|name| !bound_to.iter().any(|bound| bound == name.as_str())) {
            None => Ok(()),
            Some(name) => {
                Err(PullError::NotBound { commit: id, name: name.clone(), bound_to: bound_to.to_vec() })
            }
        }
    }

    fn put_detached(&self, commit: Id<Commit>, bytes: Option<&Bytes>) -> Result<(), PullError> {
        // An empty file is how deleted metadata is left behind.
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        let name = commit.name();
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        let metadata =
            self.repo.store().format().decode_metadata(bytes).map_err(|source| PullError::Malformed {
                remote: self.source.into(),
                file: "the metadata beside a commit",
                source: source.into(),
            })?;
        if self.repo.store().detached(commit).ok().flatten().as_ref() == Some(&metadata) {
            return Ok(());
        }
        self.objects.put_detached(commit, &metadata).map_err(failed)
    }
}

/// Whether the source is at fault, rather than this machine.
fn is_bad(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. } | Error::Malformed { .. } | Error::TooLarge { .. } | Error::Source(_)
    )
}

fn tree_contents(tree: &DirTree) -> Contents {
    Contents::Tree {
        files: tree.files().iter().map(|file| (file.id, file.size)).collect(),
        dirs: tree.dirs().iter().map(|dir| (dir.tree, dir.meta)).collect(),
    }
}

fn commit_contents(commit: &Commit, complete: bool) -> Contents {
    let root = (!complete).then_some((commit.tree, commit.meta));
    Contents::Commit { parent: commit.parent, root }
}
