//! What kind of failure an error is, and what can be done about it.

use super::causes::causes;
use super::{Advised, Usage};
use sapwood_fsio::lock::LockError;
use sapwood_repo::Error as RepoError;
use sapwood_repo::statement::FreshnessError;
use sapwood_transport::{FetchError, PullError};

/// The kind of a failure, for programs: words joined by `-`, never changed once given.
type Kind = &'static str;

/// The kind of a failure, and what can be done about it.
pub(super) fn of(error: &anyhow::Error) -> (Kind, Vec<String>) {
    if let Some(usage) = error.downcast_ref::<Usage>() {
        return ("usage", usage.hints.clone());
    }
    if let Some(advised) = error.downcast_ref::<Advised>() {
        return (advised.kind, vec![advised.hint.clone()]);
    }
    causes(error).find_map(of_cause).unwrap_or(("failed", Vec::new()))
}

/// What an error says by itself, if anything.
fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<(Kind, Vec<String>)> {
    if let Some(error) = cause.downcast_ref() {
        return of_repo(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_store(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_deploy(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_pull(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_fetch(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_freshness(error));
    }
    if let Some(LockError::Held { .. }) = cause.downcast_ref() {
        return Some(("locked", hint("wait for the other process to end, and run it again")));
    }
    cause.downcast_ref().map(of_io)
}

fn hint(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

fn of_repo(error: &RepoError) -> Option<(Kind, Vec<String>)> {
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
        RepoError::MalformedRef { .. } => (
            "malformed-ref",
            hint(
                "`sapwood refs --delete REF` removes it, `sapwood refs --create=REF COMMIT --force` points it somewhere again",
            ),
        ),
        RepoError::OwnStatement => (
            "not-fresh",
            hint(
                "name the refs to pull, which leaves the summary alone; or, where `statement` in the repository is the copy of a \
                 remote that gave it up, remove that file",
            ),
        ),
        RepoError::SummaryMoved => {
            ("summary-moved", hint("run the command again, to look at the remote again"))
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
        RepoError::Announcement { .. } | RepoError::CommitTooDeep { .. } => {
            ("bad-commit", hint("who made the commit has to make another: no source has a better one"))
        }
        RepoError::CheckoutConflict { .. } => (
            "checkout-conflict",
            hint(
                "--union replaces files that are there, --union-add keeps them, --union-identical insists that they are the same",
            ),
        ),
        _ => return None,
    })
}

fn of_store(error: &sapwood_objstore::Error) -> Option<(Kind, Vec<String>)> {
    use sapwood_objstore::Error;
    Some(match error {
        Error::Missing { .. } => {
            ("missing-object", hint("`sapwood fsck` says what is missing; a pull brings it back"))
        }
        Error::Corrupt { .. } | Error::Malformed { .. } | Error::SlashInName { .. } => (
            "corrupt-object",
            hint("`sapwood fsck --delete` removes what is corrupt, and a pull brings it back"),
        ),
        Error::NoSpace { .. } => ("no-space", hint(NO_SPACE)),
        Error::TooLarge { .. } => ("too-large", Vec::new()),
        Error::Unsupported { .. } => ("unsupported", Vec::new()),
        _ => return None,
    })
}

fn of_deploy(error: &sapwood_deploy::Error) -> Option<(Kind, Vec<String>)> {
    use sapwood_deploy::{Error, KernelError};
    Some(match error {
        Error::NotASysroot { .. } => {
            ("not-a-sysroot", hint("`sapwood admin init-fs PATH` makes one; --sysroot=PATH names another"))
        }
        Error::Name(_) => ("invalid-name", hint("letters, digits and - _ . + @ are allowed")),
        Error::UnknownStateroot { .. } => {
            ("unknown-stateroot", hint("`sapwood admin os-init NAME` makes one"))
        }
        Error::StaterootExists { .. } => ("stateroot-exists", Vec::new()),
        Error::StaterootNeeded { .. } => ("stateroot-needed", hint("--os=NAME names one")),
        Error::NoSuchDeployment { .. } => {
            ("no-such-deployment", hint("`sapwood admin status` lists deployments"))
        }
        Error::NoLinks { .. } => {
            ("no-links", hint("mount a filesystem with links as /boot, or start from systemd-boot"))
        }
        Error::Setting { .. } => ("invalid-setting", Vec::new()),
        Error::NothingToBoot => ("nothing-to-boot", Vec::new()),
        Error::NoRollback { .. } => ("no-rollback", hint("`sapwood admin upgrade` brings another version")),
        Error::NothingDeployed { .. } => {
            ("nothing-deployed", hint("`sapwood admin deploy --os=NAME REFSPEC` deploys the first one"))
        }
        Error::Booted { .. } => ("booted", hint("boot another one first")),
        Error::BadEntry { .. } | Error::BadLink { .. } => ("bad-boot-entry", Vec::new()),
        Error::NoEntries { link } => (
            "bad-boot-entry",
            vec![format!(
                "if the entries are lost, save what you need of ostree/deploy and remove {link}: the next deployment \
                 begins a new list, and removes all others"
            )],
        ),
        Error::NoOrigin { .. } => ("no-origin", hint("`sapwood admin switch REMOTE:REF` gives it one")),
        Error::Unconfigured { .. } => ("unconfigured", Vec::new()),
        Error::SameRef { .. } => ("same-ref", hint("`sapwood admin upgrade` pulls its newest commit")),
        Error::Downgrade { .. } => ("downgrade", hint("--allow-downgrade deploys it all the same")),
        Error::TwoEtcs { .. } => {
            ("two-etcs", hint("commit trees that have their defaults in /usr/etc alone"))
        }
        Error::Kernel { source, .. } if !matches!(**source, KernelError::Io(_)) => (
            "no-kernel",
            hint("a tree that can be booted has its kernel at /usr/lib/modules/VERSION/vmlinuz"),
        ),
        Error::NotBooted => ("not-booted", Vec::new()),
        Error::ReadOnlyBoot => ("read-only", Vec::new()),
        Error::NothingStaged | Error::IsStaged { .. } => {
            ("staged", hint("`sapwood admin status` says what is staged"))
        }
        Error::OverlayGone { .. } => {
            ("overlay-gone", hint("`sapwood admin undeploy 0` forgets what is staged; deploy it again"))
        }
        Error::Unlocked { .. } => ("unlocked", Vec::new()),
        Error::NoRoom { .. } | Error::BootFull { .. } => {
            ("no-space", hint("`sapwood admin undeploy INDEX` makes room for another kernel"))
        }
        Error::NoDiskRoom { .. } => ("no-space", hint("`sapwood admin undeploy INDEX` makes room")),
        Error::Karg(_) => ("kernel-argument", Vec::new()),
        Error::Bootloader { .. } => ("bootloader", Vec::new()),
        _ => return None,
    })
}

fn of_pull(error: &PullError) -> Option<(Kind, Vec<String>)> {
    Some(match error {
        PullError::UnknownRef { .. } => {
            ("unknown-ref", hint("`sapwood remote refs NAME` lists what the remote has"))
        }
        PullError::NotARepo { .. } => (
            "not-a-repo",
            hint("its address must be that of the directory that holds `config` and `objects`"),
        ),
        PullError::NotThere { .. } => (
            "incomplete-remote",
            hint("the remote is incomplete: `fsck` there says more; what was fetched is kept"),
        ),
        PullError::NoSummary { .. } => {
            ("no-summary", hint("`sapwood summary --update` makes one on the server"))
        }
        PullError::FormatMismatch { .. } => (
            "format-mismatch",
            hint("`sapwood init --format=native|ostree` makes a repository of the other format"),
        ),
        PullError::NewerFormat { .. } => ("newer-format", hint("use a newer version; nothing was changed")),
        PullError::NotAnArchive { .. } => (
            "not-an-archive",
            hint("`sapwood init --mode=archive` and `pull-local` make an archive of it on the server"),
        ),
        PullError::BadObject { .. } => (
            "bad-object",
            hint("the remote, or something on the way to it, is corrupt; nothing of it was stored"),
        ),
        PullError::NotBound { .. } | PullError::NotInCollection { .. } => {
            ("not-bound", hint("--disable-verify-bindings pulls it all the same"))
        }
        PullError::Untrusted { .. } | PullError::UntrustedSummary { .. } => (
            "untrusted",
            hint("nothing of it was stored; if its owner has new keys, get them by a way that you trust"),
        ),
        PullError::Older { .. } => (
            "older",
            hint(
                "REF@COMMIT pulls one commit all the same, `admin upgrade --allow-downgrade` goes back to it",
            ),
        ),
        PullError::SummaryExpired { .. } => ("expired", hint(EXPIRED)),
        PullError::NotFresh { source, .. } => of_freshness(source),
        PullError::DeltaForArchive | PullError::NoDelta { .. } | PullError::Delta { .. } => {
            ("no-delta", hint("without --require-static-deltas objects are fetched one by one"))
        }
        PullError::Malformed { .. } | PullError::MalformedRef { .. } => ("malformed-remote", Vec::new()),
        PullError::TooManyObjects { .. } | PullError::TooDeep { .. } => ("too-large", Vec::new()),
        _ => return None,
    })
}

const EXPIRED: &str = "check this machine's clock; if it is right, the owner has to run `sapwood summary --update` on the \
                       server, with a publisher's key where the repository states what is newest";

fn of_freshness(error: &FreshnessError) -> (Kind, Vec<String>) {
    match error {
        FreshnessError::NotThere | FreshnessError::NotSigned => (
            "not-fresh",
            hint(
                "the owner has to run `sapwood summary --update` with a publisher's key on the server; unsetting trust-root of \
                 the remote gives the protection up",
            ),
        ),
        FreshnessError::Foreign | FreshnessError::BadRotation { .. } | FreshnessError::TwoKeySets { .. } => (
            "foreign-keys",
            hint(
                "ask the owner; if the repository began anew, `sapwood config set` the remote's trust-root to the id that its \
                 `sapwood trust show` prints",
            ),
        ),
        FreshnessError::Expired { .. } => ("expired", hint(EXPIRED)),
        FreshnessError::Overtaken => {
            ("overtaken", hint("run it again: what was fetched is kept, and no ref was moved"))
        }
        FreshnessError::Mixed => (
            "not-fresh",
            hint(
                "run it again; if it stays, a cache on the way is out of step, or the summary was renewed without a publisher's key",
            ),
        ),
        FreshnessError::RolledBack { .. }
        | FreshnessError::OldKeys { .. }
        | FreshnessError::TwoStatements { .. } => (
            "rolled-back",
            hint(
                "try another mirror or network; if the owner says that this is the newest, `sapwood trust forget REMOTE` forgets \
                 what was seen",
            ),
        ),
        _ => ("not-fresh", Vec::new()),
    }
}

fn of_fetch(error: &FetchError) -> Option<(Kind, Vec<String>)> {
    Some(match error {
        // The remote is a directory of this machine.
        FetchError::Io(_) => return None,
        FetchError::Status { status: 401 | 403, .. } => ("forbidden", hint("the server wants credentials")),
        FetchError::Status { .. } => ("http-status", hint("what was fetched is kept: run it again later")),
        FetchError::Connect { .. } => {
            ("cannot-connect", hint("check the address (`sapwood remote list -u`) and the network"))
        }
        FetchError::Tls { .. } => {
            ("tls", hint("the key tls-ca-path of the remote names a file of certificates to trust"))
        }
        FetchError::TooLarge { .. } => ("too-large", Vec::new()),
        FetchError::Redirect { .. } => ("redirect", Vec::new()),
        _ => ("network", hint("what was fetched is kept: run it again")),
    })
}

const NO_SPACE: &str = "free some space (`sapwood prune --refs-only` deletes what no ref needs) and run it again: \
                        objects that were fetched whole are kept";

const BAD_DISK: &str = "the disk fails: see the kernel's log, and `sapwood fsck` for what it cost";

fn of_io(error: &std::io::Error) -> (Kind, Vec<String>) {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("no-space", hint(NO_SPACE)),
        ErrorKind::PermissionDenied if !rustix::process::geteuid().is_root() => {
            ("permission-denied", hint("this may need root"))
        }
        ErrorKind::PermissionDenied => ("permission-denied", Vec::new()),
        ErrorKind::NotFound => {
            ("not-found", hint("check the path; relative ones begin at the current directory"))
        }
        ErrorKind::ReadOnlyFilesystem => ("read-only", hint("the filesystem is mounted read-only")),
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => ("disk", hint(BAD_DISK)),
        _ => ("io", Vec::new()),
    }
}
