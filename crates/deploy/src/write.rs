//! Writing a new list of deployments: new beside old, durable, one rename, durable.
//!
//! Until the rename nothing that boots now is touched: entries go into the other `loader.N`, links into the other
//! `boot.N.M`. Where there are no links, entries of the new set are put beside those of the current one, all but the
//! default; that one is renamed to its name last. The rename comes after all of it, and all that it names, is durable; what
//! it replaces is left to [`cleanup`](crate::cleanup), which begins when the rename is durable.

use crate::boot::bls::Bls;
use crate::bootloader::{BootSet, Bootloader};
use crate::list::{self, BootVersion, Entries};
use crate::plan::{Change, DeployPlan, Planned};
use crate::{Error, Result, Sysroot, layout, space};
use sapwood_fsio::{self as fsio, At as _, Dir, Kind};
use sapwood_objstore::{Commit, Id};
use sapwood_repo::{Expected, RefEdit, RefName, Refspec};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

/// How a list was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// What was switched.
    pub change: Change,
    /// The [name](Bootloader::name) of who boots it.
    pub bootloader: &'static str,
    /// How many deployments there were before.
    pub before: usize,
    /// How many there are now.
    pub after: usize,
}

/// What is made and not in its place: a link, or the entry of the default.
struct Prepared {
    /// The directory that it is in.
    dir: Dir,
    /// The name that says what is current.
    name: String,
    /// What is to be renamed to it; `None` where the name is to go, with the last deployment.
    temporary: Option<OsString>,
}

impl Prepared {
    fn switch(&self) -> Result<()> {
        match &self.temporary {
            Some(temporary) => Ok(fsio::rename(&self.dir, temporary, &self.dir, &self.name)?),
            None => Ok(fsio::remove_file_optional(&self.dir, &self.name).map(drop)?),
        }
    }
}

/// Writes a list and switches to it. On an error the old list is current, but for [`Error::AfterSwitch`].
pub(crate) fn apply(
    sysroot: &Sysroot,
    plan: &DeployPlan,
    bootloader: &dyn Bootloader,
    on_syncing: &dyn Fn(),
) -> Result<Written> {
    let written = Written {
        change: plan.change,
        bootloader: bootloader.name(),
        before: plan.before,
        after: plan.planned.len(),
    };
    plan.planned.iter().try_for_each(check_readable)?;
    let boot = fsio::open_dir(sysroot.root(), layout::BOOT)?;
    // In the running system it is a link to the disk.
    let ostree = fsio::open_dir_followed(sysroot.root(), layout::OSTREE)?;
    let prepared = match plan.change {
        Change::Nothing => return Ok(written),
        Change::Links { version, sub } => {
            write_links(&ostree, version, sub, &plan.planned)?;
            prepare(&ostree, &layout::boot_link(version), &layout::boot_dir(version, sub))?
        }
        Change::Entries { version, sub } => {
            let entries = match plan.entries {
                Entries::Linked => {
                    write_entries(sysroot, &boot, version, &plan.planned, bootloader).map(|()| None)
                }
                Entries::Flat { .. } => {
                    write_flat_entries(sysroot, &boot, &plan.planned, bootloader).map(Some)
                }
            };
            let prepared = entries.map_err(|error| space::name_full_boot(sysroot, error))?;
            if fsio::stat_dir(&boot)?.dev != fsio::stat_dir(&ostree)?.dev {
                // Where links are, entries are: else `/boot` would look as if it were not mounted.
                fsio::syncfs(&boot)?;
            }
            if plan.before == 0 && plan.entries != Entries::Linked {
                // Until the one name that is the switch is there, this tells the list from one whose entries were lost.
                switch_links(&ostree, version.other(), BootVersion::Zero, &[])?;
            }
            switch_links(&ostree, version, sub, &plan.planned)?;
            match prepared {
                Some(prepared) => prepared,
                None => prepare(&boot, layout::LOADER, &layout::loader_dir(version))?,
            }
        }
    };
    let (Change::Links { version, sub } | Change::Entries { version, sub }) = plan.change else {
        return Ok(written);
    };
    let refs = plan.planned.iter().enumerate().map(|(index, planned)| {
        let name = layout::deployment_ref(version, sub, index);
        set_ref(&name, planned.id.commit)
    });
    sysroot.repo().edit_refs(refs.collect::<Result<_>>()?)?;
    on_syncing();
    sync_all(sysroot, &boot)?;
    // Who reads entries at boot does so without the journal. Before the switch, the new ones have to be there; before
    // anything old is removed, the switch.
    let is_read_at_boot = sysroot.runs() && matches!(plan.change, Change::Entries { .. });
    if is_read_at_boot {
        fsio::checkpoint(&boot)?;
    }

    prepared.switch()?;
    let settle = || if is_read_at_boot { fsio::checkpoint(&boot) } else { fsio::sync_dir(&prepared.dir) };
    settle()
        .map_err(Error::from)
        .and_then(|()| finish(sysroot, &boot, bootloader))
        .map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
    Ok(written)
}

