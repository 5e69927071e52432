//! Converting history between the two formats.
//!
//! Commits are rewritten oldest first: the same trees, texts, times and metadata, under the other format's ids. Each new
//! commit says in its metadata which one it was made of, so that a later run converts only what came since, in either
//! direction; and a commit that goes back to the format it came from gets its first id again, unless something was lost.
//!
//! Every object is verified as it is read. What rests on ids of the old format is left behind: signatures, the list of
//! sizes, the digest of a composefs image.

mod memo;
mod tree;

use crate::{Error, Expected, RefEdit, RefEntry, Refspec, Repo, Result, Root, Transaction, pool};
use sapwood_fsio::lock::LockKind;
use sapwood_objstore::{Commit, Format, Id, MetaObject as _, Metadata, ObjectId, ObjectKind, Value};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use tree::{Known, Pair, Trees};

/// In the metadata of a converted commit: `FORMAT:ID` of the one it was made of.
const SOURCE: &str = "sapwood.converted-from";
/// Metadata that names objects of the old format.
const ABOUT_OLD_IDS: [&str; 2] = ["ostree.sizes", "ostree.composefs.digest.v0"];
/// Detached metadata that signs the bytes of the old commit begins so.
const SIGNATURES: [&str; 2] = ["ostree.gpgsigs", "ostree.sign."];
/// Commits that become durable together.
const COMMITS_AT_ONCE: usize = 256;

/// What is converted, and how.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The refs, each with its history; none is all.
    pub refs: Vec<Refspec>,
    /// Threads that read and hash. Default: one for each core.
    pub threads: usize,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self { refs: Vec::new(), threads: pool::default_threads() }
    }
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvertEvent {
    /// So much was converted until now.
    Files {
        /** Files. */
        files: u64,
        /** Bytes of content. */
        bytes: u64,
    },
}

/// A commit and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertedCommit {
    /** In the other repository. */
    pub from: Id<Commit>,
    /** In this one. */
    pub to: Id<Commit>,
}

/// What was converted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversion {
    /// Commits that were converted now, each after its parent.
    pub commits: Vec<ConvertedCommit>,
    /// All refs that were selected, with where they point.
    pub refs: Vec<(Refspec, ConvertedCommit)>,
    /// Commits whose parent the other repository does not have whole; here they have none.
    pub shallow: Vec<Id<Commit>>,
    /// Files that were read.
    pub files: u64,
    /// Their content, in bytes.
    pub bytes: u64,
}

/// What was read until now.
#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn add(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn event(&self) -> ConvertEvent {
        ConvertEvent::Files {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Repo {
    /// Converts refs of a repository of the other format, with their history, into this one; then the refs move.
    ///
    /// Memory is bounded whatever the trees, save for some 150 bytes for each commit. Interrupted, it leaves commits that
    /// the next run knows, and no ref has moved.
    ///
    /// # Errors
    /// - [`Error::SameFormat`], [`Error::UnknownRevision`] for a ref that the other repository does not have.
    /// - [`Error::ForeignRef`] if a ref here points to a commit that was not made of one over there.
    /// - [`Error::Unrecordable`] for what this format or mode cannot hold.
    /// - [`Error::Store`] if an object is missing or corrupt, or the disk fails.
    /// - [`Error::RefMoved`], [`Error::NewerFormat`], [`Error::Lock`].
    ///
    /// No ref has moved then.
    pub fn convert_from(
        &self,
        from: &Repo,
        options: &ConvertOptions,
        on_event: &(dyn Fn(ConvertEvent) + Sync),
    ) -> Result<Conversion> {
        if self.store().format() == from.store().format() {
            return Err(Error::SameFormat { format: self.store().format().name() });
        }
        self.config().check_writable()?;
        // Between its transactions too: no ref keeps from a prune what they stored.
        let _lock = self.store().lock(LockKind::Shared)?;
        let selected = selected(from, &options.refs)?;
        let mut job = Job {
            to: self,
            from,
            threads: options.threads,
            done: converted(self, from.store().format())?,
            known: Known::new(),
            counts: Counts::default(),
            on_event,
            conversion: Conversion::default(),
        };
        for entry in &selected {
            job.history(entry.target)?;
        }
        job.move_refs(&selected)
    }
}

fn selected(from: &Repo, names: &[Refspec]) -> Result<Vec<RefEntry>> {
    let mut refs = from.refs()?;
    if let Some(name) = names.iter().find(|name| refs.iter().all(|entry| entry.name != **name)) {
        return Err(Error::UnknownRevision { text: name.to_string() });
    }
    refs.retain(|entry| names.is_empty() || names.contains(&entry.name));
    Ok(refs)
}

/// The commits here that were made of ones of that format, by what they were made of.
fn converted(to: &Repo, format: Format) -> Result<HashMap<Id<Commit>, Id<Commit>>> {
    let mut done = HashMap::new();
    for shard in 0..=u8::MAX {
        let names = to.store().shard_objects(shard)?;
        for name in names.into_iter().filter(|name| name.kind == ObjectKind::Commit) {
            let id = Id::new(name.id);
            let commit: Commit = to.store().load(id)?;
            if let Some(source) = source_of(&commit, format)
                && !to.is_partial(id)?
            {
                done.insert(source, id);
            }
        }
    }
    Ok(done)
}

/// The commit of that format which this one was made of.
fn source_of(commit: &Commit, format: Format) -> Option<Id<Commit>> {
    let hex = commit.metadata.get_str(SOURCE)?.strip_prefix(format.name())?.strip_prefix(':')?;
    ObjectId::from_hex(hex).ok().map(Id::new)
}

/// One run.
struct Job<'a> {
    to: &'a Repo,
    from: &'a Repo,
    threads: usize,
    done: HashMap<Id<Commit>, Id<Commit>>,
    known: Known,
    counts: Counts,
    on_event: &'a (dyn Fn(ConvertEvent) + Sync),
    conversion: Conversion,
}

