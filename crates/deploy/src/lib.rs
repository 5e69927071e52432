//! Deployments of operating system trees on a machine: what is installed, and what boots.
//!
//! A [`Sysroot`] is the root of a machine's disk: a repository at `ostree/repo`, stateroots below `ostree/deploy` (each
//! with one `/var` of its own and any number of deployments), and boot entries below `boot/loader`. The layout is
//! OSTree's, so both programs can work on one machine in turn.
//!
//! **The list of deployments is what the boot entries say**, newest first. Changing it means writing a whole new set of
//! entries beside the current one, making it durable with everything it names, and switching by renaming one symlink.
//! (Where there are no links, on FAT, by naming one entry: the boot directory's own words for the same.)
//! Whatever the moment of a crash, the machine boots the old set or the new one, complete. Only after the switch is
//! durable is anything deleted; what an interrupted run leaves is named by no entry and goes with the next clean-up.
//!
//! Nothing here uses the network: pull into [`Sysroot::repo`] first (between [`Sysroot::plan_upgrade`] and
//! [`Locked::upgrade`], say).
//!
//! ```
//! use sapwood_deploy::{DeployOptions, InitOptions, StaterootName, Sysroot};
//! use sapwood_fsio::lock::Wait;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let disk = cap_tempfile::tempdir(cap_std::ambient_authority())?;
//! Sysroot::init_fs(&disk, &InitOptions::default())?;
//! let sysroot = Sysroot::open(&disk)?;
//! let locked = sysroot.lock(Wait::No)?;
//! locked.init_stateroot(&StaterootName::new("os")?)?;
//! assert!(sysroot.deployments()?.is_empty());
//! # let _ = DeployOptions::default();
//! # Ok(())
//! # }
//! ```

mod boot;
mod bootloader;
mod cleanup;
mod deploy;
mod deployment;
mod early;
mod edit;
mod error;
mod etc;
mod labels;
mod layout;
mod list;
mod origin;
mod overlay;
mod plan;
mod prepare;
mod space;
mod stage;
mod status;
mod sysroot;
mod tree;
mod unlock;
mod upgrade;
mod var;
mod write;

pub use boot::bls::{Bls, BlsError};
pub use boot::entry_name::BootTries;
pub use boot::kargs::{KargEdit, KargError, Kargs};
pub use boot::kernel::{BootId, DeviceTrees, Kernel, KernelError};
pub use boot::link::{BootLink, BootLinkError};
pub use boot::os_release::OsRelease;
pub use bootloader::{BootSet, Bootloader, Grub2, NoBootloader, Syslinux, SystemdBoot, UBoot, Zipl};
pub use cleanup::{Cleaned, CleanupOptions};
pub use deploy::{DeployEvent, DeployOptions, Deployed, KargsFrom, Merge};
pub use deployment::{Deployment, DeploymentId, NameError, StaterootName};
pub use early::cmdline::BootTarget;
pub use early::config::BootConfig;
pub use early::error::BootError;
pub use early::prepare_root::{OwnMounts, PreparedRoot, enter_root, prepare_root};
pub use early::record::BootRecord;
pub use early::remount::{OpenUp, Remounted, is_closed, open_up, remount, while_open};
pub use early::units::{Unit, boot_units};
pub use edit::{KargsChanged, KargsOf, RolledBack, Undeployed};
pub use error::{Error, Result};
pub use etc::MergePreview;
pub use labels::{Relabel, relabel};
pub use list::BootVersion;
pub use origin::{EtcConflicts, Followed, Origin, OriginError};
pub use plan::{Change, Position, Retain};
pub use sapwood_etcmerge::{Conflict, NotKept, Policy, Skipped};
pub use stage::{BootComplete, Finalization, Staged};
pub use status::{StagedEntry, Status, StatusEntry};
pub use sysroot::{Epoch, InitOptions, Locked, Sysroot};
pub use unlock::Unlock;
pub use upgrade::{Downgrade, EndOfLife, UpgradeOptions, UpgradeOutcome, UpgradePlan, When};
pub use write::Written;