/// Refuses an entry that would not be read back as what was planned: no list with it could be changed again.
fn check_readable(planned: &Planned) -> Result<()> {
    let bad = |reason: String| Error::BadEntry { file: planned.file.clone(), reason };
    let read = Bls::parse(planned.entry.to_text().as_bytes()).map_err(|error| bad(error.to_string()))?;
    if read.kargs().get("ostree") == Some(planned.link.to_string().as_str()) {
        return Ok(());
    }
    Err(bad(format!("its kernel arguments would not lead to {}", planned.link)))
}

/// Tells who waits for the switch.
fn finish(sysroot: &Sysroot, boot: &Dir, bootloader: &dyn Bootloader) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    let deploy = fsio::open_dir(sysroot.root(), layout::DEPLOY)?;
    fsio::set_mtime(&deploy, i128::try_from(now).unwrap_or(i128::MAX))?;
    bootloader.switched(boot)
}

pub(crate) fn set_ref(name: &str, target: Id<Commit>) -> Result<RefEdit> {
    let name = Refspec::local(RefName::new(name).map_err(sapwood_repo::Error::from)?);
    Ok(RefEdit::Set { name, expected: Expected::Any, target })
}

/// Makes durable all filesystems that hold a part of what boots.
pub(crate) fn sync_all(sysroot: &Sysroot, boot: &Dir) -> Result<()> {
    let deploy = fsio::open_dir(sysroot.root(), layout::DEPLOY)?;
    let mut synced = Vec::new();
    for dir in [sysroot.root(), &deploy, boot] {
        let dev = fsio::stat_dir(dir)?.dev;
        if !synced.contains(&dev) {
            fsio::syncfs(dir)?;
            synced.push(dev);
        }
    }
    Ok(())
}

/// Creates the link that will be renamed.
fn prepare(dir: &Dir, link: &str, target: &str) -> Result<Prepared> {
    let temporary =
        if link == layout::LOADER { layout::LOADER_TMP.to_owned() } else { format!("{link}.tmp") };
    fsio::remove_file_optional(dir, &temporary)?;
    fsio::symlink(target, dir, &temporary)?;
    Ok(Prepared { dir: fsio::open_dir(dir, ".")?, name: link.to_owned(), temporary: Some(temporary.into()) })
}

/// Writes the entries of a set that is not current.
fn write_entries(
    sysroot: &Sysroot,
    boot: &Dir,
    version: BootVersion,
    planned: &[Planned],
    bootloader: &dyn Bootloader,
) -> Result<()> {
    let name = layout::loader_dir(version);
    fsio::remove_tree(boot, &name)?;
    let loader = fsio::create_dir(boot, &name, 0o755)?;
    let entries = fsio::create_dir(&loader, layout::ENTRIES, 0o755)?;
    for entry in planned {
        write_file(&entries, &entry.file, entry.entry.to_text().as_bytes())?;
    }
    let old = Path::new(&layout::loader_dir(version.other())).join(layout::ENTRIES);
    if let Some(old) = fsio::open_dir_optional(boot, old)? {
        carry_over(&old, &entries)?;
    }
    if fsio::stat_optional(boot, layout::BOOT)?.is_none() {
        fsio::symlink(".", boot, layout::BOOT)?;
    }
    tell(sysroot, boot, (&loader, &name), planned, bootloader)
}

