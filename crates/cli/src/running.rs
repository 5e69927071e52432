//! The running system, where it is a deployment.

use crate::ctx::open_dir;
use sapwood_deploy::{BootRecord, OpenUp};
use std::path::Path;

/// Device and inode of the directory that is the root of the running system: where the root is an overlay, of the
/// deployment below it.
pub(crate) fn root() -> anyhow::Result<(u64, u64)> {
    let root = open_dir(Path::new("/"))?;
    let backing = BootRecord::read(&root)?.and_then(|record| record.backing_root);
    let own = sapwood_fsio::stat_dir(&root)?;
    Ok(backing.unwrap_or((own.dev, own.ino)))
}

/// Lets this process, and no other, write to the disk of the running system, if `path` is there and the disk is mounted
/// read-only; its filesystems too, if that is asked for. Directories are to be opened after this. Who may not mount goes
/// without, and fails where it writes.
pub(crate) fn open_up(path: &Path, what: OpenUp) -> anyhow::Result<()> {
    let on_the_disk = path == Path::new("/") || path.starts_with("/sysroot") || path.starts_with("/ostree");
    let root = Path::new("/");
    if on_the_disk && rustix::process::geteuid().is_root() && sapwood_deploy::is_closed(&open_dir(root)?)? {
        sapwood_fsio::mount::unshare()?;
        sapwood_deploy::open_up(&open_dir(root)?, what)?;
    }
    Ok(())
}
