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
        self.options_of(path).next().is_some()
    }

    /// Whether it is mounted without being asked for.
    pub(super) fn mounts_at_boot(&self, path: &str) -> bool {
        self.options_of(path).any(|options| !options.split(',').any(|option| option == "noauto"))
    }

    /// The options of each line about `/PATH`.
    fn options_of(&self, path: &str) -> impl Iterator<Item = &str> {
        let lines = self.0.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.filter_map(move |line| {
            let mut fields = line.split_whitespace().skip(1);
            let is_it = fields.next()?.trim_matches('/') == path;
            is_it.then(|| fields.nth(1).unwrap_or_default())
        })
    }
}
