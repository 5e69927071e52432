//! What can go wrong between repositories.

use sapwood_objstore::{Commit, Format, Id, ObjectName};
use sapwood_repo::statement::FreshnessError;
use sapwood_repo::{CollectionId, NameError, RefName};
use std::time::Duration;

/// Why a file could not be got from a remote. Addresses are shown without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered with a status that is neither success nor "not there".
    #[error("{url}: the server answered HTTP {status}")]
    Status {
        /** What was asked for. */
        url: Box<str>,
        /** The HTTP status. */
        status: u16,
    },
    /// No connection came about.
    #[error("cannot connect to {url}")]
    Connect {
        /** What was asked for. */
        url: Box<str>,
        /** Why. */
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("{url}: the connection failed after {received_bytes} bytes")]
    Broken {
        /** What was asked for. */
        url: Box<str>,
        /** How much of the body had come. */
        received_bytes: u64,
        /** Why. */
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server did not answer.
    #[error("{url}: no answer within {} s", after.as_secs_f32())]
    Timeout {
        /** What was asked for. */
        url: Box<str>,
        /** How long was waited. */
        after: Duration,
    },
    /// The server sends too slowly.
    #[error("{url}: less than {min_bytes_per_second} bytes a second for {} s", window.as_secs_f32())]
    TooSlow {
        /** What was asked for. */
        url: Box<str>,
        /** The limit. */
        min_bytes_per_second: u64,
        /** For how long. */
        window: Duration,
    },
    /// The answer is larger than what was asked for can be.
    #[error("{url}: larger than {limit_bytes} bytes")]
    TooLarge {
        /** What was asked for. */
        url: Box<str>,
        /** The limit. */
        limit_bytes: u64,
    },
    /// The answer ended early.
    #[error("{url}: ended after {received_bytes} of {expected_bytes} bytes")]
    Truncated {
        /** What was asked for. */
        url: Box<str>,
        /** What came. */
        received_bytes: u64,
        /** What was announced. */
        expected_bytes: u64,
    },
    /// The file became another one while it was being read.
    #[error("{url}: changed on the server while it was fetched")]
    Changed {
        /** What was asked for. */
        url: Box<str>,
    },
    /// A redirect that is not followed.
    #[error("{url}: {why}")]
    Redirect {
        /** What was asked for. */
        url: Box<str>,
        /** Why not. */
        why: &'static str,
    },
    /// What lists the mirrors, or is promised of what they have, is of no use.
    #[error("no mirror that {url} lists can be used")]
    Mirrors {
        /** The list. */
        url: Box<str>,
        /** Why not. */
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be used.
    #[error("cannot use TLS for {url}: {why}")]
    Tls {
        /** What was asked for. */
        url: Box<str>,
        /** Why not. */
        why: String,
    },
    /// A file of a local remote could not be read.
    #[error(transparent)]
    Io(#[from] sapwood_fsio::Error),
}

/// Text that names neither a ref nor a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WantedError {
    /// Not a ref name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What stands after `@` is not a commit id.
    #[error(transparent)]
    Commit(#[from] sapwood_objstore::ParseIdError),
}

/// What is wrong with the signatures of a summary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryProblem {
    /// There is no such file.
    #[error(
        "{mechanism} verification enabled, but no {file} found (use {option}=false in remote config to disable)"
    )]
    NotThere {
        /** The mechanism. */
        mechanism: &'static str,
        /** `summary` or `summary.sig`. */
        file: &'static str,
        /** The key of the configuration that asks for it. */
        option: &'static str,
    },
    /// It is not signed as it must be.
    #[error(transparent)]
    Untrusted(Box<sapwood_repo::sign::SignError>),
    /// The one that was kept does not fit its own signatures, and that was to be an error.
    #[error("the cached summary does not fit its signatures")]
    Cached {
        /** How. */
        source: Box<PullError>,
    },
}

