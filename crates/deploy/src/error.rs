//! What can go wrong with a sysroot.

use crate::boot::kargs::KargError;
use crate::boot::kernel::KernelError;
use crate::{DeploymentId, NameError, OriginError, StaterootName};

/// The result of an operation on a sysroot.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a sysroot failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory has no `ostree/repo`.
    #[error("not a sysroot: it has no {missing}")]
    NotASysroot {
        /** What it lacks. */
        missing: &'static str,
    },
    /// A name is not acceptable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No stateroot has that name.
    #[error("no stateroot is called {name}")]
    UnknownStateroot {
        /** What was asked for. */
        name: StaterootName,
    },
    /// There is such a stateroot already.
    #[error("stateroot {name} exists already")]
    StaterootExists {
        /** Which. */
        name: StaterootName,
    },
    /// Several stateroots have deployments, or none has, so one must be named.
    #[error("no stateroot was named, and {} have deployments", if names.is_empty() { "none".to_owned() } else { names.join(", ") })]
    StaterootNeeded {
        /** Those that have deployments. */
        names: Vec<String>,
    },
    /// There is no deployment at that place.
    #[error("there is no deployment {index}: there are {count}")]
    NoSuchDeployment {
        /** What was asked for. */
        index: usize,
        /** How many there are. */
        count: usize,
    },
    /// Nothing is deployed.
    #[error("there are no deployments")]
    NothingToBoot,
    /// The stateroot of the default has no other deployment to go back to.
    #[error("there is nothing to go back to: {deployment} is the only deployment of {}", deployment.stateroot)]
    NoRollback {
        /** The default. */
        deployment: DeploymentId,
    },
    /// The stateroot has no deployment to upgrade from.
    #[error("stateroot {name} has no deployment yet")]
    NothingDeployed {
        /** Which. */
        name: StaterootName,
    },
    /// The deployment is in use.
    #[error("deployment {index} is the running system")]
    Booted {
        /** Its place. */
        index: usize,
    },
    /// A boot entry cannot be understood; nothing was changed.
    #[error("boot entry {file}: {reason}")]
    BadEntry {
        /** Its file name. */
        file: String,
        /** What is wrong. */
        reason: String,
    },
    /// One of the links that say what boots is neither link nor missing, or points elsewhere.
    #[error("{path} should be a link to {expected}")]
    BadLink {
        /** The path. */
        path: String,
        /** What it should point to. */
        expected: String,
    },
    /// An origin file is malformed.
    #[error("cannot read the origin of {deployment}")]
    Origin {
        /** Whose. */
        deployment: DeploymentId,
        /** Where and why. */
        source: OriginError,
    },
    /// The origin of the deployment names no ref to follow.
    #[error("{deployment} has no origin to upgrade from")]
    NoOrigin {
        /** Which. */
        deployment: DeploymentId,
    },
    /// The origin says that the system must be configured first.
    #[error("{deployment} cannot be upgraded yet: {reason}")]
    Unconfigured {
        /** Which. */
        deployment: DeploymentId,
        /** What its origin says. */
        reason: String,
    },
    /// The ref is followed already.
    #[error("{refspec} is followed already")]
    SameRef {
        /** Which. */
        refspec: String,
    },
    /// The new commit is older than the deployed one.
    #[error(
        "commit {new} of {new_time} is older than the deployed {current} of {current_time} (seconds since 1970)"
    )]
    Downgrade {
        /// The commit that would be deployed.
        new: String,
        /// Its time, seconds since the epoch.
        new_time: u64,
        /// The deployed one.
        current: String,
        /// Its time, seconds since the epoch.
        current_time: u64,
    },
    /// The commit was not pulled completely.
    #[error("commit {commit} is incomplete here: pull it again")]
    Partial {
        /** The commit. */
        commit: String,
    },
    /// The tree has both `/etc` and `/usr/etc`, so it is not clear which holds the defaults.
    #[error("commit {commit} has both a non-empty /etc and a /usr/etc")]
    TwoEtcs {
        /** The commit. */
        commit: String,
    },
    /// The tree has no usable kernel.
    #[error("no kernel to boot in {deployment}")]
    Kernel {
        /** Where. */
        deployment: DeploymentId,
        /** Why. */
        source: Box<KernelError>,
    },
    /// No entry is there, and yet deployments that entries named: what boots is not known, and nothing is changed.
    #[error("no boot entry is there, though {link} leads to deployments: is /boot mounted?")]
    NoEntries {
        /** The link to the set of links that leads to them. */
        link: String,
    },
    /// Kernel arguments cannot be changed as asked.
    #[error(transparent)]
    Karg(#[from] KargError),
    /// The machine's boot loader needs files that this version does not write.
    #[error(
        "the boot loader {name} is not supported: set sysroot.bootloader=none if it reads Boot Loader Specification entries by itself"
    )]
    Bootloader {
        /** Which. */
        name: String,
    },
    /// The boot loader has a configuration of its own, which only a link can switch.
    #[error("the boot loader {name} needs symbolic links, and the boot directory has none")]
    NoLinks {
        /** Which. */
        name: String,
    },
    /// A key of the repository's configuration has a value that means nothing.
    #[error("{key} is {value:?}, and should be {expected}")]
    Setting {
        /** The key. */
        key: &'static str,
        /** Its value. */
        value: String,
        /** What it may be. */
        expected: &'static str,
    },
    /// Nothing of this sysroot runs, so there is no shutdown to wait for, and nothing to unlock.
    #[error("Not currently booted into an OSTree system")]
    NotBooted,
    /// What is staged now could not be put into the boot order at the shutdown.
    #[error("/boot cannot be written: its filesystem is read-only")]
    ReadOnlyBoot,
    /// The running deployment is unlocked already, which ends with the next boot at the earliest.
    #[error("Deployment is already in unlocked state: {state}")]
    Unlocked {
        /** How. */
        state: &'static str,
    },
    /// Nothing is staged.
    #[error("no deployment is staged")]
    NothingStaged,
    /// That can be done to a deployment only when it is in the boot order.
    #[error("deployment {index} is staged: it is not in the boot order yet")]
    IsStaged {
        /** Its place. */
        index: usize,
    },
    /// The deployment whose configuration the staged one was to take over is gone.
    #[error("the deployment to merge with, {merge}, is gone")]
    MergeGone {
        /** Which. */
        merge: DeploymentId,
    },
    /// An overlay of the initramfs of what is staged is nowhere.
    #[error("the overlay {name} of the initramfs is gone")]
    OverlayGone {
        /** Its name. */
        name: String,
    },
    /// The record of what is staged cannot be read.
    #[error("malformed record of what is staged: {what}")]
    Record {
        /** What is wrong. */
        what: String,
    },
    /// The boot directory is too small for one more kernel.
    #[error(
        "the boot directory has room for {available_bytes} bytes, and {needed_bytes} and 1 MiB are needed"
    )]
    NoRoom {
        /// What has to be copied.
        needed_bytes: u64,
        /// What is free.
        available_bytes: u64,
    },
    /// The filesystem of the boot directory is full.
    #[error("the boot directory is full")]
    BootFull {
        /** What could not be written. */
        source: Box<Error>,
    },
    /// A new deployment does not fit into the filesystem of the sysroot.
    #[error(
        "the new deployment needs {needed_bytes} bytes, and {available_bytes} are free beside the \
         {reserve_bytes} that are to stay so (core.min-free-space-percent or -size)"
    )]
    NoDiskRoom {
        /// What it adds: directories, copies of files, its `/etc`.
        needed_bytes: u64,
        /// What is free, without the reserve.
        available_bytes: u64,
        /// What is to stay free.
        reserve_bytes: u64,
    },
    /// A program that a boot loader needs failed.
    #[error("{name} failed: {what}")]
    Program {
        /** The program. */
        name: String,
        /** How, with the last line it printed. */
        what: String,
    },
    /// The new list is in the boot order, but something after that failed: making the switch durable, or removing what
    /// it replaced. Cleaning up does both again.
    #[error("the boot order was switched, but could not be cleaned up")]
    AfterSwitch {
        /** What failed. */
        source: Box<Error>,
    },
    /// Merging `/etc` failed.
    #[error("cannot merge /etc into {deployment}")]
    Merge {
        /** The new deployment. */
        deployment: DeploymentId,
        /** Why. */
        source: Box<sapwood_etcmerge::Error>,
    },
    /// What merging `/etc` would do cannot be found out.
    #[error("cannot compare /etc with the defaults of {commit}")]
    Preview {
        /** The commit. */
        commit: String,
        /** Why. */
        source: Box<sapwood_etcmerge::Error>,
    },
    /// An operation on the repository failed.
    #[error(transparent)]
    Repo(#[from] sapwood_repo::Error),
    /// An object could not be read.
    #[error(transparent)]
    Store(#[from] sapwood_objstore::Error),
    /// The lock of the sysroot was not got.
    #[error(transparent)]
    Lock(#[from] sapwood_fsio::lock::LockError),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] sapwood_fsio::Error),
}

impl Error {
    /// Whether the disk, or the quota, is full.
    pub fn is_no_space(&self) -> bool {
        if matches!(self, Self::NoRoom { .. } | Self::NoDiskRoom { .. }) {
            return true;
        }
        let mut error: Option<&dyn std::error::Error> = Some(self);
        while let Some(e) = error {
            let kind = e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
                return true;
            }
            error = e.source();
        }
        false
    }
}
