//! What a check found, in OSTree's words.

use crate::report::words::corrupted;
use sapwood_objstore::{Leftover, ObjectKind};
use sapwood_repo::{BadBinding, BindingProblem, BrokenRef, Finding, Problem};

/// A finding in OSTree's words; `reason` is why the object is malformed, where that is known.
pub(super) fn finding(finding: &Finding, reason: Option<&str>) -> String {
    let object = finding.object;
    let commits: Vec<_> = finding.commits.iter().map(sapwood_objstore::Id::to_hex).collect();
    let what = match object.kind {
        ObjectKind::File => format!("fsck content object {}", object.id),
        _ => format!("fsck {object}"),
    };
    let problem = match &finding.problem {
        Problem::Missing if commits.is_empty() => format!("Object missing: {object}"),
        Problem::Missing => return format!("Object missing in commits {}: {object}", commits.join(", ")),
        Problem::Corrupt { actual } => format!("{what}: {}", corrupted(object, *actual)),
        Problem::WrongSize { file, announced, actual } => {
            format!("{what}: Wrong size of {file}.file: {announced} bytes announced, but it has {actual}")
        }
        Problem::WrongTotals { .. } => format!("{what}: Wrong totals: it announces {}", finding.problem),
        Problem::TooDeep { .. } => format!("{what}: {}", finding.problem),
        problem => match reason {
            Some(reason) => format!("{what}: {reason}"),
            None => format!("{what}: Corrupted {} object: {problem}", kind_name(object.kind)),
        },
    };
    if commits.is_empty() {
        return problem;
    }
    let problem = if finding.is_lasting() { format!("{problem} (it was made so)") } else { problem };
    format!("In commits {}: {problem}", commits.join(", "))
}

fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Commit => "commit",
        ObjectKind::DirTree => "dirtree",
        ObjectKind::DirMeta => "dirmeta",
        ObjectKind::File => "file",
    }
}

/// What an interrupted run left, and what becomes of it.
pub(super) fn staging(left: &Leftover) -> String {
    let Leftover { dir, objects, bytes, .. } = left;
    if left.is_of_this_boot {
        format!(
            "{dir}: {objects} objects ({bytes} bytes) of an interrupted run, which the next one takes over"
        )
    } else {
        format!("{dir}: of a run that an earlier boot interrupted; the next one removes it")
    }
}

/// What of it is damaged.
pub(super) fn damaged_staging(left: &Leftover) -> impl Iterator<Item = String> {
    left.damaged.iter().map(|name| format!("fsck {}: staged object {name} is corrupted", left.dir))
}

/// A ref that leads nowhere.
pub(super) fn broken_ref(broken: &BrokenRef) -> String {
    match &broken.alias_of {
        Some(of) => {
            format!("Loading commit for ref {}: it is an alias of {of}, which does not exist", broken.name)
        }
        None => format!("Loading commit for ref {}: it holds no commit id", broken.name),
    }
}

/// A ref and a commit that disagree.
pub(in crate::cmd) fn binding(bad: &BadBinding) -> String {
    let commit = bad.commit;
    let of_ref = |collection: &Option<String>, name: &str| match collection {
        Some(collection) => format!("Collection–ref ({collection}, {name})"),
        None => format!("Ref ‘{name}’"),
    };
    match &bad.problem {
        BindingProblem::Unbound => {
            format!("Commit {commit}: Expected commit metadata to have ref binding information, found none")
        }
        BindingProblem::OtherRef { name, bound } => {
            let bound: Vec<_> = bound.iter().map(|bound| format!("‘{bound}’")).collect();
            let bound = if bound.is_empty() { "no refs".to_owned() } else { bound.join(", ") };
            format!("Commit {commit}: Commit has no requested ref ‘{name}’ in ref binding metadata ({bound})")
        }
        BindingProblem::NoCollection => {
            format!(
                "Commit {commit}: Expected commit metadata to have collection ID binding information, found none"
            )
        }
        BindingProblem::OtherCollection { bound, expected } => format!(
            "Commit {commit}: Commit has collection ID ‘{bound}’ in collection binding metadata, while the remote it \
             came from has collection ID ‘{expected}’"
        ),
        BindingProblem::NoSuchRef { collection, name } => {
            format!("{} in bindings for commit {commit} does not exist", of_ref(collection, name))
        }
        BindingProblem::RefElsewhere { collection, name } => {
            format!(
                "{} in bindings for commit {commit} does not resolve to that commit",
                of_ref(collection, name)
            )
        }
        _ => format!("Commit {commit}: its bindings are wrong"),
    }
}
