//! Checking a repository: every object is read and hashed, in parallel. A finding is not an error.

mod bindings;
mod blame;
mod objects;
mod totals;

pub use bindings::{BadBinding, BindingProblem, binding_problem};

use crate::ids::{MEMORY_BYTES, Spill};
use crate::partial::Incomplete;
use crate::reach::{OnBad, Reachable, problem_of};
use crate::repo::is_read_only;
use crate::{BrokenRef, Error, RefEntry, Refspec, Repo, Result, Root, pool};
use sapwood_fsio::lock::LockKind;
use sapwood_objstore::{
    Commit, DecodeError, DirTree, Id, Leftover, ObjectKind, ObjectName, OnDamaged, Totals,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

/// What is checked, and with how much effort.
#[derive(Debug, Clone, Default)]
pub struct FsckOptions {
    /// What is done about corrupt objects. Default: nothing.
    pub on_corrupt: OnCorrupt,
    /// For each parent of a commit that is not here a tombstone is written, which says that it was deleted on purpose.
    pub add_tombstones: bool,
    /// Whether refs and the bindings of commits are held against each other.
    pub bindings: BindingChecks,
}

/// What is done about corrupt objects. Commits that lack something are marked as incomplete in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// They are reported.
    #[default]
    Leave,
    /// The commits that need them are marked as incomplete too: so that a pull which is told of them fetches them again.
    Mark,
    /// That, and they are removed.
    Delete,
}

/// What of refs and bindings is held against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BindingChecks {
    /// Nothing.
    #[default]
    None,
    /// Each ref must be named by its commit.
    Refs,
    /// That, and each ref that a commit names must point to it: only where every branch has one commit.
    Both,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /** Something refers to it, but it is not here. */
    Missing,
    /** It hashes to something else. */
    Corrupt {
        /** To this. */
        actual: sapwood_objstore::ObjectId,
    },
    /** Its bytes are not a valid object. If it is metadata, they are those that its id says. */
    Malformed {
        /** Where and why. */
        why: DecodeError,
    },
    /** No file is in its place, or one past all limits. */
    Unreadable,
    /** It is a directory, and lies deeper in a tree than any may. */
    TooDeep {
        /** How many directories may be below each other, the root not among them. */
        limit: usize,
    },
    /** It announces another size for a file than the file has (native format). */
    WrongSize {
        /** The file. */
        file: sapwood_objstore::ObjectId,
        /** The size announced, in bytes. */
        announced: u64,
        /** The size of the content, in bytes. */
        actual: u64,
    },
    /** It is a commit, and announces other totals than its tree has (native format). Progress is shown by them, nothing else. */
    WrongTotals {
        /** What it announces. */
        announced: Totals,
        /** What its tree holds. */
        actual: Totals,
    },
}

impl Problem {
    /// Whether the object is here and is not to be used: another has to take its place.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Malformed { .. } | Self::Unreadable)
    }
}

/// In a sentence about the object, after `announces` or a colon.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::Corrupt { actual } => write!(f, "its content hashes to {actual}"),
            Self::Malformed { why } => write!(f, "it is malformed: {why}"),
            Self::Unreadable => f.write_str("no file is in its place, or one that is too large"),
            Self::WrongSize { file, announced, actual } => {
                write!(f, "{announced} bytes for {file}.file, which has {actual}")
            }
            Self::WrongTotals { announced, actual } => {
                write!(f, "{}, and its tree has {}", said(announced), said(actual))
            }
            Self::TooDeep { limit } => write!(f, "it is more than {limit} directories deep in a tree"),
        }
    }
}

fn said(totals: &Totals) -> String {
    format!("{} files, {} directories, {} bytes", totals.files, totals.dirs, totals.bytes)
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /** The object. */
    pub object: ObjectName,
    /** What is wrong. */
    pub problem: Problem,
    /** Commits that need it, sorted. */
    pub commits: Vec<Id<Commit>>,
    /** Refs whose commit is among those. */
    pub refs: Vec<Refspec>,
}

