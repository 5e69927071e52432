//! Overlays of an initramfs: further archives that the boot loader gives to the kernel after it.
//!
//! They are kept in the boot directory by the checksum of their content, for as long as an entry, or what is staged,
//! names them. OSTree has those of what is staged in the run-time directory: they are taken from there, and put there, too.

use crate::{Error, Locked, Result, layout};
use sapwood_fsio::{self as fsio, At, Dir};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};

/// What follows the checksum in a name.
const SUFFIX: &str = ".img";

/// Whether this is the name of an overlay: 64 lower-case hexadecimal digits and `.img`.
pub(crate) fn is_name(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|hex| crate::BootId::parse(hex).is_some())
}

/// The checksum in the name of an overlay: what OSTree's record of what is staged calls it by.
pub(crate) fn checksum(name: &str) -> &str {
    name.strip_suffix(SUFFIX).unwrap_or(name)
}

/// The name of the overlay with this checksum, if it is one.
pub(crate) fn of_checksum(checksum: &str) -> Option<String> {
    let name = format!("{checksum}{SUFFIX}");
    is_name(&name).then_some(name)
}

/// The name of the overlay that a path in an entry leads to, if it is one.
pub(crate) fn named(path: &str) -> Option<&str> {
    let (dir, name) = path.rsplit_once('/')?;
    (dir.ends_with(layout::OVERLAYS) && is_name(name)).then_some(name)
}

impl Locked<'_> {
    /// Puts an overlay into the boot directory, for [`DeployOptions::overlays`](crate::DeployOptions::overlays). It is
    /// durable when this returns, and goes with the next clean-up unless it is used.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn add_overlay(&self, file: &File) -> Result<String> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0_u8; 1 << 17];
        let mut reader = file;
        reader.seek(SeekFrom::Start(0)).at("seek", "overlay")?;
        loop {
            let read = reader.read(&mut buffer).at("read", "overlay")?;
            if read == 0 {
                break;
            }
            hash.update(buffer.get(..read).unwrap_or_default());
        }
        let mut name = String::with_capacity(64 + SUFFIX.len());
        for byte in hash.finalize() {
            // Writing to a `String` cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name.push_str(SUFFIX);
        put(file, self.root(), &layout::boot(layout::OVERLAYS), &name)?;
        // Their directory may be new, too.
        fsio::sync_dir(&fsio::open_dir(self.root(), layout::boot(layout::BOOT_OSTREE))?)?;
        Ok(name)
    }

    /// Puts overlays of what is staged where they lack: into the boot directory, which outlives the boot, and into the
    /// run-time directory, where OSTree looks for them. Those that are in neither stay so. Says whether the boot directory
    /// got any.
    pub(crate) fn share_overlays(&self, names: &[String]) -> Result<bool> {
        let mut took_in = false;
        for name in names {
            took_in |= !self.has_overlay(name)? && self.take_in_overlay(name)?;
            let kept = fsio::open_file_optional(self.root(), layout::boot(layout::overlay(name)))?;
            if let (Some(kept), Some(run)) = (kept, self.run()) {
                put(&kept, run, layout::STAGED_INITRDS, checksum(name))?;
            }
        }
        Ok(took_in)
    }

    /// Makes sure that overlays are in the boot directory.
    ///
    /// # Errors
    /// [`Error::OverlayGone`].
    pub(crate) fn need_overlays(&self, names: &[String]) -> Result<()> {
        for name in names {
            if !self.take_in_overlay(name)? {
                return Err(Error::OverlayGone { name: name.clone() });
            }
        }
        Ok(())
    }

    /// Puts an overlay that the boot directory lacks there, if it is in the run-time directory. Says whether it is there.
    fn take_in_overlay(&self, name: &str) -> Result<bool> {
        if self.has_overlay(name)? {
            return Ok(true);
        }
        let added = self.left_by_ostree(name)?.map(|left| self.add_overlay(&left)).transpose()?;
        Ok(added.as_deref() == Some(name))
    }

    /// The sizes in bytes of overlays that the boot directory lacks, of those that can be taken in.
    pub(crate) fn missing_overlays(&self, names: &[String]) -> Result<Vec<u64>> {
        let mut sizes = Vec::new();
        for name in names {
            if !self.has_overlay(name)?
                && let Some(left) = self.left_by_ostree(name)?
            {
                sizes.push(left.metadata().at("stat", name)?.len());
            }
        }
        Ok(sizes)
    }

    /// Whether the boot directory has an overlay.
    fn has_overlay(&self, name: &str) -> Result<bool> {
        Ok(fsio::stat_optional(self.root(), layout::boot(layout::overlay(name)))?.is_some())
    }

    /// An overlay in the run-time directory.
    fn left_by_ostree(&self, name: &str) -> Result<Option<File>> {
        let path = format!("{}/{}", layout::STAGED_INITRDS, checksum(name));
        let Some(run) = self.run() else { return Ok(None) };
        Ok(fsio::open_file_optional(run, path)?)
    }
}

/// Copies a file to a name in a directory, unless something is there. Durable when it returns.
fn put(file: &File, root: &Dir, dir: &str, name: &str) -> Result<()> {
    let dir = fsio::ensure_dir(root, dir, 0o755)?;
    if fsio::stat_optional(&dir, name)?.is_some() {
        return Ok(());
    }
    let staged = fsio::Staged::create(&dir)?;
    let mut from = file;
    from.seek(SeekFrom::Start(0)).at("seek", "overlay")?;
    fsio::copy_contents(file, staged.file())?;
    fsio::set_mode(staged.file(), 0o644)?;
    staged.sync()?;
    staged.publish(&dir, name)?;
    Ok(fsio::sync_dir(&dir)?)
}
