//! Where no entry names a deployment: an empty list, or one whose entries were lost.
//!
//! The links tell one from the other. An empty list has a set of links with nothing in it: the last deployment was removed,
//! or without links to switch entries by, the first list was begun (see [`write`](crate::write)). Where entries are
//! switched by a link, a first list that was interrupted has its entries, too, and its links lead to one deployment. Where there
//! is no directory of a boot loader at all, `/boot` is not mounted: an empty set that lies beside one with deployments then
//! says nothing.

use super::{BootVersion, Current, Entries, is_there, linked_deployment, own_entries};
use crate::deployment::{DeploymentId, StaterootName};
use crate::{Error, Result, layout};
use sapwood_fsio::{self as fsio, Dir, Kind};

/// What is current where no entry says it: a list without deployments.
///
/// # Errors
/// [`Error::NoEntries`] where entries were lost.
pub(super) fn without_entries(root: &Dir, mut current: Current) -> Result<Current> {
    let (mut empty, mut lost, mut found) = (None, None, 0);
    for version in [BootVersion::Zero, BootVersion::One] {
        let Some(sub) = current.sub(version) else { continue };
        match set_of_links(root, version, sub)? {
            SetOfLinks::Empty => _ = empty.get_or_insert(version),
            SetOfLinks::Dangling => {}
            SetOfLinks::Leads { deployments } => {
                lost = Some(version);
                found = deployments.max(found);
            }
        }
    }
    if let Some(version) = empty
        && (lost.is_none() || has_loader(root)?)
    {
        if current.entries != Entries::Linked {
            current.version = version;
        }
        return Ok(current);
    }
    let Some(version) = lost else { return Ok(current) };
    if current.entries == Entries::Linked && found == 1 {
        for version in [BootVersion::Zero, BootVersion::One] {
            let dir = layout::boot(format!("{}/{}", layout::loader_dir(version), layout::ENTRIES));
            if let Some(dir) = fsio::open_dir_optional(root, dir)?
                && !own_entries(&dir)?.is_empty()
            {
                return Ok(current);
            }
        }
    }
    Err(Error::NoEntries { link: format!("{}/{}", layout::OSTREE, layout::boot_link(version)) })
}

/// Whether the boot directory has anything of a list, new or old.
fn has_loader(root: &Dir) -> Result<bool> {
    let dirs = [layout::loader_dir(BootVersion::Zero), layout::loader_dir(BootVersion::One)];
    for name in dirs.iter().map(String::as_str).chain([layout::LOADER]) {
        if fsio::stat_optional(root, layout::boot(name))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the links of a set lead.
enum SetOfLinks {
    /// There are none.
    Empty,
    /// To nothing that is there.
    Dangling,
    /// To deployments.
    Leads {
        /// How many.
        deployments: usize,
    },
}

fn set_of_links(root: &Dir, version: BootVersion, sub: BootVersion) -> Result<SetOfLinks> {
    let path = format!("{}/{}", layout::OSTREE, layout::boot_dir(version, sub));
    let Some(set) = fsio::open_dir_optional(root, &path)? else { return Ok(SetOfLinks::Dangling) };
    let (mut any, mut deployments) = (false, 0);
    for stateroot in fsio::entries(&set)?.into_iter().filter(|entry| entry.kind == Kind::Dir) {
        let kernels = fsio::open_dir(&set, &stateroot.name)?;
        for kernel in fsio::entries(&kernels)?.into_iter().filter(|entry| entry.kind == Kind::Dir) {
            let links = fsio::open_dir(&kernels, &kernel.name)?;
            for link in fsio::entries(&links)?.into_iter().filter(|entry| entry.kind == Kind::Symlink) {
                any = true;
                let target = fsio::read_link(&links, &link.name)?;
                let stateroot = stateroot.name.to_str().and_then(|name| StaterootName::new(name).ok());
                if let (Some(stateroot), Ok((commit, serial))) = (stateroot, linked_deployment(&target))
                    && is_there(root, &DeploymentId { stateroot, commit, serial })?
                {
                    deployments += 1;
                }
            }
        }
    }
    Ok(match (any, deployments) {
        (false, _) => SetOfLinks::Empty,
        (true, 0) => SetOfLinks::Dangling,
        (true, deployments) => SetOfLinks::Leads { deployments },
    })
}
