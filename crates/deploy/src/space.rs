//! Room for a new deployment: on the disk, before anything of it is written, and in the boot directory, which is often a
//! small filesystem of its own.

use crate::boot::kernel::{BootFile, Kernel};
use crate::cleanup::{self, Keep};
use crate::etc;
use crate::plan::Slot;
use crate::prepare::Blueprint;
use crate::{Error, Locked, Result, Sysroot, layout, tree};
use sapwood_fsio::{self as fsio, Dir, FreeSpace, Kind};
use sapwood_repo::{Ownership, Root, WalkEntry};
use std::collections::BTreeSet;
use std::path::Path;

/// What stays free beside the kernel, for entries and configurations: 1 MiB.
const MARGIN_BYTES: u64 = 1 << 20;

/// Deepest `/etc` that is looked into: what is deeper is refused when it is merged.
const MAX_DEPTH: usize = 128;

/// What is done where a deployment does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhereFull {
    /// Deployments that the new list will not have anyway are removed first.
    RemoveOld,
    /// Nothing: the list stays as it is for now.
    Refuse,
}

impl Locked<'_> {
    /// Makes sure that what a new deployment adds to the disk fits beside the reserve of the repository. Hard links cost
    /// nothing; directories, copies, and its `/etc` do.
    ///
    /// # Errors
    /// [`Error::NoDiskRoom`]; where old deployments were to be removed, the list is then the old one without them.
    pub(crate) fn make_disk_room(&self, blueprint: &Blueprint, where_full: WhereFull) -> Result<()> {
        let disk = fsio::open_dir(self.root(), layout::DEPLOY)?;
        let needed_bytes = self.added_bytes(blueprint, &disk)?;
        let room = || {
            let space = fsio::free_space(&disk)?;
            let reserve_bytes = self.repo().store().options().reserve.on(space);
            Ok::<_, Error>((space.free_bytes.saturating_sub(reserve_bytes), reserve_bytes))
        };
        let (mut available_bytes, reserve_bytes) = room()?;
        if needed_bytes > available_bytes
            && where_full == WhereFull::RemoveOld
            && self.remove_old(blueprint)?
        {
            (available_bytes, _) = room()?;
        }
        if needed_bytes <= available_bytes {
            return Ok(());
        }
        Err(Error::NoDiskRoom { needed_bytes, available_bytes, reserve_bytes })
    }

    /// Makes sure that the kernel of a new deployment, whose tree is there, fits into the boot directory, with overlays that are
    /// still elsewhere: where it does not,
    /// those that the new list will not have anyway are removed first.
    ///
    /// # Errors
    /// [`Error::NoRoom`] if that is not enough; the list is then the old one without them.
    pub(crate) fn make_boot_room(&self, blueprint: &Blueprint) -> Result<()> {
        let tree = self.deployment_dir(&blueprint.id)?;
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        if fsio::stat_dir(&boot)?.dev == fsio::stat_dir(&tree)?.dev {
            // Files are linked.
            return Ok(());
        }
        let kernel = self.kernel(&blueprint.id, &tree)?;
        let dir = layout::kernel_dir(&blueprint.id.stateroot, &kernel.boot_id);
        let space = fsio::free_space(&boot)?;
        let overlays = self.missing_overlays(&blueprint.overlays)?;
        let needed_bytes =
            overlays.into_iter().fold(missing_bytes(&tree, &kernel, &boot, &dir, space)?, |sum, bytes| {
                sum.saturating_add(blocks(bytes, space))
            });
        if needed_bytes == 0 || needed_bytes.saturating_add(MARGIN_BYTES) <= space.available_bytes {
            return Ok(());
        }
        self.remove_old(blueprint)?;
        let available_bytes = fsio::free_space(&boot)?.available_bytes;
        if needed_bytes.saturating_add(MARGIN_BYTES) <= available_bytes {
            return Ok(());
        }
        Err(Error::NoRoom { needed_bytes, available_bytes })
    }

    /// Removes deployments that the list with the new one will not have. Says whether there were any.
    fn remove_old(&self, blueprint: &Blueprint) -> Result<bool> {
        let current = self.current()?;
        let mut kept: Vec<Slot> = blueprint
            .arrange(&current.deployments)
            .into_iter()
            .filter_map(|at| current.deployments.get(at?))
            .map(Slot::of)
            .collect();
        if kept.is_empty() {
            // Something has to boot until the new one does.
            kept.extend(current.deployments.first().map(Slot::of));
        }
        if kept.len() >= current.deployments.len() {
            return Ok(false);
        }
        tracing::info!("there is not enough room: old deployments are removed first");
        // What was switched to is not what was asked for: that failed, whatever this one came to.
        self.write_list(&current, &kept, &|| {}).map_err(|error| match error {
            Error::AfterSwitch { source } => *source,
            error => error,
        })?;
        let keep = Keep { deployment: Some(&blueprint.id), overlays: &blueprint.overlays };
        cleanup::remove_unneeded(self, &self.current()?, &keep)?;
        Ok(true)
    }

    /// What a new deployment will take on `disk`.
    fn added_bytes(&self, blueprint: &Blueprint, disk: &Dir) -> Result<u64> {
        let space = fsio::free_space(disk)?;
        let root = self.repo().root(blueprint.id.commit)?;
        let store = self.repo().store();
        let shares = fsio::may_reflink(disk)?;
        let links = store.links_with_owners() == Some(tree::ownership(self) == Ownership::Full)
            && fsio::stat_dir(self.repo().dir())?.dev == fsio::stat_dir(disk)?.dev;
        let mut bytes = weigh(self, root, space, links || shares)?;
        if let Some(defaults) = etc::defaults_root(self, blueprint.id.commit, root)? {
            bytes = bytes.saturating_add(weigh(self, defaults, space, shares)?);
        }
        if let Some(merge) = &blueprint.merge {
            let old = self.deployment_dir(merge)?;
            if let Some(local) = fsio::open_dir_optional(&old, etc::ETC)? {
                let defaults = fsio::open_dir_optional(&old, etc::USR_ETC)?;
                bytes = bytes.saturating_add(local_bytes(&local, defaults.as_ref(), space, 0)?);
            }
        }
        Ok(bytes)
    }
}

