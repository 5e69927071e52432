//! Removing what no boot entry needs.
//!
//! First of all the links that say what is current are made durable: what they replaced must not go while a power loss
//! could bring it back. What is removed is recognised by its name; files that are not known stay.

use crate::boot::kernel::BootId;
use crate::deployment::{DeploymentId, StaterootName};
use crate::list::{self, BootVersion, Current, Entries};
use crate::{Error, Locked, Result, Sysroot, bootloader, layout, overlay, write};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Commit, Id};
use sapwood_repo::{Expected, PruneOptions, Pruned, RefEdit};
use std::collections::{BTreeMap, BTreeSet};

/// What is cleaned up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanupOptions {
    /// Whether what is not needed any more stays in the repository. Default: it is deleted.
    pub keep_objects: bool,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Trees of deployments that are in no list.
    pub deployments: usize,
    /// Kernels that no entry names.
    pub kernels: usize,
    /// Boot links, sets of entries, and what an interrupted run left beside deployments.
    pub leftovers: usize,
    /// Refs that kept the commits of deployments.
    pub refs: usize,
    /// What was removed from the repository, unless objects were kept.
    pub pruned: Option<Pruned>,
}

impl Locked<'_> {
    /// Removes deployments, kernels, links and refs that the current list does not need, and then the objects that no
    /// ref needs. A record of something staged that [cannot be understood](crate::Sysroot::unreadable_staged) goes, too.
    ///
    /// # Errors
    /// When something cannot be removed; what boots is not touched, and calling it again goes on.
    pub fn cleanup(&self, options: &CleanupOptions) -> Result<Cleaned> {
        let current = self.current()?;
        if self.unreadable_staged()?.is_some() {
            self.forget_staged()?;
        }
        let mut cleaned = remove_unneeded(self, &current, &Keep::default())?;
        if !options.keep_objects {
            // As in OSTree, only refs keep commits: deployments have theirs.
            let prune = PruneOptions { depth: Some(0), refs_only: true, ..Default::default() };
            cleaned.pruned = Some(self.repo().plan_prune(&prune, &|_| ())?.apply(&|_| ())?);
        }
        Ok(cleaned)
    }
}

/// What is kept though nothing names it yet. What is staged is kept in any case.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keep<'a> {
    pub(crate) deployment: Option<&'a DeploymentId>,
    pub(crate) overlays: &'a [String],
}

/// What goes, by path relative to the root of the sysroot.
#[derive(Debug, Default)]
struct Unneeded {
    entries: Vec<String>,
    deployments: Vec<String>,
    kernels: Vec<String>,
    leftovers: Vec<String>,
    refs: Vec<RefEdit>,
}

/// Removes all but objects of the repository; nothing before the boot loader knows of the current list.
pub(crate) fn remove_unneeded(sysroot: &Sysroot, current: &Current, keep: &Keep<'_>) -> Result<Cleaned> {
    let boot = fsio::open_dir(sysroot.root(), layout::BOOT)?;
    bootloader::of(sysroot, &boot)?.switched(&boot)?;
    let staged = sysroot.staged_record(current)?.map(|record| record.blueprint);
    let mut deployments: BTreeSet<_> = current.deployments.iter().map(|deployment| &deployment.id).collect();
    deployments.extend(staged.iter().map(|staged| &staged.id).chain(keep.deployment));
    let mut overlays: BTreeSet<_> = keep.overlays.iter().map(String::as_str).collect();
    overlays.extend(staged.iter().flat_map(|staged| &staged.overlays).map(String::as_str));
    for deployment in &current.deployments {
        overlays.extend(deployment.entry.all("initrd").filter_map(overlay::named));
    }
    let mut unneeded = Unneeded::default();
    find_boot(sysroot, current, &mut unneeded)?;
    find_overlays(sysroot, &overlays, &mut unneeded)?;
    for stateroot in sysroot.stateroots()? {
        find_deployments(sysroot, &deployments, &stateroot, &mut unneeded)?;
    }
    find_unfinished(sysroot, &mut unneeded)?;
    find_refs(sysroot, current, staged.as_ref().map(|staged| staged.id.commit), &mut unneeded)?;
    let Unneeded { entries, deployments, kernels, leftovers, refs } = unneeded;
    let cleaned = Cleaned {
        deployments: deployments.len(),
        kernels: kernels.len(),
        leftovers: entries.len() + leftovers.len(),
        refs: refs.len(),
        pruned: None,
    };
    if cleaned == Cleaned::default() {
        return Ok(cleaned);
    }
    write::sync_all(sysroot, &boot)?;
    for path in &entries {
        fsio::remove_tree(sysroot.root(), path)?;
    }
    if !entries.is_empty() {
        // An old entry that came back would come before the second one of the new set.
        fsio::syncfs(&boot)?;
    }
    for path in leftovers.iter().chain(&kernels).chain(&deployments) {
        fsio::remove_tree(sysroot.root(), path)?;
    }
    if !refs.is_empty() {
        sysroot.repo().edit_refs(refs)?;
    }
    Ok(cleaned)
}

