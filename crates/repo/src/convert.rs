//! Converting history between the two formats.
//!
//! Commits are rewritten oldest first: the same trees, texts, times and metadata, under the other format's ids. What was
//! made of which is [noted](noted) in the repository that they went to, so that a later run converts only what came since,
//! in either direction. Each new commit says it in its metadata, too, which nobody has to believe: a commit that goes
//! back to the format it came from gets its first id again if nothing was lost, which converting it shows.
//!
//! Every object is verified as it is read. What rests on ids of the old format is left behind: signatures, the list of
//! sizes, the digest of a composefs image.

mod memo;
mod noted;
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
    /// the next run knows or makes again, and no ref has moved.
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
            done: converted(self, from)?,
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

/// What is known of commits over there that are here already: noted here, or noted there of those that came from here.
fn converted(to: &Repo, from: &Repo) -> Result<HashMap<Id<Commit>, Id<Commit>>> {
    let there = noted::read(from).unwrap_or_else(|error| {
        tracing::debug!(%error, "what the other repository noted cannot be read");
        Vec::new()
    });
    let mut done: HashMap<_, _> = there.into_iter().map(|(first, made)| (made, first)).collect();
    done.extend(noted::open(to)?);
    Ok(done)
}

/// The commit of that format which this one says it was made of.
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
        let mut next = (!self.is_done(tip)?).then_some(tip);
        while let Some(id) = next.take() {
            let commit: Commit = self.from.store().load(id)?;
            missing.push(id);
            let Some(parent) = commit.parent else { break };
            if self.is_done(parent)? {
                break;
            }
            if !self.from.store().contains(parent.name())? || self.from.is_partial(parent)? {
                self.conversion.shallow.push(id);
                break;
            }
            next = Some(parent);
        }
        missing.reverse();
        for some in missing.chunks(COMMITS_AT_ONCE) {
            let txn = self.to.begin()?;
            let mut pairs = Vec::with_capacity(some.len());
            for id in some {
                let new = self.commit(&txn, *id)?;
                self.done.insert(*id, new);
                pairs.push((*id, new));
            }
            txn.commit()?;
            noted::note(self.to, &pairs)?;
            let commits = pairs.into_iter().map(|(from, to)| ConvertedCommit { from, to });
            self.conversion.commits.extend(commits);
        }
        Ok(())
    }

    /// Whether a commit is converted, and what was made of it is still here, whole.
    fn is_done(&mut self, id: Id<Commit>) -> Result<bool> {
        let Some(new) = self.done.get(&id).copied() else { return Ok(false) };
        let is_here = self.to.store().contains(new.name())? && !self.to.is_partial(new)?;
        if !is_here {
            self.done.remove(&id);
        }
        Ok(is_here)
    }

    /// Whether a commit here of which nothing is noted was made of the one that it names: what that becomes shows it.
    fn is_made(&mut self, here: Id<Commit>) -> Result<bool> {
        let commit: Commit = self.to.store().load(here)?;
        let Some(source) = source_of(&commit, self.from.store().format()) else { return Ok(false) };
        if !self.from.store().contains(source.name())? || self.from.is_partial(source)? {
            return Ok(false);
        }
        self.history(source)?;
        Ok(self.done.get(&source) == Some(&here))
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
            if let Some(current) = current
                && !ours.contains(&current)
                && !self.is_made(current)?
            {
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
