//! What the threads do: look up, verify, store.

use super::frontier::{Contents, Item};
use super::options::{Bindings, FileModes, Scope};
use super::queue::{Job, Payload, Queue};
use super::scratch::Scratch;
use super::subpath::{Part, Selection, Share};
use crate::{FetchError, PullError};
use bytes::Bytes;
use sapwood_objstore::{
    Commit, DirTree, Error, FileHeader, Id, MetaObject, Metadata, ObjectId, ObjectKind, ObjectName,
    Transaction, Trust, Value,
};
use sapwood_repo::sign::Policy;
use sapwood_repo::{ClosureDirs, CollectionId, RefName, Repo};
use std::collections::{HashMap, HashSet};
use std::io::Read;
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
    /// It could not be fetched to its end.
    Broken(Item, FetchError),
    /// The remote has no such object.
    NotThere(Item),
    /// There is no room for it beside what else is under way. Nothing of it is left.
    NoRoom(Item, PullError),
    /// The metadata beside a commit is stored.
    Detached,
    /// The directories of a commit, as the remote's closure has them.
    Closure(Id<Commit>, ClosureDirs),
    /// All of a closure that is of use has come.
    ClosureEnds,
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
    /// It was not, and has been taken over from another repository of this machine.
    Taken(Contents),
    /// It is not here.
    Absent,
    /// It is neither here nor in the repository that is pulled from.
    Missing,
}

/// Repositories of this machine that objects come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Local<'a> {
    /// The one that is pulled from, and whether it is believed.
    Source(&'a Repo, Trust),
    /// Some that may spare a fetch, of which none is believed: what one has wrong can be fetched. Commits are fetched all the
    /// same: what is beside them may be newer on the remote.
    Caches(&'a [&'a Repo]),
}