/// Writes the entries of a set where there are no links. All but that of the default are in their places when it returns,
/// where none of them is the default; that one has a name that no boot loader looks at.
fn write_flat_entries(
    sysroot: &Sysroot,
    boot: &Dir,
    planned: &[Planned],
    bootloader: &dyn Bootloader,
) -> Result<Prepared> {
    let loader = fsio::ensure_dir(boot, layout::LOADER, 0o755)?;
    let entries = fsio::ensure_dir(&loader, layout::ENTRIES, 0o755)?;
    let staged = |planned: &Planned| {
        let mut file = fsio::Staged::create(&entries)?;
        file.write_all(planned.entry.to_text().as_bytes()).at("write", &planned.file)?;
        fsio::set_mode(file.file(), 0o644)?;
        file.sync()?;
        Ok::<_, Error>(file)
    };
    let (generation, set) = list::current_flat(&entries)?;
    // What an interrupted run left must not become part of the new set.
    for file in list::stale_entries(&entries, Entries::Flat { generation })? {
        fsio::remove_file(&entries, &file)?;
    }
    let Some((default, others)) = planned.split_first() else {
        // With the last deployment goes the only entry.
        let name = set.into_iter().next().unwrap_or_default();
        tell(sysroot, boot, (&loader, layout::LOADER), planned, bootloader)?;
        return Ok(Prepared { dir: entries, name, temporary: None });
    };
    for other in others {
        staged(other)?.publish(&entries, &other.file)?;
    }
    tell(sysroot, boot, (&loader, layout::LOADER), planned, bootloader)?;
    let file = staged(default)?;
    let temporary = file.name().to_owned();
    file.keep()?;
    Ok(Prepared { dir: entries, name: default.file.clone(), temporary: Some(temporary) })
}

/// Tells the boot loader of a new set.
fn tell(
    sysroot: &Sysroot,
    boot: &Dir,
    (loader, name): (&Dir, &str),
    planned: &[Planned],
    bootloader: &dyn Bootloader,
) -> Result<()> {
    let entries: Vec<_> = planned.iter().map(|planned| planned.entry.clone()).collect();
    let tree = planned.first().map(|planned| sysroot.deployment_dir(&planned.id)).transpose()?;
    let (entries, tree) = (&entries[..], tree.as_ref());
    bootloader.write(&BootSet { boot, loader, loader_name: name, entries, tree })
}

/// Copies entries that are none of ours.
fn carry_over(old: &Dir, new: &Dir) -> Result<()> {
    for entry in fsio::entries(old)? {
        if entry.kind == Kind::File && !list::is_own_entry(Path::new(&entry.name)) {
            let bytes = fsio::read(old, &entry.name, layout::MAX_TEXT_BYTES)?;
            write_file(new, &entry.name, &bytes)?;
        }
    }
    Ok(())
}

/// A new file that the caller makes durable.
pub(crate) fn write_file(dir: &Dir, name: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let name = name.as_ref();
    let mut file = fsio::Staged::create_named(dir, name)?;
    file.write_all(bytes).map_err(|source| fsio::Error { op: "write", path: name.to_owned(), source })?;
    fsio::set_mode(file.file(), 0o644)?;
    file.keep()?;
    Ok(())
}

/// Writes `boot.N.M` of a set that is not current, and has `boot.N` lead there.
fn switch_links(ostree: &Dir, version: BootVersion, sub: BootVersion, planned: &[Planned]) -> Result<()> {
    write_links(ostree, version, sub, planned)?;
    prepare(ostree, &layout::boot_link(version), &layout::boot_dir(version, sub))?.switch()
}

/// Writes `boot.N.M`, which is not current.
fn write_links(ostree: &Dir, version: BootVersion, sub: BootVersion, planned: &[Planned]) -> Result<()> {
    let name = layout::boot_dir(version, sub);
    fsio::remove_tree(ostree, &name)?;
    let links = fsio::create_dir(ostree, &name, 0o755)?;
    for planned in planned {
        let link = &planned.link;
        let dir = format!("{}/{}", link.stateroot, link.boot_id);
        let dir = fsio::ensure_dir(&links, dir, 0o755)?;
        let target = format!("../../../deploy/{}/deploy/{}", link.stateroot, planned.id.dir_name());
        fsio::symlink(target, &dir, link.serial.to_string())?;
    }
    Ok(())
}
