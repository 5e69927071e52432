//! No boot loader, or one that reads the entries by itself.

use crate::{Bls, Bootloader, Result};
use sapwood_fsio::Dir;

/// Entries alone do.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBootloader;

impl Bootloader for NoBootloader {
    fn name(&self) -> &'static str {
        "none"
    }

    fn write(&self, _loader: &Dir, _entries: &[Bls]) -> Result<()> {
        Ok(())
    }

    fn switched(&self, _boot: &Dir) -> Result<()> {
        Ok(())
    }
}