fn push_existing(sysroot: &Sysroot, path: String, to: &mut Vec<String>) -> Result<()> {
    if fsio::stat_optional(sysroot.root(), &path)?.is_some() {
        to.push(path);
    }
    Ok(())
}

/// Entries and links of the set that is not current, links in the state that is not current, unneeded kernels.
fn find_boot(sysroot: &Sysroot, current: &Current, unneeded: &mut Unneeded) -> Result<()> {
    let boot = |name: &str| format!("{}/{name}", layout::BOOT);
    let ostree = |name: &str| format!("{}/{name}", layout::OSTREE);
    let mut paths = Vec::new();
    find_entries(sysroot, current, unneeded)?;
    for version in [BootVersion::Zero, BootVersion::One] {
        let link = layout::boot_link(version);
        let stale = version != current.version;
        paths.push(ostree(&format!("{link}.tmp")));
        if stale {
            paths.push(ostree(&link));
        }
        for sub in [BootVersion::Zero, BootVersion::One] {
            if stale || current.sub(version).is_some_and(|used| used != sub) {
                paths.push(ostree(&layout::boot_dir(version, sub)));
            }
        }
    }
    // After the links: without them nobody asks for entries.
    if current.entries == Entries::Linked {
        paths.extend([boot(layout::LOADER_TMP), boot(&layout::loader_dir(current.version.other()))]);
    }
    for path in paths {
        push_existing(sysroot, path, &mut unneeded.leftovers)?;
    }
    let used = used_kernels(current);
    for kernel in &used {
        find_temporary(sysroot, &boot(kernel), unneeded)?;
    }
    unneeded.kernels = unused_kernels(sysroot, &used)?;
    Ok(())
}

fn used_kernels(current: &Current) -> BTreeSet<String> {
    current.deployments.iter().map(|d| layout::kernel_dir(&d.id.stateroot, &d.boot_id)).collect()
}

/// The directories of kernels that are in none of these, by path relative to the root of the sysroot.
fn unused_kernels(sysroot: &Sysroot, used: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    let path = layout::boot(layout::BOOT_OSTREE);
    let Some(kernels) = fsio::open_dir_optional(sysroot.root(), path)? else { return Ok(unused) };
    for entry in fsio::entries(&kernels)? {
        let parsed = entry.name.to_str().and_then(|name| {
            let (stateroot, boot_id) = name.rsplit_once('-')?;
            Some(layout::kernel_dir(&StaterootName::new(stateroot).ok()?, BootId::parse(boot_id)?))
        });
        // On FAT, names that differ in case alone are one.
        let is_unused = |name: &String| !used.iter().any(|used| used.eq_ignore_ascii_case(name));
        if let Some(name) = parsed.filter(|name| entry.kind == Kind::Dir && is_unused(name)) {
            unused.push(layout::boot(name));
        }
    }
    Ok(unused)
}

/// Removes kernels that no current entry names: what is left of one whose deployment did not get into the list must not
/// keep a small boot directory full.
pub(crate) fn remove_unused_kernels(sysroot: &Sysroot) -> Result<()> {
    let kernels = unused_kernels(sysroot, &used_kernels(&sysroot.current()?))?;
    if kernels.is_empty() {
        return Ok(());
    }
    let boot = fsio::open_dir(sysroot.root(), layout::BOOT)?;
    // One that boots what it was told last may not know of the current list yet.
    bootloader::of(sysroot, &boot)?.switched(&boot)?;
    write::sync_all(sysroot, &boot)?;
    for path in kernels {
        fsio::remove_tree(sysroot.root(), path)?;
    }
    Ok(())
}

/// What is in the directory of the current entries and not one of them: entries of other sets, and old names.
fn find_entries(sysroot: &Sysroot, current: &Current, unneeded: &mut Unneeded) -> Result<()> {
    let path = current.entries_path();
    let Some(dir) = fsio::open_dir_optional(sysroot.root(), &path)? else { return Ok(()) };
    for file in list::stale_entries(&dir, current.entries)? {
        unneeded.entries.push(format!("{path}/{file}"));
    }
    find_temporary(sysroot, &path, unneeded)
}

/// Files that were being written into a directory.
fn find_temporary(sysroot: &Sysroot, path: &str, unneeded: &mut Unneeded) -> Result<()> {
    let Some(dir) = fsio::open_dir_optional(sysroot.root(), path)? else { return Ok(()) };
    push_temporary(&dir, path, unneeded)
}

fn push_temporary(dir: &Dir, path: &str, unneeded: &mut Unneeded) -> Result<()> {
    for entry in fsio::entries(dir)? {
        if let Some(name) = entry.name.to_str().filter(|name| name.starts_with(layout::TEMPORARY)) {
            unneeded.leftovers.push(format!("{path}/{name}"));
        }
    }
    Ok(())
}

