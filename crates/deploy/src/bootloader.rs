//! Boot loaders: what has to be written for them beside Boot Loader Specification entries.

mod none;

pub use none::NoBootloader;

use crate::boot::bls::Bls;
use crate::{Error, Result};
use sapwood_fsio::{self as fsio, Dir};
use sapwood_repo::Repo;

/// A boot loader with a configuration of its own.
pub trait Bootloader: std::fmt::Debug {
    /// Its name, as `sysroot.bootloader` has it.
    fn name(&self) -> &'static str;

    /// Writes what it needs to boot these entries (the default first) into `loader`, the directory of the new set,
    /// which nothing boots yet. What it writes is made durable by the caller before the switch.
    ///
    /// # Errors
    /// When it cannot; the old set stays current then.
    fn write(&self, loader: &Dir, entries: &[Bls]) -> Result<()>;

    /// Called when the new set is current and durable, `boot` being the boot directory.
    ///
    /// # Errors
    /// When it fails; the new set stays current.
    fn switched(&self, boot: &Dir) -> Result<()>;
}

/// Files in the boot directory that give away a boot loader that does not read entries by itself.
const TRACES: [(&str, &str); 2] = [("syslinux", "syslinux/syslinux.cfg"), ("uboot", "loader/uEnv.txt")];

/// The boot loader of a machine: `sysroot.bootloader` of the repository's configuration, or what its files give away.
pub(crate) fn of(repo: &Repo, boot: &Dir) -> Result<Box<dyn Bootloader>> {
    let configured = repo.config().keyfile.get("sysroot", "bootloader");
    match configured.as_deref() {
        Some("none") => Ok(Box::new(NoBootloader)),
        None | Some("auto") => {
            for (name, trace) in TRACES {
                if fsio::stat_optional(boot, trace)?.is_some() {
                    return Err(Error::Bootloader { name: name.to_owned() });
                }
            }
            Ok(Box::new(NoBootloader))
        }
        Some(name) => Err(Error::Bootloader { name: name.to_owned() }),
    }
}