impl Finding {
    /// Whether the bytes are those that the id says, and wrong: then they were made so, and what is fetched is the same.
    pub fn is_lasting(&self) -> bool {
        match self.problem {
            Problem::WrongSize { .. } | Problem::WrongTotals { .. } | Problem::TooDeep { .. } => true,
            Problem::Malformed { .. } => self.object.kind != ObjectKind::File,
            Problem::Missing | Problem::Corrupt { .. } | Problem::Unreadable => false,
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /** Everything wrong, sorted by object. */
    pub findings: Vec<Finding>,
    /** Objects read. */
    pub objects: u64,
    /** Complete commits checked. */
    pub commits: u64,
    /** Commits known to be incomplete. */
    pub partial: Vec<Id<Commit>>,
    /** Those of them that an earlier check found damaged. */
    pub damaged: Vec<Id<Commit>>,
    /** Refs to commits that are not here. */
    pub dangling_refs: Vec<RefEntry>,
    /** Refs that lead nowhere. */
    pub broken_refs: Vec<BrokenRef>,
    /** Refs and commits that disagree. */
    pub bad_bindings: Vec<BadBinding>,
    /** Commits beside which there is metadata that cannot be read: their signatures are lost. Removed with [`OnCorrupt::Delete`]. */
    pub bad_detached: Vec<Id<Commit>>,
    /** Commits that were marked as incomplete now, sorted. */
    pub marked: Vec<Id<Commit>>,
    /** Missing parents that have a tombstone now, sorted. */
    pub tombstones: Vec<Id<Commit>>,
    /** What interrupted runs staged, and what of that is damaged: removed, unless damage is left as it is. */
    pub staging: Vec<Leftover>,
}

impl FsckReport {
    /// Whether all is well. Commits that are only partly here are, unless a check found them damaged.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
            && self.dangling_refs.is_empty()
            && self.broken_refs.is_empty()
            && self.bad_bindings.is_empty()
            && self.bad_detached.is_empty()
            && self.damaged.is_empty()
            && self.staging.iter().all(|staged| staged.damaged.is_empty())
    }
}

/// Progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FsckEvent {
    /** Objects to be read, once known. */
    Total {
        /** How many. */
        objects: u64,
    },
    /** Objects read so far. */
    Checked {
        /** How many. */
        objects: u64,
    },
}

/// The commits of a repository.
#[derive(Default)]
struct Commits {
    /// Those that should be all here, with their trees.
    complete: Vec<(Id<Commit>, Root)>,
    partial: Vec<Id<Commit>>,
    /// Of all that could be read.
    parents: BTreeSet<Id<Commit>>,
    bad_bindings: Vec<BadBinding>,
    bad_detached: Vec<Id<Commit>>,
    /// What complete ones say that their trees hold.
    announced: Vec<(Id<Commit>, Id<DirTree>, Totals)>,
    /// How many objects there are.
    objects: u64,
}

type Problems = BTreeMap<ObjectName, Problem>;

impl Repo {
    /// Checks everything that refs and commits reach, every object that is stored, and the refs.
    ///
    /// What interrupted runs have staged is verified as well, where it may be taken over. Of commits that are marked as
    /// incomplete, what is here is checked, and what they lack is not looked for. Objects of parent repositories are not
    /// read, only known to be there. Commits that turn out to lack something are marked as
    /// incomplete, where this user may write: so that a pull fetches what is missing.
    ///
    /// Holds the repository's lock: shared (but where it was never locked and this user may not write), or with
    /// [`OnCorrupt::Delete`] exclusively. Deleting marks the commits first, durably, so a crash in between leaves
    /// damage that the next check finds again.
    ///
    /// # Errors
    /// [`Error::Lock`], [`Error::Io`], [`Error::Store`] when the disk fails; [`Error::NewerFormat`]
    /// if something is to be changed in a repository that can only be read.
    pub fn fsck(&self, options: &FsckOptions, on_event: &(dyn Fn(FsckEvent) + Sync)) -> Result<FsckReport> {
        if options.add_tombstones {
            self.config().check_writable()?;
        }
        let deletes = options.on_corrupt == OnCorrupt::Delete;
        let _lock = if deletes {
            self.config().check_writable()?;
            self.store().lock(LockKind::Exclusive)?
        } else {
            self.lock_to_read()?
        };
        let mut problems = Problems::new();
        let (refs, broken_refs) = self.survey_refs()?;
        let marks: BTreeMap<Id<Commit>, Incomplete> = self.incomplete()?.into_iter().collect();
        let mut commits = self.fsck_commits(&marks, &refs, options.bindings, &mut problems)?;
        if options.bindings != BindingChecks::None {
            self.fsck_bound_refs(&refs, &mut commits.bad_bindings);
        }
        on_event(FsckEvent::Total { objects: commits.objects });

        let reachable = Reachable::new(&Spill::new(self.dir(), MEMORY_BYTES));
        let roots: Vec<Root> = commits.complete.iter().map(|(_, root)| *root).collect();
        reachable.add(self.store(), &roots, pool::default_threads(), OnBad::Collect)?;
        problems.extend(reachable.take_bad().into_iter().map(|(tree, problem)| (tree.name(), problem)));
        let objects = self.fsck_stored(&reachable, &mut problems, on_event)?;
        self.fsck_missing(&reachable, &mut problems)?;
        totals::check(self.store(), &commits.announced, &mut problems)?;

        let blamed = blame::commits_that_need(self.store(), &commits.complete, &problems)?;
        let findings: Vec<Finding> = problems
            .into_iter()
            .map(|(object, problem)| {
                let commits = blamed.get(&object).cloned().unwrap_or_default();
                let refs = refs.iter().filter(|entry| commits.binary_search(&entry.target).is_ok());
                Finding { object, problem, refs: refs.map(|entry| entry.name.clone()).collect(), commits }
            })
            .collect();
        let marked = self.fsck_mark(&findings, options.on_corrupt)?;
        if deletes {
            self.store().discard_staged_commits()?;
            for finding in findings.iter().filter(|finding| finding.problem.is_corrupt()) {
                self.store().remove(finding.object)?;
            }
            for commit in &commits.bad_detached {
                self.store().set_detached(*commit, None)?;
            }
            self.store().sync()?;
        }
        let mut dangling_refs = Vec::new();
        for entry in refs {
            if !self.store().contains(entry.target.name())? {
                dangling_refs.push(entry);
            }
        }
        let on_damaged = match options.on_corrupt {
            OnCorrupt::Leave => OnDamaged::Leave,
            OnCorrupt::Mark | OnCorrupt::Delete => OnDamaged::Remove,
        };
        let staging = self.store().leftovers(on_damaged)?;
        let tombstones =
            if options.add_tombstones { self.fsck_tombstones(&commits.parents)? } else { Vec::new() };
        let is_damaged = |id: &Id<Commit>| marks.get(id) == Some(&Incomplete::Damaged);
        Ok(FsckReport {
            findings,
            objects,
            commits: commits.complete.len() as u64,
            damaged: commits.partial.iter().copied().filter(is_damaged).collect(),
            partial: commits.partial,
            dangling_refs,
            broken_refs,
            bad_bindings: commits.bad_bindings,
            bad_detached: commits.bad_detached,
            marked,
            tombstones,
            staging,
        })
    }