/// Says of an error in the boot directory that it is full, where that is a filesystem of its own: room elsewhere does not
/// help there.
pub(crate) fn name_full_boot(sysroot: &Sysroot, error: Error) -> Error {
    let dev = |path| Ok::<_, Error>(fsio::stat_dir(&fsio::open_dir(sysroot.root(), path)?)?.dev);
    let is_own = || Ok::<_, Error>(dev(layout::BOOT)? != dev(layout::DEPLOY)?);
    if error.is_no_space() && is_own().unwrap_or(false) {
        return Error::BootFull { source: Box::new(error) };
    }
    error
}

/// What fills so many bytes, in whole blocks.
fn blocks(bytes: u64, space: FreeSpace) -> u64 {
    bytes.div_ceil(space.block_bytes).saturating_mul(space.block_bytes)
}

/// What a tree takes: a block for each directory, and the content of files unless they are shared.
fn weigh(sysroot: &Sysroot, root: Root, space: FreeSpace, shares: bool) -> Result<u64> {
    let mut bytes = space.block_bytes;
    for entry in sysroot.repo().walk(root) {
        let added = match entry? {
            WalkEntry::Dir { .. } => space.block_bytes,
            WalkEntry::File { .. } if shares => 0,
            WalkEntry::File { entry, .. } => blocks(sysroot.repo().store().content_size(entry.id)?, space),
        };
        bytes = bytes.saturating_add(added);
    }
    Ok(bytes)
}

/// What a merge may have to copy of a local `/etc`: the files that are not of the size that the defaults have.
fn local_bytes(local: &Dir, defaults: Option<&Dir>, space: FreeSpace, depth: usize) -> Result<u64> {
    let mut bytes = 0_u64;
    if depth > MAX_DEPTH {
        return Ok(bytes);
    }
    for entry in fsio::entries(local)? {
        let name = &entry.name;
        let default = match defaults {
            Some(defaults) => fsio::stat_optional(defaults, name)?,
            None => None,
        };
        let added = match entry.kind {
            Kind::File => match fsio::stat_optional(local, name)? {
                Some(found) if default.is_none_or(|default| default.size != found.size) => {
                    blocks(found.size, space)
                }
                _ => 0,
            },
            Kind::Dir => {
                let Some(local) = fsio::open_dir_optional(local, name)? else { continue };
                let inner = match (defaults, default) {
                    (Some(defaults), Some(stat)) if stat.kind == Kind::Dir => {
                        fsio::open_dir_optional(defaults, name)?
                    }
                    _ => None,
                };
                let own = if inner.is_none() { space.block_bytes } else { 0 };
                local_bytes(&local, inner.as_ref(), space, depth + 1)?.saturating_add(own)
            }
            _ => 0,
        };
        bytes = bytes.saturating_add(added);
    }
    Ok(bytes)
}

/// What the files take that have to be copied, in whole blocks, and the directories that are made for them.
fn missing_bytes(tree: &Dir, kernel: &Kernel, boot: &Dir, dir: &str, space: FreeSpace) -> Result<u64> {
    let installed = fsio::open_dir_optional(boot, dir)?;
    let there = |path: &Path| match &installed {
        Some(installed) => fsio::stat_optional(installed, path),
        None => Ok(None),
    };
    let files: Vec<&BootFile> = kernel.files().collect();
    let mut bytes = 0_u64;
    for file in &files {
        let size = fsio::stat(tree, &file.path)?.size;
        if there(&file.installed)?.is_none_or(|there| there.size != size) {
            bytes = bytes.saturating_add(blocks(size, space));
        }
    }
    // The last of the ancestors is the directory of the kernel, with an empty path.
    let dirs: BTreeSet<&Path> = files.iter().flat_map(|file| file.installed.ancestors().skip(1)).collect();
    for path in dirs {
        let is_there = if path.as_os_str().is_empty() { installed.is_some() } else { there(path)?.is_some() };
        if !is_there {
            bytes = bytes.saturating_add(space.block_bytes);
        }
    }
    Ok(bytes)
}
