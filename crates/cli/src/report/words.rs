//! OSTree's words for common errors, so that people and scripts recognise them.

use crate::time;
use crate::ui::human;
use sapwood_deploy::{Error as DeployError, KargError};
use sapwood_objstore::{Error as StoreError, ObjectId, ObjectKind, ObjectName, Reserve};
use sapwood_repo::Error as RepoError;
use sapwood_transport::{PullError, SummaryProblem};
use std::error::Error;

/// What OSTree says of an error, where scripts are known to look for it.
pub(super) fn of_ostree(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<sapwood_deploy::Error>() {
        return of_deploy(error);
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return of_store(error);
    }
    if let Some(error) = error.downcast_ref::<PullError>() {
        return of_pull(error);
    }
    Some(match error.downcast_ref::<RepoError>()? {
        RepoError::NoSuchPath { path } => format!("No such file or directory: {path}"),
        RepoError::WrongType { path, expected: "directory" } => format!("Not a directory: {path}"),
        RepoError::CheckoutConflict { path, detail } => format!("{path}: File exists{detail}"),
        RepoError::UnknownRevision { text } => format!("Refspec '{text}' not found"),
        RepoError::AmbiguousRevision { text, .. } => format!("Refspec {text} not unique"),
        RepoError::NoParent { id } => format!("Commit {id} has no parent"),
        RepoError::OtherDevice { repo, destination } => {
            format!("Unable to do hardlink checkout across devices (src={repo} destination={destination})")
        }
        RepoError::BadWhiteout { name } => format!("Invalid empty whiteout '{name}'"),
        RepoError::InUse { id, name } => format!("Commit '{id}' is referenced by '{name}'"),
        RepoError::HasAlias { name, alias } => format!("Ref '{name}' has an active alias: '{alias}'"),
        RepoError::UnknownRemote { name } => format!("Remote \"{name}\" not found"),
        RepoError::DuplicateRemote { name } => {
            format!("Multiple specifications found for remote \"{name}\"")
        }
        RepoError::RemoteExists { name } => format!("Remote configuration for \"{name}\" already exists"),
        _ => return None,
    })
}

/// What is said where a remote's refs are to be listed, and it has no list of them.
pub(crate) const NO_REFS: &str = "Remote refs not available; server has no summary file";

fn of_pull(error: &PullError) -> Option<String> {
    // Servers say by any of three statuses that something is not there.
    let absent = |remote: &str| {
        let web = remote.starts_with("http://") || remote.starts_with("https://");
        if web { " (HTTP 404, 403 or 410)" } else { "" }
    };
    Some(match error {
        PullError::UntrustedSummary { problem: SummaryProblem::Cached { .. }, .. } => {
            "OSTREE_REPO_TEST_ERROR_INVALID_CACHE".to_owned()
        }
        // What is looked for in a repository of this machine is a revision there.
        PullError::UnknownRef { name, has_summary: true, .. } => {
            format!("No such branch '{name}' in repository summary")
        }
        PullError::UnknownRef { remote, name, .. } if !remote.contains("://") => {
            format!("Refspec '{name}' not found")
        }
        PullError::NotThere { remote, .. }
        | PullError::UnknownRef { remote, .. }
        | PullError::NotARepo { remote } => {
            format!("{error}{}", absent(remote))
        }
        PullError::NotBound { commit, name, bound_to } => {
            let bound_to: Vec<_> = bound_to.iter().map(|name| format!("‘{name}’")).collect();
            format!(
                "Commit {commit}: Commit has no requested ref ‘{name}’ in ref binding metadata ({})",
                bound_to.join(", ")
            )
        }
        PullError::NoSummary { .. } => {
            "Fetching all refs was requested in mirror mode, but remote repository does not have a summary"
                .to_owned()
        }
        PullError::MalformedRef { name, text, .. } => {
            let text = text.replace(|c: char| c.is_control(), " ");
            format!("Fetching checksum for ref ((empty), {name}): Invalid rev {text}")
        }
        _ => return None,
    })
}

/// What is said of an object that hashes to something else.
pub(crate) fn corrupted(object: ObjectName, actual: ObjectId) -> String {
    let kind = match object.kind {
        ObjectKind::Commit => "commit",
        ObjectKind::DirTree => "dirtree",
        ObjectKind::DirMeta => "dirmeta",
        ObjectKind::File => "file",
    };
    format!("Corrupted {kind} object; checksum expected='{}' actual='{actual}'", object.id)
}

fn of_store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Missing { name } if name.kind == ObjectKind::File => {
            Some(format!("Couldn't find file object '{}'", name.id))
        }
        StoreError::NoSpace { needed_bytes, reserve, .. } => {
            let needed = human::size(*needed_bytes);
            let reserve = match reserve {
                Reserve::Percent(percent) => format!("min-free-space-percent '{percent}%'"),
                Reserve::Bytes(bytes) => format!("min-free-space-size {}MB", bytes >> 20),
            };
            Some(format!("{reserve} would be exceeded, at least {needed} requested"))
        }
        StoreError::NoLink { mode: "bare-user" } => {
            Some("User repository mode requires user checkout mode to hardlink".to_owned())
        }
        StoreError::NoLink { mode: "bare" } => {
            Some("Bare repository mode cannot hardlink in user checkout mode".to_owned())
        }
        StoreError::Corrupt { name, actual } => Some(corrupted(*name, *actual)),
        StoreError::SlashInName { text, .. } => {
            Some(format!("Invalid / in filename {}", text.escape_debug()))
        }
        StoreError::Missing { name } => Some(format!("No such metadata object {name}")),
        _ => None,
    }
}

fn of_deploy(error: &DeployError) -> Option<String> {
    Some(match error {
        DeployError::Karg(KargError::NoKey { key }) => format!("No key '{key}' found"),
        DeployError::SameRef { refspec } => format!("Old and new refs are equal: {refspec}"),
        DeployError::NothingDeployed { name } => format!("No previous deployment for OS '{name}'"),
        DeployError::Downgrade { new, new_time, current, current_time } => format!(
            "Upgrade target revision '{new}' with timestamp '{}' is chronologically older than current revision \
             '{current}' with timestamp '{}'",
            time::utc(*new_time),
            time::utc(*current_time)
        ),
        _ => return None,
    })
}
