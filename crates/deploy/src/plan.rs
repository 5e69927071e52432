//! Planning a new list of deployments: pure, from values to a value.

use crate::boot::bls::Bls;
use crate::boot::kernel::BootId;
use crate::deployment::{Deployment, DeploymentId, StaterootName};
use crate::list::BootVersion;

/// Where a new deployment goes in the boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// First: it boots by default.
    #[default]
    Default,
    /// After the running one, or last: it boots when it is chosen.
    NotDefault,
}

/// Which deployments of the same stateroot stay beside a new one. The running one, the one whose configuration is taken
/// over, pinned ones, and those of other stateroots always stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retain {
    /// No other.
    #[default]
    Necessary,
    /// Those before the running one (or, if none runs, before the one whose configuration is taken over).
    Pending,
    /// Those behind it.
    Rollback,
    /// All.
    All,
}

/// One deployment of a new list, before its place in it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// What it is.
    pub id: DeploymentId,
    /// The checksum of its kernel.
    pub boot_id: BootId,
    /// Its entry, with a title that does not say its place; version and `ostree=` are filled in.
    pub entry: Bls,
}

/// What has to be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is the current list.
    Nothing,
    /// The links that the entries lead to; the entries stay as they are.
    Links {
        /** Which set of links it is. */
        version: BootVersion,
        /** The new one of its two states. */
        sub: BootVersion,
    },
    /// Entries and links.
    Entries {
        /** The new set. */
        version: BootVersion,
        /** The state of its links. */
        sub: BootVersion,
    },
}