/// Why a pull failed. What was fetched until then is kept for the next one; no ref moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// A file could not be got.
    #[error("cannot fetch {what}")]
    Fetch {
        /** What it is: an object, or the name of another file. */
        what: Box<str>,
        /** Why. */
        source: Box<FetchError>,
    },
    /// There is no repository where the remote is said to be: its configuration is not there.
    #[error("{remote} is no repository: it has no config")]
    NotARepo {
        /** The remote. */
        remote: Box<str>,
    },
    /// The remote does not have an object that it must have.
    #[error("{remote} does not have object {object}")]
    NotThere {
        /** The remote. */
        remote: Box<str>,
        /** Which object. */
        object: ObjectName,
    },
    /// The remote has no such ref.
    #[error("{remote} has no ref {name}")]
    UnknownRef {
        /** The remote. */
        remote: Box<str>,
        /** Which ref. */
        name: RefName,
        /** Whether it has a summary, which does not list it. */
        has_summary: bool,
    },
    /// The remote's ref file holds something else than an id.
    #[error("{remote}: ref {name} is malformed")]
    MalformedRef {
        /** The remote. */
        remote: Box<str>,
        /** Which ref. */
        name: RefName,
        /** What it holds instead, the beginning of it. */
        text: String,
    },
    /// All refs were asked for, and the remote has no summary that lists them.
    #[error("{remote} has no summary, so its refs cannot be listed; name the refs to pull")]
    NoSummary {
        /** The remote. */
        remote: Box<str>,
    },
    /// The remote's configuration or summary is malformed.
    #[error("{remote}: {file} is malformed")]
    Malformed {
        /** The remote. */
        remote: Box<str>,
        /** Which file. */
        file: &'static str,
        /** How. */
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The two repositories are of different formats.
    #[error("{remote} is of the {} format, this repository of the {} format", theirs.as_str(), ours.as_str())]
    FormatMismatch {
        /** The remote. */
        remote: Box<str>,
        /** Its format. */
        theirs: Format,
        /** This repository's. */
        ours: Format,
    },
    /// The remote is of a format that this version does not know.
    #[error("{remote} needs a newer version of this program: {what}")]
    NewerFormat {
        /** The remote. */
        remote: Box<str>,
        /** What is not understood. */
        what: String,
    },
    /// Only archive repositories can be pulled from over HTTP.
    #[error("{remote} is a repository of mode {mode}; only archive repositories can be pulled from")]
    NotAnArchive {
        /** The remote. */
        remote: Box<str>,
        /** Its mode. */
        mode: String,
    },
    /// The bytes that the remote has for an object are not that object, asked for twice.
    #[error("{remote} has a bad object {object}")]
    BadObject {
        /** The remote. */
        remote: Box<str>,
        /** Which object. */
        object: ObjectName,
        /** How. */
        source: Box<sapwood_objstore::Error>,
    },
    /// The commit was not made for this ref.
    #[error("commit {commit} is bound to {} and not to ref {name}", list(bound_to))]
    NotBound {
        /** The commit. */
        commit: Id<Commit>,
        /** The ref it was offered for. */
        name: RefName,
        /** The refs it is bound to. */
        bound_to: Vec<String>,
    },
    /// The commit was not made for the collection that it is offered for.
    #[error("commit {commit} is bound to {}, and the remote that it came from is of collection {wanted}", of_collection(bound_to.as_ref()))]
    NotInCollection {
        /** The commit. */
        commit: Id<Commit>,
        /** The collection that it is bound to, if to any. */
        bound_to: Option<String>,
        /** The collection that it was wanted for. */
        wanted: CollectionId,
    },
    /// The commit is older than it may be.
    #[error(
        "Upgrade target revision '{commit}' with timestamp {timestamp} is chronologically older than current revision \
         '{current}' with timestamp {current_timestamp}"
    )]
    Older {
        /** The commit. */
        commit: Id<Commit>,
        /** Its time in seconds since 1970. */
        timestamp: u64,
        /** The commit that it must not be older than. */
        current: Id<Commit>,
        /** The time of that one. */
        current_timestamp: u64,
    },
    /// A file has permission bits that were not to be taken in.
    #[error("Content object {id}: invalid mode 0{mode:o} with bits 0{bits:o}")]
    FileMode {
        /** The file. */
        id: sapwood_objstore::ObjectId,
        /** Its mode. */
        mode: u32,
        /** Those of its bits that are not to be. */
        bits: u32,
    },
    /// The commit is not signed as the remote's policy requires; nothing of it was stored.
    #[error("Commit {commit}")]
    Untrusted {
        /** The commit. */
        commit: Id<Commit>,
        /** What is wrong. */
        source: Box<sapwood_repo::sign::SignError>,
    },
    /// The summary is not signed as the remote's policy requires, or a file that this needs is not there.
    #[error("{remote}: {problem}")]
    UntrustedSummary {
        /** The remote. */
        remote: Box<str>,
        /** What is wrong. */
        problem: SummaryProblem,
    },
    /// The remote does not prove that its state is the newest.
    #[error("{remote}: {source}")]
    NotFresh {
        /** The remote. */
        remote: Box<str>,
        /** Why not, and which attack looks so. */
        source: Box<FreshnessError>,
    },
    /// The summary says that it counts no more.
    #[error("{remote}: the summary expired {} s ago: the repository was not renewed, or somebody holds back what is newer", now - expired)]
    SummaryExpired {
        /** The remote. */
        remote: Box<str>,
        /** When it did: seconds since the epoch. */
        expired: u64,
        /** What time it is. */
        now: u64,
    },
    /// Deltas are required, and this repository is an archive, for which there are none.
    #[error("Can't use static deltas in an archive repo")]
    DeltaForArchive,
    /// Deltas are required, and the remote has none to this commit that builds on what is here.
    #[error("Static deltas required, but none found for {name} to {commit}")]
    NoDelta {
        /** The ref that the commit is wanted for. */
        name: String,
        /** The commit. */
        commit: Id<Commit>,
    },
    /// Deltas are required, and the one to be used is damaged.
    #[error("delta {delta} cannot be used")]
    Delta {
        /** Which. */
        delta: sapwood_repo::DeltaName,
        /** Why not. */
        source: Box<sapwood_repo::Error>,
    },
    /// More objects than the limit.
    #[error("more than {limit} objects")]
    TooManyObjects {
        /** The limit. */
        limit: u64,
    },
    /// A tree deeper than the limit.
    #[error("the tree is deeper than {limit} directories at {object}")]
    TooDeep {
        /** The limit. */
        limit: u32,
        /** The directory that is too deep. */
        object: ObjectName,
    },
    /// This repository cannot be read or written.
    #[error(transparent)]
    Repo(#[from] sapwood_repo::Error),
    /// An object could not be stored.
    #[error("cannot store object {object}")]
    Store {
        /** Which. */
        object: ObjectName,
        /** Why. */
        source: Box<sapwood_objstore::Error>,
    },
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] sapwood_fsio::Error),
    /// The pull was cut short from inside: the runtime was shut down, or a thread died.
    #[error("the pull was stopped: {why}")]
    Stopped {
        /** By what. */
        why: &'static str,
    },
}

impl PullError {
    /// Whether there is no room for an object here.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_no_space(),
            Self::Repo(error) => error.is_no_space(),
            Self::Io(error) => error.is_no_space(),
            _ => false,
        }
    }

    /// Whether a summary and what is beside it are of different times: it is being replaced.
    pub(crate) fn is_mixed(&self) -> bool {
        matches!(self, Self::NotFresh { source, .. } if **source == FreshnessError::Mixed)
    }
}

fn of_collection(name: Option<&String>) -> String {
    name.map_or_else(|| "no collection".to_owned(), |name| format!("collection {name:?}"))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no ref".to_owned() } else { names.join(", ") }
}
