//! Kernel, initramfs and device trees in the boot directory.

use crate::boot::kernel::Kernel;
use crate::{Result, layout};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::path::Path;

/// Puts the files of a kernel into `boot`, below `name`: linked where that is possible, else copied. A file that is
/// there already stays, if it is as large as it should be. Each file appears complete and durable, or not at all, and at no
/// moment is one that was there missing; the names are not durable yet.
pub(crate) fn install(tree: &Dir, kernel: &Kernel, boot: &Dir, name: &str) -> Result<()> {
    fsio::ensure_dir(boot, layout::BOOT_OSTREE, 0o755)?;
    let dir = fsio::ensure_dir(boot, name, 0o755)?;
    for file in kernel.files() {
        let wanted = fsio::stat(tree, &file.path)?;
        if let Some(found) = fsio::stat_optional(&dir, &file.installed)? {
            if (found.kind, found.size) == (wanted.kind, wanted.size) {
                continue;
            }
            if found.kind == Kind::Dir {
                fsio::remove_tree(&dir, &file.installed)?;
            }
        }
        if let Some(parent) = file.installed.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fsio::ensure_dir(&dir, parent, 0o755)?;
        }
        let temporary = format!("{}kernel", layout::TEMPORARY);
        fsio::remove_file_optional(&dir, &temporary)?;
        if fsio::hardlink(tree, &file.path, &dir, &temporary).is_ok() {
            fsio::rename(&dir, &temporary, &dir, &file.installed)?;
        } else {
            copy(tree, &file.path, &dir, &file.installed, wanted.mode)?;
        }
    }
    Ok(())
}

fn copy(from: &Dir, path: &Path, to: &Dir, installed: &Path, mode: u32) -> Result<()> {
    let source = fsio::open_file(from, path)?;
    let staged = fsio::Staged::create(to)?;
    fsio::copy_contents(&source, staged.file())?;
    fsio::set_mode(staged.file(), mode)?;
    staged.sync()?;
    staged.publish(to, installed)?;
    Ok(())
}
