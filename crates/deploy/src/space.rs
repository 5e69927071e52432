//! Room in the boot directory, which is often a small filesystem of its own.

use crate::boot::kernel::Kernel;
use crate::cleanup::{self, Keep};
use crate::list::Current;
use crate::plan::Slot;
use crate::prepare::Blueprint;
use crate::{Error, Locked, Result, layout};
use sapwood_fsio::{self as fsio, Dir};

/// What stays free beside the kernel, for entries and configurations: 1 MiB.
const MARGIN_BYTES: u64 = 1 << 20;

impl Locked<'_> {
    /// Makes sure that the kernel of a new deployment fits into the boot directory: where it does not, those that the new
    /// list will not have anyway are removed first.
    ///
    /// # Errors
    /// [`Error::NoRoom`] if that is not enough; the list is then the old one without them.
    pub(crate) fn make_room(&self, current: &Current, blueprint: &Blueprint) -> Result<()> {
        let tree = self.deployment_dir(&blueprint.id)?;
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        if fsio::stat_dir(&boot)?.dev == fsio::stat_dir(&tree)?.dev {
            // Files are linked.
            return Ok(());
        }
        let kernel = self.kernel(&blueprint.id, &tree)?;
        let dir = layout::kernel_dir(&blueprint.id.stateroot, &kernel.boot_id);
        let needed_bytes = missing_bytes(&tree, &kernel, &boot, &dir)?;
        let free = || Ok::<_, Error>(fsio::free_space(&boot)?.available_bytes);
        if needed_bytes == 0 || needed_bytes.saturating_add(MARGIN_BYTES) <= free()? {
            return Ok(());
        }
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
        if kept.len() < current.deployments.len() {
            tracing::info!("the boot directory is full: old deployments are removed first");
            self.write_list(current, &kept, &|| {})?;
            let keep = Keep { deployment: Some(&blueprint.id), overlays: &blueprint.overlays };
            cleanup::remove_unneeded(self, &self.current()?, &keep)?;
        }
        let available_bytes = free()?;
        if needed_bytes.saturating_add(MARGIN_BYTES) <= available_bytes {
            return Ok(());
        }
        Err(Error::NoRoom { needed_bytes, available_bytes })
    }
}

/// The size of what has to be copied.
fn missing_bytes(tree: &Dir, kernel: &Kernel, boot: &Dir, dir: &str) -> Result<u64> {
    let installed = fsio::open_dir_optional(boot, dir)?;
    let mut bytes = 0_u64;
    for file in kernel.files() {
        let size = fsio::stat(tree, &file.path)?.size;
        let there = match &installed {
            Some(installed) => fsio::stat_optional(installed, &file.installed)?,
            None => None,
        };
        if there.is_none_or(|there| there.size != size) {
            bytes = bytes.saturating_add(size);
        }
    }
    Ok(bytes)
}
