//! zipl, the boot loader of IBM Z: it notes where on the disk kernel and initramfs are, so it runs after each switch.

use super::run_in;
use crate::{BootSet, Bootloader, Result};
use sapwood_fsio::{self as fsio, Dir};
use std::path::PathBuf;

/// Runs `zipl` when the new set is current. A stamp, made durable before the switch, says that it still has to run:
/// whatever the moment of a crash, the next clean-up runs it before anything is removed that the disk boots from.
#[derive(Debug, Clone)]
pub struct Zipl {
    /// The program. Default: `zipl`, from the search path.
    pub program: PathBuf,
}

impl Default for Zipl {
    fn default() -> Self {
        Self { program: "zipl".into() }
    }
}

/// In the boot directory, as OSTree has it.
const STAMP: &str = "ostree-bootloader-update.stamp";

impl Bootloader for Zipl {
    fn name(&self) -> &'static str {
        "zipl"
    }

    fn write(&self, set: &BootSet<'_>) -> Result<()> {
        Ok(fsio::replace(set.boot, STAMP, 0o644, b"")?)
    }

    fn switched(&self, boot: &Dir) -> Result<()> {
        if fsio::stat_optional(boot, STAMP)?.is_none() {
            return Ok(());
        }
        run_in(boot, &self.program, &["--targetdir", ".", "--blsdir", "loader/entries"], &[])?;
        fsio::remove_file(boot, STAMP)?;
        Ok(fsio::sync_dir(boot)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn what_has_to_run_after_a_switch_is_remembered_until_it_succeeded() {
        let boot = cap_tempfile::tempdir(cap_std::ambient_authority()).unwrap();
        let zipl = |program: &str| Zipl { program: program.into() };
        zipl("false").switched(&boot).unwrap();
        let set = BootSet { boot: &boot, loader: &boot, loader_name: "loader.0", entries: &[], tree: None };
        zipl("false").write(&set).unwrap();
        for failing in ["false", "/no/such/program"] {
            assert!(matches!(zipl(failing).switched(&boot), Err(Error::Program { .. })));
        }
        zipl("true").switched(&boot).unwrap();
        zipl("false").switched(&boot).unwrap();
    }
}