impl Job<'_> {
    /// Converts a commit and those before it that are not converted yet.
    fn history(&mut self, tip: Id<Commit>) -> Result<()> {
        let mut missing = Vec::new();
        let mut next = Some(tip);
        while let Some(id) = next {
            if self.done.contains_key(&id) {
                break;
            }
            let commit: Commit = self.from.store().load(id)?;
            if let Some(first) = source_of(&commit, self.to.store().format())
                && self.to.store().contains(first.name())?
                && !self.to.is_partial(first)?
            {
                self.done.insert(id, first);
                break;
            }
            missing.push(id);
            next = commit.parent;
            if let Some(parent) = next
                && !self.done.contains_key(&parent)
                && (!self.from.store().contains(parent.name())? || self.from.is_partial(parent)?)
            {
                self.conversion.shallow.push(id);
                break;
            }
        }
        missing.reverse();
        for some in missing.chunks(COMMITS_AT_ONCE) {
            let txn = self.to.begin()?;
            for id in some {
                let new = self.commit(&txn, *id)?;
                self.done.insert(*id, new);
                self.conversion.commits.push(ConvertedCommit { from: *id, to: new });
            }
            txn.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self, txn: &Transaction<'_>, id: Id<Commit>) -> Result<Id<Commit>> {
        let old: Commit = self.from.store().load(id)?;
        let parent = old.parent.and_then(|parent| Some((parent, *self.done.get(&parent)?)));
        let reference = parent.map(|(old, new)| self.reference(txn, old, new)).transpose()?;
        let mut trees = Trees {
            from: self.from.store(),
            to: txn.objects(),
            known: &mut self.known,
            threads: self.threads,
            counts: &self.counts,
            on_event: self.on_event,
        };
        let (root, delta) = trees.convert(root(&old), reference.as_ref().map(|(pair, _)| *pair))?;
        let before = reference.and_then(|(_, totals)| totals).unwrap_or_default();
        let format = self.to.store().format();
        let mut new = Commit {
            parent: parent.map(|(_, new)| new),
            tree: root.tree,
            meta: root.meta,
            totals: format.records_sizes().then(|| delta.onto(before)),
            ..old.clone()
        };
        for key in ABOUT_OLD_IDS {
            new.metadata.remove(key);
        }
        new.metadata.remove(SOURCE);
        // One that goes back where it came from is again what it was.
        let first = source_of(&old, format);
        if first != Some(Id::new(format.id_of(ObjectKind::Commit, &new.encode(format)))) {
            let source = format!("{}:{id}", self.from.store().format().name());
            new.metadata.set(SOURCE, Value::Str(source));
        }
        let new = txn.objects().put(&new)?;
        if let Some(detached) = self.from.store().detached(id)?.map(|detached| unsigned(&detached))
            && !detached.is_empty()
        {
            txn.objects().put_detached(new, &detached)?;
        }
        Ok(new)
    }

    /// The tree of the parent, on both sides, and its totals.
    fn reference(
        &self,
        txn: &Transaction<'_>,
        old: Id<Commit>,
        new: Id<Commit>,
    ) -> Result<(Pair, Option<sapwood_objstore::Totals>)> {
        let (old, new): (Commit, Commit) = (self.from.store().load(old)?, txn.objects().load(new)?);
        Ok((Pair { old: root(&old), new: root(&new) }, new.totals))
    }

    fn move_refs(mut self, selected: &[RefEntry]) -> Result<Conversion> {
        let ours: HashSet<Id<Commit>> = self.done.values().copied().collect();
        let mut edits = Vec::new();
        let mut aliases = Vec::new();
        let here = self.to.refs()?;
        for RefEntry { name, target, alias_of } in selected {
            let Some(new) = self.done.get(target).copied() else {
                return Err(Error::UnknownRevision { text: name.to_string() });
            };
            self.conversion.refs.push((name.clone(), ConvertedCommit { from: *target, to: new }));
            if let Some(of) = alias_of
                && here.iter().any(|entry| entry.name == *name && entry.alias_of.as_ref() == Some(of))
            {
                continue;
            }
            if let Some(of) = alias_of
                && selected.iter().any(|entry| entry.name == Refspec::local(of.clone()))
            {
                aliases.push(RefEdit::Alias { name: name.name.clone(), of: of.clone() });
                continue;
            }
            let current = self.to.ref_target(name)?;
            if current == Some(new) {
                continue;
            }
            if current.is_some_and(|current| !ours.contains(&current)) {
                return Err(Error::ForeignRef { name: name.clone() });
            }
            let expected = current.map_or(Expected::Absent, Expected::At);
            edits.push(RefEdit::Set { name: name.clone(), expected, target: new });
        }
        // What they follow has to be there first.
        edits.extend(aliases);
        self.to.edit_refs(edits)?;
        let ConvertEvent::Files { files, bytes } = self.counts.event();
        Ok(Conversion { files, bytes, ..self.conversion })
    }
}

fn root(commit: &Commit) -> Root {
    Root { tree: commit.tree, meta: commit.meta }
}

/// Detached metadata without signatures, which are of the old commit.
fn unsigned(detached: &Metadata) -> Metadata {
    let mut kept = detached.clone();
    for (key, _) in detached.iter() {
        if SIGNATURES.iter().any(|signature| key.starts_with(signature)) {
            kept.remove(key);
        }
    }
    kept
}