/// How old a commit may be: not older than this one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    pub(super) commit: Id<Commit>,
    pub(super) timestamp: u64,
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    pub(super) repo: &'a Repo,
    pub(super) objects: &'a Transaction<'a>,
    pub(super) local: Local<'a>,
    pub(super) scratch: Option<&'a Scratch>,
    /// What the source is called in messages.
    pub(super) source: &'a str,
    /// The refs that commits are pulled for.
    pub(super) bound: &'a HashMap<ObjectId, Vec<(RefName, Option<CollectionId>)>>,
    pub(super) bindings: Bindings,
    /// The youngest of what a wanted commit must not be older than.
    pub(super) floors: &'a HashMap<ObjectId, Floor>,
    pub(super) file_modes: FileModes,
    pub(super) scope: Scope,
    /// Which parts of trees are wanted; `None` is all.
    pub(super) selection: Option<Selection>,
    pub(super) policy: &'a Policy,
    /// Commits that were here before: they are checked with the metadata that the remote has beside them now.
    pub(super) roots: &'a HashSet<ObjectId>,
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
                let looked = items.into_iter().map(|item| Ok((item, self.look(item)?)));
                looked.collect::<Result<_, _>>().map(News::Looked)
            }
            Job::Store(item, payload, _place) => match self.with_room(|| self.store(item, &payload)) {
                Ok(contents) => {
                    self.clean(&payload)?;
                    Ok(News::Stored(item, contents))
                }
                Err(PullError::Store { source, .. }) if is_bad(&source) => {
                    self.clean(&payload)?;
                    Ok(News::Bad(item, *source))
                }
                Err(error) => {
                    // What cannot be stored is not to take up the disk. Why it cannot says more than that it stays there.
                    drop(self.clean(&payload));
                    if error.is_no_space() { Ok(News::NoRoom(item, error)) } else { Err(error) }
                }
            },
            Job::Detached(commit, bytes, _place) => {
                let fetched = self.decode_detached(bytes.as_ref())?;
                self.check_again(commit, fetched.as_ref())?;
                self.with_room(|| self.put_detached(commit, fetched.as_ref()))?;
                Ok(News::Detached)
            }
        }
    }

    /// See [`Scratch::with_room`].
    fn with_room<T>(&self, mut attempt: impl FnMut() -> Result<T, PullError>) -> Result<T, PullError> {
        match self.scratch {
            Some(scratch) => scratch.with_room(PullError::is_no_space, attempt),
            None => attempt(),
        }
    }

    fn clean(&self, payload: &Payload) -> Result<(), PullError> {
        match (payload, self.scratch) {
            (Payload::Parts(parts), Some(scratch)) => Ok(scratch.remove(parts)?),
            _ => Ok(()),
        }
    }

    fn look(&self, item: Item) -> Result<Found, PullError> {
        let name = item.name;
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        if self.objects.contains(name).map_err(failed)? {
            if name.kind == ObjectKind::Commit {
                self.check_found(Id::new(name.id))?;
            }
            return self.contents(item).map(Found::Here);
        }
        match self.local {
            Local::Source(repo, trust) => match self.take(repo, trust, item) {
                Err(PullError::Store { object, source }) if is_lacking(name, object, &source) => {
                    Ok(Found::Missing)
                }
                Err(PullError::Store { object, source }) if is_bad(&source) => {
                    Err(PullError::BadObject { remote: self.source.into(), object, source })
                }
                other => other.map(Found::Taken),
            },
            Local::Caches(_) if name.kind == ObjectKind::Commit => Ok(Found::Absent),
            Local::Caches(caches) => {
                for repo in caches {
                    match self.with_room(|| self.take(repo, Trust::Untrusted, item)) {
                        // Where there is no room now, it is fetched when there is.
                        Err(PullError::Store { object, source })
                            if is_lacking(name, object, &source)
                                || is_bad(&source)
                                || source.is_no_space() =>
                        {
                            tracing::debug!(object = %name, error = %source, "not in this cache");
                        }
                        other => return other.map(Found::Taken),
                    }
                }
                Ok(Found::Absent)
            }
        }
    }

    /// Takes an object over from another repository of this machine.
    fn take(&self, from: &Repo, trust: Trust, item: Item) -> Result<Contents, PullError> {
        let name = item.name;
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        if name.kind == ObjectKind::Commit {
            let id = Id::new(name.id);
            let bytes = from.store().load_bytes(name).map_err(failed)?;
            let decoded = Commit::decode(from.store().format(), &bytes);
            let commit = decoded.map_err(|source| failed(Error::Malformed { name, source }))?;
            let beside = self.detached_of(from, id)?;
            self.check_policy(id, &bytes, beside.as_ref())?;
            self.admit(id, &commit)?;
            self.put_detached(id, beside.as_ref())?;
        }
        if name.kind == ObjectKind::File && self.file_modes == FileModes::Plain {
            let file = from.store().open_file(Id::new(name.id)).map_err(failed)?;
            self.check_mode(name.id, &file.header)?;
        }
        self.objects.import(from.store(), name, trust).map_err(failed)?;
        self.contents(item)
    }

    pub(super) fn check_mode(&self, id: ObjectId, header: &FileHeader) -> Result<(), PullError> {
        let bits = header.mode & 0o7777 & !0o775;
        if self.file_modes == FileModes::Any || !header.is_regular() || bits == 0 {
            return Ok(());
        }
        Err(PullError::FileMode { id, mode: header.mode, bits })
    }

    /// What an object that is here refers to.
    fn contents(&self, item: Item) -> Result<Contents, PullError> {
        let name = item.name;
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        match name.kind {
            ObjectKind::File | ObjectKind::DirMeta => Ok(Contents::Leaf),
            ObjectKind::DirTree => {
                let tree: DirTree = self.objects.load(Id::new(name.id)).map_err(failed)?;
                Ok(self.tree_contents(item.part, &tree))
            }
            ObjectKind::Commit => {
                let id = Id::new(name.id);
                let commit: Commit = self.objects.load(id).map_err(failed)?;
                self.check_commit(id, &commit)?;
                // One that is only staged was marked before.
                let complete = self.scope == Scope::Everything && !self.repo.is_partial(id)?;
                Ok(commit_contents(&commit, complete))
            }
        }
    }

    fn store(&self, item: Item, payload: &Payload) -> Result<Contents, PullError> {
        let name = item.name;
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        let put = |bytes: &Bytes| self.objects.put_bytes(name, bytes).map_err(failed);
        let format = self.repo.store().format();
        let malformed = |source| failed(Error::Malformed { name, source });
        match (name.kind, payload) {
            (ObjectKind::File, Payload::Parts(parts)) => {
                let Some(scratch) = self.scratch else { return Ok(Contents::Leaf) };
                self.put_file(name, || Ok(scratch.read(parts)?))
            }
            (ObjectKind::File, Payload::Bytes(bytes) | Payload::Commit(bytes, _)) => {
                self.put_file(name, || Ok(Box::new(bytes.as_ref())))
            }
            (ObjectKind::DirMeta, Payload::Bytes(bytes)) => put(bytes).map(|()| Contents::Leaf),
            (ObjectKind::DirTree, Payload::Bytes(bytes)) => {
                put(bytes)?;
                let tree = DirTree::decode(format, bytes).map_err(malformed)?;
                Ok(self.tree_contents(item.part, &tree))
            }
            (ObjectKind::Commit, Payload::Commit(bytes, detached)) => {
                let beside = self.decode_detached(detached.as_ref())?;
                let commit = self.store_commit(Id::new(name.id), bytes, beside.as_ref())?;
                Ok(commit_contents(&commit, false))
            }
            _ => Err(PullError::Stopped { why: "an object was fetched as another kind" }),
        }
    }

    /// Stores a commit and the metadata beside it, if the policy and all else that is asked of it let it pass.
    pub(super) fn store_commit(
        &self,
        id: Id<Commit>,
        bytes: &[u8],
        beside: Option<&Metadata>,
    ) -> Result<Commit, PullError> {
        let name = id.name();
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        let format = self.repo.store().format();
        let actual = format.id_of(name.kind, bytes);
        if actual != name.id {
            return Err(failed(Error::Corrupt { name, actual }));
        }
        let commit =
            Commit::decode(format, bytes).map_err(|source| failed(Error::Malformed { name, source }))?;
        self.check_policy(id, bytes, beside)?;
        self.admit(id, &commit)?;
        self.put_detached(id, beside)?;
        self.objects.put_bytes(name, bytes).map_err(failed)?;
        Ok(commit)
    }

    /// Stores a file as an archive has it; `open` begins to read it, more than once if need be.
    fn put_file<'r>(
        &self,
        name: ObjectName,
        open: impl Fn() -> Result<Box<dyn Read + Send + 'r>, PullError>,
    ) -> Result<Contents, PullError> {
        let failed = |source| PullError::Store { object: name, source: Box::new(source) };
        if self.file_modes == FileModes::Plain {
            let read = self.repo.store().format().read_archive_header(&mut open()?);
            let read = read.map_err(|source| failed(Error::Source(source)))?;
            let header = read.map_err(|source| failed(Error::Malformed { name, source }))?.header;
            self.check_mode(name.id, &header)?;
        }
        self.objects.put_archived(Id::new(name.id), &mut open()?).map_err(failed)?;
        Ok(Contents::Leaf)
    }

    /// What must be right, and be on the disk, before a commit is taken in.
    fn admit(&self, id: Id<Commit>, commit: &Commit) -> Result<(), PullError> {
        self.check_commit(id, commit)?;
        Ok(self.repo.mark_partial(id)?)
    }

    /// Whether a commit may be what is asked for: made for the ref, and not too old.
    fn check_commit(&self, id: Id<Commit>, commit: &Commit) -> Result<(), PullError> {
        self.check_bindings(id, commit)?;
        match self.floors.get(&id.raw()) {
            Some(floor) if commit.timestamp < floor.timestamp => Err(PullError::Older {
                commit: id,
                timestamp: commit.timestamp,
                current: floor.commit,
                current_timestamp: floor.timestamp,
            }),
            _ => Ok(()),
        }
    }

    fn check_bindings(&self, id: Id<Commit>, commit: &Commit) -> Result<(), PullError> {
        let Some(names) = self.bound.get(&id.raw()).filter(|_| self.bindings == Bindings::Check) else {
            return Ok(());
        };
        let bound_to = match commit.metadata.get("ostree.ref-binding") {
            None => None,
            Some(Value::Strs(bound_to)) => Some(bound_to.as_slice()),
            Some(_) => Some(&[][..]),
        };
        let is_bound = |(name, collection): &&(RefName, Option<CollectionId>)| match bound_to {
            Some(bound_to) => bound_to.iter().any(|bound| bound == name.as_str()),
            // A commit of a collection always says what it is for.
            None => collection.is_none(),
        };
        if let Some((name, _)) = names.iter().find(|name| !is_bound(name)) {
            let bound_to = bound_to.unwrap_or_default().to_vec();
            return Err(PullError::NotBound { commit: id, name: name.clone(), bound_to });
        }
        let own = commit.metadata.get_str("ostree.collection-binding");
        let mut collections = names.iter().filter_map(|(_, wanted)| wanted.as_ref());
        match collections.find(|wanted| own != Some(wanted.as_str())) {
            None => Ok(()),
            Some(wanted) => Err(PullError::NotInCollection {
                commit: id,
                bound_to: own.map(str::to_owned),
                wanted: wanted.clone(),
            }),
        }
    }

    /// What is wanted of a directory.
    fn tree_contents(&self, part: Option<Part>, tree: &DirTree) -> Contents {
        let share = |name: &str| match (part, &self.selection) {
            (Some(part), Some(selection)) => selection.share(part, name),
            _ => Share::Whole,
        };
        let files = tree.files().iter().filter(|file| share(file.name.as_str()) == Share::Whole);
        let dirs = tree.dirs().iter().filter_map(|dir| match share(dir.name.as_str()) {
            Share::Nothing => None,
            Share::Part(part) => Some((dir.tree, dir.meta, Some(part))),
            Share::Whole => Some((dir.tree, dir.meta, None)),
        });
        Contents::Tree { files: files.map(|file| (file.id, file.size)).collect(), dirs: dirs.collect() }
    }
}

/// Whether looking for `name` failed because it is not there.
fn is_lacking(name: ObjectName, object: ObjectName, error: &Error) -> bool {
    object == name && matches!(error, Error::Missing { name: missing } if *missing == name)
}

/// Whether the source is at fault, rather than this machine.
pub(super) fn is_bad(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. }
            | Error::Malformed { .. }
            | Error::SlashInName { .. }
            | Error::Detached { .. }
            | Error::TooLarge { .. }
            | Error::Source(_)
    )
}

fn commit_contents(commit: &Commit, complete: bool) -> Contents {
    let root = (!complete).then_some((commit.tree, commit.meta));
    Contents::Commit { parent: commit.parent, root, totals: commit.totals }
}
