//! What can go wrong with a repository.

use crate::selinux::ContextsError;
use crate::sign::SignError;
use crate::statement::FreshnessError;
use crate::{ConfigError, KeyfileError, NameError, Refspec};
use sapwood_objstore::{Commit, DecodeError, EntryName, Id, ObjectName};

/// The result of an operation on a repository.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a repository failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory has no `config` and `objects`.
    #[error("not a repository: it has no {missing}")]
    NotARepo {
        /** What it lacks. */
        missing: &'static str,
    },
    /// The repository is of a format that this version cannot read or write; nothing was changed.
    #[error("the repository needs a newer version of this program: {what}")]
    NewerFormat {
        /** What is not understood. */
        what: String,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A keyfile is malformed.
    #[error(transparent)]
    Keyfile(#[from] KeyfileError),
    /// A drop-in file that describes remotes is malformed.
    #[error("{file} among the files of remotes is malformed")]
    DropIn {
        /** Its name in their directory. */
        file: String,
        /** What is wrong with it. */
        source: KeyfileError,
    },
    /// There are too many of them.
    #[error("more than {limit} files of remotes")]
    TooManyDropIns {
        /** How many there may be. */
        limit: usize,
    },
    /// A remote is described twice.
    #[error("remote {name} is described more than once")]
    DuplicateRemote {
        /** Which. */
        name: String,
    },
    /// A name is not acceptable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No ref, commit or unique prefix of one is called so.
    #[error("no ref or commit is called {text:?}")]
    UnknownRevision {
        /** What was asked for. */
        text: String,
    },
    /// A statement, or what is known of one, is malformed.
    #[error("malformed statement")]
    Statement(#[source] DecodeError),
    /// What a remote offers is not its newest state, as far as can be told.
    #[error(transparent)]
    NotFresh(FreshnessError),
    /// A copy of another repository's summary would be beside a statement that is not about it.
    #[error(
        "the repository has a statement that is not about the summary to be copied, and is not followed by the remote's"
    )]
    OwnStatement,
    /// A copy of another repository's summary would replace one that is newer, perhaps.
    #[error("the summary was replaced by another process since the one to be copied was asked for")]
    SummaryMoved,
    /// Several commits begin so.
    #[error("{text:?} is the beginning of {count} commits")]
    AmbiguousRevision {
        /** What was asked for. */
        text: String,
        /** How many match. */
        count: usize,
    },
    /// The commit has no parent.
    #[error("commit {id} has no parent")]
    NoParent {
        /** Which. */
        id: Id<Commit>,
    },
    /// A ref file holds something else than an id.
    #[error("ref {name} is malformed")]
    MalformedRef {
        /** Which. */
        name: Refspec,
    },
    /// A ref is not where the caller saw it.
    #[error("ref {name} was moved by another process: expected {expected}, found {found}")]
    RefMoved {
        /** Which. */
        name: Refspec,
        /** What was expected: an id or `none`. */
        expected: String,
        /** What was found: an id or `none`. */
        found: String,
    },
    /// A ref stands in the way of another: one is a directory of the other.
    #[error("ref {name} cannot be created beside {other}")]
    RefConflict {
        /** The new one. */
        name: Refspec,
        /** The one there. */
        other: String,
    },
    /// A ref that an alias points to cannot be deleted.
    #[error("ref {name} has the alias {alias}")]
    HasAlias {
        /** Which. */
        name: Refspec,
        /** Its alias. */
        alias: String,
    },
    /// A commit that a ref points to cannot be deleted.
    #[error("commit {id} cannot be deleted: the ref {name} points to it")]
    InUse {
        /** Which. */
        id: Id<Commit>,
        /** The ref. */
        name: String,
    },
    /// A new commit would lack what one that it takes a tree from lacks.
    #[error("commit {id} is here only in part, so nothing can be built on its tree")]
    Incomplete {
        /** The other commit. */
        id: Id<Commit>,
    },
    /// There is no such remote.
    #[error("no remote is called {name:?}")]
    UnknownRemote {
        /** What was asked for. */
        name: String,
    },
    /// There is such a remote already.
    #[error("there is a remote called {name:?} already")]
    RemoteExists {
        /** What was asked for. */
        name: String,
    },
    /// There is nothing at a path in a tree.
    #[error("{path} does not exist in the tree")]
    NoSuchPath {
        /** The path. */
        path: String,
    },
    /// Something at a path in a tree is not what was expected.
    #[error("{path} is not a {expected}")]
    WrongType {
        /** The path. */
        path: String,
        /** `directory`, `file`. */
        expected: &'static str,
    },
    /// A file in the tree to be committed cannot be recorded.
    #[error("cannot record {path}: {reason}")]
    Unrecordable {
        /** The path in the tree. */
        path: String,
        /** Why. */
        reason: String,
    },
    /// The tree is deeper than the limit.
    #[error("the tree is deeper than {limit} directories")]
    TooDeep {
        /** The limit. */
        limit: usize,
    },
    /// The tree of a commit is deeper than any may be.
    #[error("the tree of commit {commit} is more than {limit} directories deep")]
    CommitTooDeep {
        /** The commit. */
        commit: Id<Commit>,
        /** The limit. */
        limit: usize,
    },
    /// A native commit, or a directory of it, announces something else than is the case. That cannot be mended: who made the
    /// commit made it so.
    #[error("commit {commit} is wrong itself: {object} announces {problem}")]
    Announcement {
        /** The commit. */
        commit: Id<Commit>,
        /** It, or one of its directories. */
        object: ObjectName,
        /** What is wrong in that. */
        problem: Box<crate::Problem>,
    },
    /// No source of a tree has a root directory, or all of it is skipped.
    #[error("Can't commit an empty tree")]
    EmptyTree,
    /// Two sources of a tree cannot be laid over each other.
    #[error("Can't replace {what}: {name}")]
    MergeConflict {
        /** What with what. */
        what: &'static str,
        /** The name that both have. */
        name: EntryName,
    },
    /// Lines of a list are about nothing in the sources of a tree.
    #[error("Unmatched {list} paths")]
    Unmatched {
        /** Which list. */
        list: &'static str,
        /** The paths. */
        paths: Vec<String>,
    },
    /// An archive cannot be recorded.
    #[error("archive: {path}: {reason}")]
    Archive {
        /** The path of the entry at which that was found, or `-` where there is none. */
        path: String,
        /** Why. */
        reason: String,
    },
    /// Something is in the way of a checkout.
    #[error("{path} exists already{detail}")]
    CheckoutConflict {
        /** The path. */
        path: String,
        /** More, beginning with a space or a comma, or nothing. */
        detail: &'static str,
    },
    /// A file could not be checked out.
    #[error("cannot check out {path}")]
    CheckoutFile {
        /** The path in the checkout. */
        path: String,
        /** Why. */
        source: Box<sapwood_objstore::Error>,
    },
    /// Hardlinks are required, and the destination is on another filesystem than the repository.
    #[error("files of the repository, on device {repo}, cannot be hardlinked onto device {destination}")]
    OtherDevice {
        /** The device number of the repository. */
        repo: u64,
        /** That of the destination. */
        destination: u64,
    },
    /// A whiteout hides nothing that could have a name.
    #[error("the whiteout {name:?} names nothing")]
    BadWhiteout {
        /** Its name. */
        name: String,
    },
    /// Both repositories of a conversion are of one format.
    #[error("both repositories have the {format} format: there is nothing to convert")]
    SameFormat {
        /** Which. */
        format: &'static str,
    },
    /// A ref has commits that do not come from the repository that is converted.
    #[error("ref {name} points to a commit that was not made of one of the other repository")]
    ForeignRef {
        /** Which. */
        name: Refspec,
    },
    /// An SELinux policy cannot be used.
    #[error(transparent)]
    Policy(Box<ContextsError>),
    /// A static delta cannot be used or made.
    #[error(transparent)]
    Delta(#[from] crate::DeltaError),
    /// Something could not be signed, or is not signed as it must be.
    #[error(transparent)]
    Sign(Box<SignError>),
    /// The sizes of objects that a commit records are malformed; the offset is that of an entry.
    #[error("the sizes that the commit records are malformed")]
    Sizes(#[source] DecodeError),
    /// A summary is malformed.
    #[error("the summary is malformed")]
    Summary(#[source] DecodeError),
    /// An object could not be read or written.
    #[error(transparent)]
    Store(#[from] sapwood_objstore::Error),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] sapwood_fsio::Error),
    /// The repository's lock was not got.
    #[error(transparent)]
    Lock(#[from] sapwood_fsio::lock::LockError),
}

impl Error {
    /// Whether there is no room: the reserve, the disk or the quota would be used up.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Store(error) => error.is_no_space(),
            Self::Io(error) => error.is_no_space(),
            _ => false,
        }
    }
}

impl From<SignError> for Error {
    fn from(error: SignError) -> Self {
        Self::Sign(Box::new(error))
    }
}
