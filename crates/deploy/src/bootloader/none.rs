//! No boot loader, or one that reads the entries by itself.

use crate::{BootSet, Bootloader, Result};

/// Entries alone do.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBootloader;

impl Bootloader for NoBootloader {
    fn name(&self) -> &'static str {
        "none"
    }

    fn write(&self, _set: &BootSet<'_>) -> Result<()> {
        Ok(())
    }
}
