//! `/etc/fstab`: what the administrator has mounted, which nothing else is to be mounted over.

use crate::layout;
use sapwood_fsio::{self as fsio, Dir};

/// Its lines.
#[derive(Debug, Default)]
pub(super) struct Fstab(String);

impl Fstab {
    /// Reads that of the system whose root this is; empty where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(root: &Dir) -> fsio::Result<Self> {
        let bytes = fsio::read_optional(root, "etc/fstab", layout::MAX_TEXT_BYTES)?.unwrap_or_default();
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether a line is about `/PATH`.
    pub(super) fn mounts(&self, path: &str) -> bool {
        let place =
            |line: &str| line.split_whitespace().nth(1).map(|place| place.trim_matches('/').to_owned());
        self.0
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .any(|line| place(line).as_deref() == Some(path))
    }
}
