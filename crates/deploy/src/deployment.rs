//! Deployments: an installed tree with an `/etc` of its own, and its place in the boot order.

use crate::boot::bls::Bls;
use crate::boot::entry_name::BootTries;
use crate::boot::kernel::BootId;
use crate::origin::Origin;
use sapwood_objstore::{Commit, Id, ObjectId};
use std::fmt;

/// The name of a stateroot: one operating system installation with a `/var` of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaterootName(String);

/// Text that cannot be the name of a stateroot or a deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}")]
pub struct NameError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What it should be.
    pub what: &'static str,
}

impl NameError {
    fn new(text: &[u8], what: &'static str) -> Self {
        Self { text: String::from_utf8_lossy(text).chars().take(80).collect(), what }
    }
}

impl StaterootName {
    /// Checks a name: one path component of at most 120 bytes, not beginning with a dot, without control characters,
    /// blanks, quotes and backslashes, since it stands in kernel arguments too.
    ///
    /// # Errors
    /// When the name is not so.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let allowed = |c: char| !c.is_control() && !c.is_whitespace() && !r#"/\"'"#.contains(c);
        let fits =
            !name.is_empty() && name.len() <= 120 && !name.starts_with('.') && name.chars().all(allowed);
        if fits { Ok(Self(name.to_owned())) } else { Err(NameError::new(name.as_bytes(), "stateroot name")) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StaterootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What tells one deployment from another: stateroot, commit, and a number for the same commit deployed again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId {
    /// The stateroot.
    pub stateroot: StaterootName,
    /// The commit.
    pub commit: Id<Commit>,
    /// Counts from 0.
    pub serial: u32,
}

impl DeploymentId {
    /// `COMMIT.SERIAL`, the name of its directory.
    pub fn dir_name(&self) -> String {
        format!("{}.{}", self.commit.to_hex(), self.serial)
    }

    /// Parses `COMMIT.SERIAL`: 64 lower-case hexadecimal digits, a dot, decimal digits without a leading zero.
    ///
    /// # Errors
    /// When the name is not so.
    pub fn parse_dir_name(name: &[u8]) -> Result<(Id<Commit>, u32), NameError> {
        let parse = || {
            let (hex, serial) = std::str::from_utf8(name).ok()?.split_once('.')?;
            let commit = ObjectId::from_hex(hex).ok()?;
            Some((Id::new(commit), parse_decimal(serial)?))
        };
        parse().ok_or_else(|| NameError::new(name, "deployment name"))
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stateroot, self.dir_name())
    }
}

/// Decimal digits only, no sign, no leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// An installed tree that a boot entry names.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// Its place in the boot order: 0 is booted by default.
    pub index: usize,
    /// What it is.
    pub id: DeploymentId,
    /// The checksum of its kernel and initramfs.
    pub boot_id: BootId,
    /// Its number among the deployments with the same [`boot_id`](Self::boot_id).
    pub boot_serial: u32,
    /// Where it came from, and whether it is pinned; empty if the file is missing.
    pub origin: Origin,
    /// Its boot entry.
    pub entry: Bls,
    /// Whether it is the one that runs now.
    pub booted: bool,
    /// How often it may be tried; `None` where boots are not counted, or one succeeded.
    pub tries: Option<BootTries>,
    /// The file name of its boot entry.
    pub(crate) file: String,
}

impl Deployment {
    /// Whether it is kept until it is unpinned.
    pub fn pinned(&self) -> bool {
        self.origin.pinned()
    }

    /// Whether the boot loader gave it up: it was tried as often as it may be, and no boot succeeded.
    pub fn failed(&self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0)
    }

    /// Its directory, relative to the root of the sysroot.
    pub fn path(&self) -> String {
        crate::layout::deployment_dir(&self.id)
    }
}
