//! The `/var` of a stateroot: one for all of its deployments.

use crate::Result;
use sapwood_fsio::{self as fsio, Dir};

/// The directories of a new `/var`, and their modes.
const DIRS: [(&str, u32); 3] = [("tmp", 0o1777), ("lib", 0o755), ("log", 0o755)];
/// Its links: programs that know nothing of `/run` find there what is gone after a reboot.
const LINKS: [(&str, &str); 2] = [("run", "../run"), ("lock", "../run/lock")];

/// Creates `var` in the directory of a stateroot.
pub(crate) fn create(stateroot: &Dir) -> Result<()> {
    let var = fsio::create_dir(stateroot, "var", 0o755)?;
    for (name, mode) in DIRS {
        fsio::create_dir(&var, name, mode)?;
    }
    for (name, target) in LINKS {
        fsio::symlink(target, &var, name)?;
    }
    Ok(())
}
