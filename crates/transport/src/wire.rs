//! Names on the wire: the only file that knows where a remote keeps what.

use sapwood_objstore::{Commit, Id, ObjectKind, ObjectName};

/// The repository's configuration.
pub(crate) const CONFIG: &str = "config";
/// The summary.
pub(crate) const SUMMARY: &str = "summary";
/// Its signatures.
pub(crate) const SUMMARY_SIG: &str = "summary.sig";

/// What is stated of the summary.
pub(crate) const STATEMENT: &str = sapwood_repo::statement::FILE;

/// Names at the top of a repository that are for others to read.
pub(crate) const PUBLIC: &[&str] = &[
    CONFIG,
    SUMMARY,
    SUMMARY_SIG,
    STATEMENT,
    "summary.idx",
    "summaries",
    "refs",
    "objects",
    "deltas",
    "delta-indexes",
    "closures",
];

/// Below these, names may be symlinks to others in the repository.
pub(crate) const REFS: &str = "refs";

/// A ref of the remote itself.
pub(crate) fn head(name: &str) -> String {
    format!("refs/heads/{name}")
}

/// An object of an archive repository.
pub(crate) fn object(name: ObjectName) -> String {
    let kind = match name.kind {
        ObjectKind::Commit => "commit",
        ObjectKind::DirTree => "dirtree",
        ObjectKind::DirMeta => "dirmeta",
        ObjectKind::File => "filez",
    };
    below_objects(&name.id.to_hex(), kind)
}

/// The metadata kept beside a commit.
pub(crate) fn detached(commit: Id<Commit>) -> String {
    below_objects(&commit.to_hex(), "commitmeta")
}

fn below_objects(hex: &str, kind: &str) -> String {
    let (dir, rest) = hex.split_at(2);
    format!("objects/{dir}/{rest}.{kind}")
}

/// Whether it is the superblock of a delta or a part of one.
pub(crate) fn is_of_delta(path: &str) -> bool {
    path.starts_with("deltas/")
}

/// Whether the file at a path never changes: it is named by its content.
pub(crate) fn is_immutable(path: &str) -> bool {
    path.starts_with("objects/") && !path.ends_with(".commitmeta")
}
