//! Whether what is deployed is as it was committed, and vouched for as its remote asks.
//!
//! What a pull has verified is verified again, by the keys and revocations of now: a key that was taken back since takes
//! with it what it signed. What is looked at are the repository's objects, which in one of mode `bare` are the files of the
//! deployments.

use crate::trust;
use anyhow::Context as _;
use sapwood_objstore::{Commit, Id, ObjectName, Verdict};
use sapwood_repo::{Refspec, Repo, WalkEntry};
use std::collections::HashSet;

/// What is to be said of a deployed commit.
#[derive(Debug, serde::Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(super) enum Verification {
    /// It is whole, and enough keys vouch for it.
    Good {
        /// What is to be said of the signatures that count.
        signatures: Vec<String>,
    },
    /// It is whole, and nobody asks who vouches for it.
    NotAsked {
        /// Why not.
        why: String,
    },
    /// It is not what it should be.
    Refused {
        /** Why. */
        why: String,
    },
}

impl Verification {
    /// The lines of text, without indentation.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Good { signatures } => signatures
                .iter()
                .flat_map(|words| words.lines())
                .map(|line| format!("Verified: {line}"))
                .collect(),
            Self::NotAsked { why } => vec![format!("Verified: only that it is whole; {why}")],
            Self::Refused { why } => why.lines().map(|line| format!("NOT verified: {line}")).collect(),
        }
    }
}

/// Verifies one commit after another; what they share is read once.
#[derive(Debug)]
pub(super) struct Verifier<'r> {
    repo: &'r Repo,
    /// Objects that are as they should be.
    whole: HashSet<ObjectName>,
}

impl<'r> Verifier<'r> {
    pub(super) fn new(repo: &'r Repo) -> Self {
        Self { repo, whole: HashSet::new() }
    }

    /// Verifies a commit that was deployed from where its origin says.
    pub(super) fn verify(&mut self, commit: Id<Commit>, origin: Option<&str>) -> Verification {
        let checked = self.check_objects(commit).and_then(|()| self.check_signatures(commit, origin));
        checked.unwrap_or_else(|error| Verification::Refused { why: format!("{error:#}") })
    }

    fn check_objects(&mut self, commit: Id<Commit>) -> anyhow::Result<()> {
        self.check_object(commit.name())?;
        let root = self.repo.root(commit)?;
        self.check_object(root.tree.name())?;
        self.check_object(root.meta.name())?;
        for entry in self.repo.walk(root) {
            match entry? {
                WalkEntry::Dir { entry, .. } => {
                    self.check_object(entry.tree.name())?;
                    self.check_object(entry.meta.name())?;
                }
                WalkEntry::File { entry, .. } => self.check_object(entry.id.name())?,
            }
        }
        Ok(())
    }

    fn check_object(&mut self, name: ObjectName) -> anyhow::Result<()> {
        if self.whole.contains(&name) {
            return Ok(());
        }
        match self.repo.store().verify(name)? {
            Verdict::Good => {
                self.whole.insert(name);
                Ok(())
            }
            _ => anyhow::bail!("object {name} is corrupt"),
        }
    }

    fn check_signatures(&self, commit: Id<Commit>, origin: Option<&str>) -> anyhow::Result<Verification> {
        let not_asked = |why: String| Ok(Verification::NotAsked { why });
        let refspec = origin.map(Refspec::parse).transpose()?;
        let Some(name) = refspec.and_then(|refspec| refspec.remote().cloned()) else {
            return not_asked("it is of no remote".to_owned());
        };
        let remote = self.repo.remote(name.as_str()).with_context(|| format!("the keys of remote {name}"))?;
        let mechanisms = trust::policy(self.repo, &remote, trust::Asked::default())?.commit;
        if mechanisms.is_empty() {
            return not_asked(format!("remote {name} asks for no signatures of commits"));
        }
        let bytes = self.repo.store().load_bytes(commit.name())?;
        let beside = self.repo.store().detached(commit)?.unwrap_or_default();
        let mut signatures = Vec::new();
        for mechanism in mechanisms {
            signatures.extend(mechanism.check(&bytes, &beside)?);
        }
        Ok(Verification::Good { signatures })
    }
}