    /// Reads all commits, and counts the objects.
    fn fsck_commits(
        &self,
        marks: &BTreeMap<Id<Commit>, Incomplete>,
        refs: &[RefEntry],
        bindings: BindingChecks,
        problems: &mut Problems,
    ) -> Result<Commits> {
        let mut commits = Commits::default();
        for shard in 0..=u8::MAX {
            for name in self.store().shard_objects(shard)? {
                commits.objects += 1;
                if name.kind != ObjectKind::Commit {
                    continue;
                }
                let id: Id<Commit> = Id::new(name.id);
                if !self.can_read_detached(id)? {
                    commits.bad_detached.push(id);
                }
                let loaded = self.store().load(id);
                if let Ok(commit) = &loaded {
                    commits.parents.extend(commit.parent);
                    self.fsck_back_refs((id, commit), refs, bindings, &mut commits.bad_bindings);
                }
                match loaded {
                    _ if marks.contains_key(&id) => commits.partial.push(id),
                    Ok(commit) => {
                        let announced = commit.totals.map(|totals| (id, commit.tree, totals));
                        commits.announced.extend(announced);
                        commits.complete.push((id, Root { tree: commit.tree, meta: commit.meta }));
                    }
                    Err(error) => {
                        problems.insert(name, problem_of(self.store(), name, error)?);
                    }
                }
            }
        }
        Ok(commits)
    }

    /// Whether what is beside a commit is what it should be, or nothing is.
    fn can_read_detached(&self, commit: Id<Commit>) -> Result<bool> {
        use sapwood_objstore::Error as E;
        match self.store().detached(commit) {
            Ok(_) => Ok(true),
            Err(E::Detached { .. }) => Ok(false),
            Err(E::Io(error)) if error.source.kind() == ErrorKind::FileTooLarge => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Marks the commits that lack something, or will when what is corrupt is gone; returns them.
    fn fsck_mark(&self, findings: &[Finding], on_corrupt: OnCorrupt) -> Result<Vec<Id<Commit>>> {
        let must = on_corrupt != OnCorrupt::Leave;
        let lost = findings
            .iter()
            .filter(|finding| finding.problem == Problem::Missing || (must && finding.problem.is_corrupt()));
        let affected: BTreeSet<Id<Commit>> =
            lost.flat_map(|finding| finding.commits.iter().copied()).collect();
        for commit in &affected {
            match self.mark_incomplete(*commit, Incomplete::Damaged) {
                Err(Error::NewerFormat { .. }) if !must => return Ok(Vec::new()),
                Err(Error::Io(error)) if !must && is_read_only(error.source.kind()) => {
                    return Ok(Vec::new());
                }
                other => other?,
            }
        }
        Ok(affected.into_iter().collect())
    }

    /// Writes tombstones for parents that are not here and have none.
    fn fsck_tombstones(&self, parents: &BTreeSet<Id<Commit>>) -> Result<Vec<Id<Commit>>> {
        let mut added = Vec::new();
        for parent in parents {
            if !self.store().contains(parent.name())? && !self.store().has_tombstone(*parent)? {
                added.push(*parent);
            }
        }
        self.store().put_tombstones(&added)?;
        Ok(added)
    }
}
