//! Failure, as it is told: one line with the causes, hints on what to do, and the exit code.

use crate::ui;
use sapwood_repo::Error as RepoError;
use serde_json::json;
use std::process::ExitCode;

/// Wrong usage: one line, and where to read more.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hints: Vec<String>,
}

impl Usage {
    /// With hints.
    pub(crate) fn new(message: impl Into<String>, hints: Vec<String>) -> Self {
        Self { message: message.into(), hints }
    }
}

/// A failure with advice of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Advised {
    /// The kind, for `--json`.
    pub(crate) kind: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

/// Wrong usage that shows only when the command runs.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage::new(message, Vec::new()).into()
}

/// Tells a failure, and gives the exit code that goes with it. A closed pipe is none.
pub(crate) fn fail(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let message = one_line(error);
    let (kind, hints) = diagnose(error);
    if as_json {
        let document = json!({ "error": { "kind": kind, "message": message, "hints": hints } });
        drop(ui::json::write(&document, &mut std::io::stdout().lock()));
    } else {
        ui::complain(&format!("error: {message}"));
        for hint in hints {
            ui::complain(&format!("hint: {hint}"));
        }
    }
    ExitCode::FAILURE
}

/// The error and its causes, a cause that repeats what was said left out.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().replace('\n', " ");
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The kind of a failure, and what can be done about it.
fn diagnose(error: &anyhow::Error) -> (&'static str, Vec<String>) {
    if let Some(usage) = error.downcast_ref::<Usage>() {
        return ("usage", usage.hints.clone());
    }
    if let Some(advised) = error.downcast_ref::<Advised>() {
        return (advised.kind, vec![advised.hint.clone()]);
    }
    for cause in error.chain() {
        if let Some(found) = cause.downcast_ref::<RepoError>().and_then(of_repo) {
            return found;
        }
        if let Some(found) = cause.downcast_ref::<sapwood_objstore::Error>().and_then(of_store) {
            return found;
        }
        if let Some(found) = cause.downcast_ref::<sapwood_fsio::lock::LockError>().map(|_| locked()) {
            return found;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return of_io(io);
        }
    }
    ("failed", Vec::new())
}

fn hint(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

fn locked() -> (&'static str, Vec<String>) {
    ("locked", hint("another process works on it; wait for it to end, or look who it is with `fuser`"))
}

fn of_repo(error: &RepoError) -> Option<(&'static str, Vec<String>)> {
    Some(match error {
        RepoError::NotARepo { .. } => {
            ("not-a-repo", hint("`sapwood init --repo=PATH` makes one; --repo=PATH names another"))
        }
        RepoError::NewerFormat { .. } => ("newer-format", hint("use a newer version; nothing was changed")),
        RepoError::Config(_) => ("config", hint("`sapwood config set GROUP.KEY VALUE` changes it")),
        RepoError::Keyfile(_) => ("config", Vec::new()),
        RepoError::Name(_) => ("invalid-name", Vec::new()),
        RepoError::UnknownRevision { .. } => ("unknown-revision", hint("`sapwood refs` lists what there is")),
        RepoError::AmbiguousRevision { .. } => ("ambiguous-revision", hint("give more digits of the id")),
        RepoError::NoParent { .. } => ("no-parent", Vec::new()),
        RepoError::MalformedRef { .. } => {
            ("malformed-ref", hint("`sapwood refs --create=REF COMMIT --force` points it somewhere again"))
        }
        RepoError::RefMoved { .. } => ("ref-moved", hint("run the command again, to build on the new state")),
        RepoError::RefConflict { .. } => {
            ("ref-conflict", hint("no ref can be both a name and a directory of names"))
        }
        RepoError::HasAlias { .. } => ("has-alias", hint("delete the alias first")),
        RepoError::UnknownRemote { .. } => {
            ("unknown-remote", hint("`sapwood remote list` lists what there is"))
        }
        RepoError::RemoteExists { .. } => {
            ("remote-exists", hint("--force replaces it, --if-not-exists leaves it"))
        }
        RepoError::NoSuchPath { .. } => ("no-such-path", Vec::new()),
        RepoError::WrongType { .. } => ("wrong-type", Vec::new()),
        RepoError::Unrecordable { .. } => ("unrecordable", Vec::new()),
        RepoError::CheckoutConflict { .. } => (
            "checkout-conflict",
            hint(
                "--union replaces files that are there, --union-add keeps them, --union-identical insists that they are the same",
            ),
        ),
        _ => return None,
    })
}

fn of_store(error: &sapwood_objstore::Error) -> Option<(&'static str, Vec<String>)> {
    use sapwood_objstore::Error;
    Some(match error {
        Error::Missing { .. } => {
            ("missing-object", hint("`sapwood fsck` says what is missing; a pull brings it back"))
        }
        Error::Corrupt { .. } | Error::Malformed { .. } => (
            "corrupt-object",
            hint("`sapwood fsck --delete` removes what is corrupt, and a pull brings it back"),
        ),
        Error::NoSpace { .. } => ("no-space", hint(NO_SPACE)),
        Error::TooLarge { .. } => ("too-large", Vec::new()),
        Error::Unsupported { .. } => ("unsupported", Vec::new()),
        _ => return None,
    })
}

const NO_SPACE: &str = "free some space (`sapwood prune --refs-only` deletes what no ref needs) and run it again: \
                        nothing was changed, and what was fetched is kept";

fn of_io(error: &std::io::Error) -> (&'static str, Vec<String>) {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("no-space", hint(NO_SPACE)),
        ErrorKind::PermissionDenied if !rustix::process::geteuid().is_root() => {
            ("permission-denied", hint("this may need root"))
        }
        ErrorKind::PermissionDenied => ("permission-denied", Vec::new()),
        ErrorKind::NotFound => ("not-found", Vec::new()),
        ErrorKind::ReadOnlyFilesystem => ("read-only", hint("the filesystem is mounted read-only")),
        _ => ("io", Vec::new()),
    }
}
