//! Checking what a remote offers against what is known of it. Pure: no clock, no disk, no network.

use super::{KeySet, Seen, Signed, Statement, StatementFile, summary_digest};
use sapwood_objstore::DecodeError;

/// Why what a remote offers is not the newest, as far as can be told. Each says which attack looks so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FreshnessError {
    /// There is no statement.
    #[error("the repository states nothing of its summary, and its trust-root says that it must")]
    NotThere,
    /// The file is malformed.
    #[error("the statement is malformed")]
    Malformed(#[from] DecodeError),
    /// The key sets do not lead back to what is trusted.
    #[error("the statement is of another repository: its keys do not descend from the trusted ones")]
    Foreign,
    /// A key set was not signed by enough owners of the one before it.
    #[error(
        "key set {version} was not signed by enough owners of the one before: somebody tries to slip in keys of his own"
    )]
    BadRotation {
        /** Which. */
        version: u64,
    },
    /// The key sets end before what was seen already.
    #[error(
        "the key set {offered} is offered again after {seen} has been seen: somebody brings back keys that were replaced"
    )]
    OldKeys {
        /** The newest that is offered. */
        offered: u64,
        /** The newest that was seen. */
        seen: u64,
    },
    /// There are two key sets of one version.
    #[error("there are two key sets {version}: an owner's key was used behind the others' back")]
    TwoKeySets {
        /** Which. */
        version: u64,
    },
    /// It names a key set that is not in the file.
    #[error(
        "the statement was made under key set {named}, and {newest} is the newest that is offered: somebody holds back who may state what"
    )]
    LaterKeys {
        /** The one it names. */
        named: u64,
        /** The newest that is offered. */
        newest: u64,
    },
    /// Too few publishers signed.
    #[error("the statement was not signed by enough publishers")]
    NotSigned,
    /// It was good until then.
    #[error("the statement expired {} s ago: the repository was not renewed, or somebody holds back what is newer", now - expired)]
    Expired {
        /** When it did: seconds since the epoch. */
        expired: u64,
        /** What time it is, at least. */
        now: u64,
    },
    /// An older one than was seen already.
    #[error(
        "statement {offered} is offered after {seen} has been seen: somebody offers an older state as the newest"
    )]
    RolledBack {
        /** Its counter. */
        offered: u64,
        /** The highest that was seen. */
        seen: u64,
    },
    /// Two statements have one counter.
    #[error("there are two statements {counter}: a publisher's key is used to tell clients different things")]
    TwoStatements {
        /** Which. */
        counter: u64,
    },
    /// A statement about another summary of the same remote was seen since this one was checked.
    #[error("another pull saw something else of the remote meanwhile")]
    Overtaken,
    /// The summary is not the one that is stated.
    #[error("the summary is not the one that the statement is about: old and new were mixed")]
    Mixed,
}

/// A statement that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it says.
    pub statement: Statement,
    /// What is to be remembered, before anything that it led to becomes visible.
    pub seen: Seen,
}

/// Checks the bytes of a statement's file: the chain of key sets from the root or from what was seen, the signatures, the
/// time (`now`, seconds since the epoch; never before what was seen last), the counter. The summary is left to
/// [`check_summary`].
///
/// What was seen by way of another root counts for nothing: so an owner who lost all keys can begin anew.
///
/// # Errors
/// See [`FreshnessError`].
pub fn check(
    file: Option<&[u8]>,
    root: &[u8; 32],
    seen: Option<&Seen>,
    now: u64,
) -> Result<Checked, FreshnessError> {
    let file = StatementFile::decode(file.ok_or(FreshnessError::NotThere)?)?;
    let seen = seen.filter(|seen| seen.root == *root);
    let trusted = if let Some(seen) = seen {
        KeySet::decode(&seen.key_set)?
    } else {
        let found = file.key_sets.iter().find(|(_, envelope)| envelope.id(Signed::KeySet) == *root);
        found.ok_or(FreshnessError::Foreign)?.0.clone()
    };
    let newest = follow(&file, &trusted)?;
    let (statement, envelope) = file.statement.as_ref().ok_or(FreshnessError::NotSigned)?;
    if statement.repository != newest.repository {
        return Err(FreshnessError::Foreign);
    }
    if statement.key_set > newest.version {
        return Err(FreshnessError::LaterKeys { named: statement.key_set, newest: newest.version });
    }
    if !file.is_stated() {
        return Err(FreshnessError::NotSigned);
    }
    let id = envelope.id(Signed::Statement);
    // Other publishers may begin anew: that is how one gets over a counter that a stolen key drove up. What was stated
    // under the old key set is no new beginning, though one of its publishers may still be one.
    let anew = trusted.publishers != newest.publishers && statement.key_set > trusted.version;
    if let Some(seen) = seen.filter(|_| !anew) {
        let (offered, known) = (statement.counter, seen.counter);
        if offered < known {
            return Err(FreshnessError::RolledBack { offered, seen: known });
        }
        if offered == known && id != seen.statement {
            return Err(FreshnessError::TwoStatements { counter: offered });
        }
    }
    // A clock that was set back, or lost its battery, does not make old statements good again.
    let now = seen.map_or(now, |seen| seen.made.max(now));
    if let Some(expired) = statement.expires.filter(|at| *at <= now) {
        return Err(FreshnessError::Expired { expired, now });
    }
    let made = seen.map_or(statement.made, |seen| seen.made.max(statement.made));
    let seen = Seen {
        root: *root,
        key_set: newest.encode(),
        counter: statement.counter,
        // No further than this machine's own clock: a publisher whose clock is wrong must not spoil ours for good.
        made: made.min(now),
        statement: id,
        summary: Some(statement.summary),
    };
    Ok(Checked { statement: statement.clone(), seen })
}

/// Follows the chain of key sets from the trusted one to the newest.
fn follow(file: &StatementFile, trusted: &KeySet) -> Result<KeySet, FreshnessError> {
    if file.newest().repository != trusted.repository {
        return Err(FreshnessError::Foreign);
    }
    let (offered, known) = (file.newest().version, trusted.version);
    if offered < known {
        return Err(FreshnessError::OldKeys { offered, seen: known });
    }
    let mut last = trusted.clone();
    for (next, envelope) in file.key_sets.iter().filter(|(key_set, _)| key_set.version >= known) {
        if next.version == last.version {
            if *next != last {
                return Err(FreshnessError::TwoKeySets { version: next.version });
            }
            continue;
        }
        let by_both = [&last.owners, &next.owners]
            .iter()
            .all(|owners| owners.is_satisfied(Signed::KeySet, &envelope.body, &envelope.signatures));
        if !by_both || last.version.checked_add(1) != Some(next.version) {
            return Err(FreshnessError::BadRotation { version: next.version });
        }
        last = next.clone();
    }
    Ok(last)
}

/// Checks that a summary is the one that is stated.
///
/// # Errors
/// [`FreshnessError::Mixed`].
pub fn check_summary(statement: &Statement, summary: Option<&[u8]>) -> Result<(), FreshnessError> {
    let is_it = |bytes: &[u8]| {
        bytes.len() as u64 == statement.summary_bytes && summary_digest(bytes) == statement.summary
    };
    if summary.is_some_and(is_it) { Ok(()) } else { Err(FreshnessError::Mixed) }
}