/// Overlays that no entry names.
fn find_overlays(sysroot: &Sysroot, used: &BTreeSet<&str>, unneeded: &mut Unneeded) -> Result<()> {
    let path = layout::boot(layout::OVERLAYS);
    let Some(dir) = fsio::open_dir_optional(sysroot.root(), &path)? else { return Ok(()) };
    for entry in fsio::entries(&dir)? {
        let unused = |name: &&str| overlay::is_name(name) && !used.contains(name);
        if let Some(name) = entry.name.to_str().filter(unused) {
            unneeded.leftovers.push(format!("{path}/{name}"));
        }
    }
    find_temporary(sysroot, &path, unneeded)
}

/// Trees and origins that are in no list.
fn find_deployments(
    sysroot: &Sysroot,
    needed: &BTreeSet<&DeploymentId>,
    stateroot: &StaterootName,
    unneeded: &mut Unneeded,
) -> Result<()> {
    let listed = |name: &str| {
        let (commit, serial) = DeploymentId::parse_dir_name(name.as_bytes()).ok()?;
        let id = DeploymentId { stateroot: stateroot.clone(), commit, serial };
        Some(needed.contains(&id))
    };
    let path = layout::deployments_dir(stateroot);
    find_temporary(sysroot, &path, unneeded)?;
    if let Some(dir) = fsio::open_dir_optional(sysroot.root(), &path)? {
        for entry in fsio::entries(&dir)? {
            let Some(name) = entry.name.to_str() else { continue };
            let origin = name.strip_suffix(".origin");
            if listed(origin.unwrap_or(name)) != Some(false) {
                continue;
            }
            let path = format!("{path}/{name}");
            if origin.is_some() {
                unneeded.leftovers.push(path);
            } else if sysroot.is_running(&dir, name)? {
                // What runs was booted by an entry. Where that is not to be seen, neither are the others.
                let reason = format!("none names {path}, which is running: is /boot mounted?");
                return Err(Error::BadEntry { file: layout::LOADER.to_owned(), reason });
            } else {
                unneeded.deployments.push(path);
            }
        }
    }
    let path = format!("{}/backing", layout::stateroot_dir(stateroot));
    if let Some(dir) = fsio::open_dir_optional(sysroot.root(), &path)? {
        for entry in fsio::entries(&dir)? {
            if let Some(name) = entry.name.to_str().filter(|name| listed(name) == Some(false)) {
                unneeded.leftovers.push(format!("{path}/{name}"));
            }
        }
    }
    push_existing(sysroot, crate::var::unfinished(stateroot), &mut unneeded.leftovers)
}

/// Stateroots that were never finished, and records.
fn find_unfinished(sysroot: &Sysroot, unneeded: &mut Unneeded) -> Result<()> {
    // In the running system it is a link to the disk.
    push_temporary(&fsio::open_dir_followed(sysroot.root(), layout::OSTREE)?, layout::OSTREE, unneeded)?;
    let Some(dir) = fsio::open_dir_optional(sysroot.root(), layout::DEPLOY)? else { return Ok(()) };
    for entry in fsio::entries(&dir)? {
        if let Some(name) = entry.name.to_str().filter(|name| name.starts_with(layout::NEW_STATEROOT)) {
            unneeded.leftovers.push(format!("{}/{name}", layout::DEPLOY));
        }
    }
    Ok(())
}

/// Refs of deployments that are in no list, and those that are missing or name other commits. What is staged has the one
/// after the last.
fn find_refs(
    sysroot: &Sysroot,
    current: &Current,
    staged: Option<Id<Commit>>,
    unneeded: &mut Unneeded,
) -> Result<()> {
    let sub = current.sub(current.version).unwrap_or(BootVersion::Zero);
    let commits: Vec<_> =
        current.deployments.iter().map(|deployment| deployment.id.commit).chain(staged).collect();
    let needed: BTreeMap<String, Id<Commit>> = commits
        .into_iter()
        .enumerate()
        .map(|(index, commit)| (layout::deployment_ref(current.version, sub, index), commit))
        .collect();
    let mut present = BTreeSet::new();
    for entry in sysroot.repo().refs()? {
        let name = entry.name.name.as_str();
        if !entry.name.is_local() || !layout::is_deployment_ref(name) {
            continue;
        }
        match needed.get(name) {
            Some(commit) if *commit == entry.target => {
                present.insert(name.to_owned());
            }
            Some(_) => {}
            None => unneeded.refs.push(RefEdit::Delete { name: entry.name, expected: Expected::Any }),
        }
    }
    // A commit that a deployment was made of and that is here must not be pruned.
    for (name, commit) in needed {
        if !present.contains(&name) && sysroot.repo().store().contains(commit.name()).map_err(Error::from)? {
            unneeded.refs.push(write::set_ref(&name, commit)?);
        }
    }
    Ok(())
}
