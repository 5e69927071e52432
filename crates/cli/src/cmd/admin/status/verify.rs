//! Whether what is deployed is as it was committed, and vouched for as its remote asks.
//!
//! What a pull has verified is verified again, by the keys and revocations of now: a key that was taken back since takes
//! with it what it signed. What is looked at are the repository's objects, which in one of mode `bare` are the files of the
//! deployments.

use crate::args::Persona;
use crate::report::one_line;
use crate::trust;
use anyhow::Context as _;
use sapwood_deploy::Followed;
use sapwood_objstore::{Commit, Id, ObjectName, Verdict};
use sapwood_repo::{Repo, WalkEntry};
use std::collections::HashSet;

/// What is to be said of a deployed commit.
#[derive(Debug, serde::Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(super) enum Verification {
    /// It is whole, and enough keys vouch for it.
    Good {
        /// What is to be said of the signatures that count.
        signatures: Vec<String>,
        /// The same as OSTree tells it.
        #[serde(skip)]
        of_ostree: String,
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
            Self::Good { signatures, .. } => signatures
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
    persona: Persona,
    /// Objects that are as they should be.
    whole: HashSet<ObjectName>,
}

impl<'r> Verifier<'r> {
    pub(super) fn new(repo: &'r Repo, persona: Persona) -> Self {
        Self { repo, persona, whole: HashSet::new() }
    }

    /// Verifies a commit that was deployed from where its origin says. As `ostree`, signatures alone, and that nobody asks for
    /// any is a failure.
    pub(super) fn verify(&mut self, commit: Id<Commit>, origin: Option<&str>) -> Verification {
        let objects = match self.persona {
            Persona::Sapwood => self.check_objects(commit),
            Persona::Ostree => Ok(()),
        };
        let checked = objects.and_then(|()| self.check_signatures(commit, origin));
        checked.unwrap_or_else(|error| Verification::Refused {
            why: match self.persona {
                Persona::Sapwood => format!("{error:#}"),
                Persona::Ostree => one_line(&error),
            },
        })
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
        let not_asked = |why: String, of_ostree: String| {
            Ok(match self.persona {
                Persona::Sapwood => Verification::NotAsked { why },
                Persona::Ostree => Verification::Refused { why: of_ostree },
            })
        };
        let of_none = |of_ostree: &str| not_asked("it is of no remote".to_owned(), of_ostree.to_owned());
        let Some(refspec) = origin else { return of_none("Cannot verify deployment with no origin") };
        let Some(name) = Followed::parse(refspec)?.remote().cloned() else {
            return of_none("Cannot verify deployment without remote");
        };
        let remote = match self.persona {
            Persona::Sapwood => {
                self.repo.remote(name.as_str()).with_context(|| format!("the keys of remote {name}"))?
            }
            Persona::Ostree => self.repo.remote(name.as_str())?,
        };
        let mechanisms = trust::policy(self.repo, &remote, trust::Asked::default())?.commit;
        if mechanisms.is_empty() {
            return not_asked(
                format!("remote {name} asks for no signatures of commits"),
                format!(
                    "Cannot verify commit for remote {name}; GPG verification disabled, and no signapi verifiers \
                     configured"
                ),
            );
        }
        let bytes = self.repo.store().load_bytes(commit.name())?;
        let beside = match (self.repo.store().detached(commit)?, self.persona) {
            (None, Persona::Ostree) => anyhow::bail!("Can't verify commit without detached metadata"),
            (beside, _) => beside.unwrap_or_default(),
        };
        let (mut signatures, mut of_ostree) = (Vec::new(), String::new());
        for mechanism in mechanisms {
            let good = mechanism.check(&bytes, &beside)?;
            let (before, after) = if mechanism.name == "GPG" { ("GPG: ", "\n") } else { ("", "") };
            for line in good.iter().flat_map(|words| words.lines()) {
                of_ostree.extend([before, line, after]);
            }
            signatures.extend(good);
        }
        Ok(Verification::Good { signatures, of_ostree })
    }
}
