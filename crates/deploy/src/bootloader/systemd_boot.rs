//! systemd-boot, and what else reads entries from a FAT filesystem.

use crate::{BootSet, Bootloader, Result};

/// Entries alone do, in one directory without links: the names of a new set come before those of the old one, and the
/// name of its default comes last into being. systemd-boot counts boots, where `sysroot.boot-counting-tries` asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemdBoot;

impl SystemdBoot {
    /// As `sysroot.bootloader` has it.
    pub(crate) const NAME: &str = "systemd-boot";
}

impl Bootloader for SystemdBoot {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn write(&self, _set: &BootSet<'_>) -> Result<()> {
        Ok(())
    }
}
