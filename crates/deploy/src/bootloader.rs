//! Boot loaders: what has to be written for them beside Boot Loader Specification entries.
//!
//! A configuration goes into the directory of the new set (`loader.N`), so that the switch of that one link switches it,
//! too: at no moment do entries and configuration belong to different sets. Whoever sets a machine up lets the boot
//! loader read it through `loader`, with a link where its own file would be. Where `loader` is no link but a directory, as
//! on FAT, there are entries alone, and one of them is the switch.

mod grub2;
mod none;
mod syslinux;
mod systemd_boot;
mod uboot;
mod zipl;

pub use grub2::Grub2;
pub use none::NoBootloader;
pub use syslinux::Syslinux;
pub use systemd_boot::SystemdBoot;
pub use uboot::UBoot;
pub use zipl::Zipl;

use crate::boot::bls::Bls;
use crate::{Error, Result, Sysroot, layout};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::ffi::OsStr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A set of entries that is being written, and nothing boots yet.
#[derive(Debug, Clone, Copy)]
pub struct BootSet<'a> {
    /// The boot directory. What boots now is at `loader` in it.
    pub boot: &'a Dir,
    /// The directory of the new set.
    pub loader: &'a Dir,
    /// Its name in the boot directory.
    pub loader_name: &'a str,
    /// The entries, the default first.
    pub entries: &'a [Bls],
    /// The tree of the default, if there is one.
    pub tree: Option<&'a Dir>,
}

/// A boot loader with a configuration of its own.
pub trait Bootloader: std::fmt::Debug {
    /// Its name, as `sysroot.bootloader` has it.
    fn name(&self) -> &'static str;

    /// Writes what it needs to boot a set of entries into the directory of that set. What it writes is made durable by
    /// the caller before the switch.
    ///
    /// # Errors
    /// When it cannot; the old set stays current then.
    fn write(&self, set: &BootSet<'_>) -> Result<()>;

    /// Called when the new set is current and durable, `boot` being the boot directory, and again by each clean-up until
    /// it has succeeded once. Before that, nothing of the old set is removed.
    ///
    /// # Errors
    /// When it fails; the new set stays current.
    fn switched(&self, _boot: &Dir) -> Result<()> {
        Ok(())
    }
}

/// Where a boot loader that does not read entries by itself looks for its configuration, below the boot directory.
const TRACES: [(&str, &str); 5] = [
    ("syslinux", "syslinux/syslinux.cfg"),
    ("syslinux", "extlinux/extlinux.conf"),
    ("grub2", grub2::TRACES[0]),
    ("grub2", grub2::TRACES[1]),
    ("uboot", "uEnv.txt"),
];

fn configured(sysroot: &Sysroot) -> Option<String> {
    sysroot.repo().config().keyfile.get("sysroot", "bootloader").filter(|name| name != "auto")
}

/// Whether entries are kept without links: as they are now, and where there are none yet, as the boot loader or the
/// filesystem wants it.
pub(crate) fn is_flat(sysroot: &Sysroot) -> Result<bool> {
    is_flat_in(sysroot, fsio::open_dir_optional(sysroot.root(), layout::BOOT)?.as_ref())
}

fn is_flat_in(sysroot: &Sysroot, boot: Option<&Dir>) -> Result<bool> {
    if let Some(boot) = boot
        && let Some(loader) = fsio::stat_optional(boot, layout::LOADER)?
    {
        return Ok(loader.kind == Kind::Dir);
    }
    if configured(sysroot).as_deref() == Some(SystemdBoot::NAME) {
        return Ok(true);
    }
    boot.map_or(Ok(false), |boot| Ok(fsio::is_fat(boot)?))
}

/// The boot loader of a machine: `sysroot.bootloader` of the repository's configuration, or what its files give away.
pub(crate) fn of(sysroot: &Sysroot, boot: &Dir) -> Result<Box<dyn Bootloader>> {
    let name = match configured(sysroot) {
        None => found(boot)?.map(str::to_owned),
        Some(name) => Some(name),
    };
    let flat = is_flat_in(sysroot, Some(boot))?;
    let Some(name) = name else {
        return Ok(if flat { Box::new(SystemdBoot) } else { Box::new(NoBootloader) });
    };
    let chosen: Box<dyn Bootloader> = match name.as_str() {
        "none" => Box::new(NoBootloader),
        "syslinux" => Box::new(Syslinux),
        "uboot" => Box::new(UBoot),
        "grub2" => Box::new(Grub2 { generator: sysroot.grub_generator().map(PathBuf::from) }),
        "zipl" => Box::new(Zipl::default()),
        SystemdBoot::NAME => Box::new(SystemdBoot),
        _ => return Err(Error::Bootloader { name }),
    };
    // One with a configuration of its own is switched by a link; the others read what is there, GRUB where it can.
    let path = layout::boot(layout::LOADER);
    match name.as_str() {
        SystemdBoot::NAME if !flat => {
            Err(Error::BadLink { path, expected: "no link but a directory".to_owned() })
        }
        "syslinux" | "uboot" | "zipl" if flat => Err(Error::NoLinks { name }),
        "grub2" if flat => Ok(Box::new(SystemdBoot)),
        _ => Ok(chosen),
    }
}

/// The boot loader whose configuration leads to the current set. One that has a file of its own there, which would not be
/// switched, is an error: the machine would go on booting what that file says.
fn found(boot: &Dir) -> Result<Option<&'static str>> {
    for (name, trace) in TRACES {
        match fsio::stat_optional(boot, trace)? {
            None => {}
            Some(stat) if stat.kind == Kind::Symlink => return Ok(Some(name)),
            Some(_) if name == "grub2" && grub2::asks_for_entries(boot, trace)? => return Ok(Some(name)),
            Some(_) => {
                let path = format!("{}/{trace}", layout::BOOT);
                return Err(Error::BadLink { path, expected: "a file in ../loader".to_owned() });
            }
        }
    }
    // U-Boot can be told to read `loader/uEnv.txt` itself.
    Ok(fsio::stat_optional(boot, "loader/uEnv.txt")?.map(|_| "uboot"))
}

/// A path in an entry as boot loaders read it that do not know which filesystem `/boot` is on: a link `boot` to `.` makes
/// it right on either.
fn in_boot(path: &str) -> String {
    if path.starts_with("/boot/") { path.to_owned() } else { format!("/{}{path}", layout::BOOT) }
}

/// Runs a program in a directory.
fn run_in(dir: &Dir, program: impl AsRef<OsStr>, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let program = program.as_ref();
    let shown = || program.to_string_lossy().into_owned();
    let output = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Program { name: shown(), what: source.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().last().unwrap_or_default();
    Err(Error::Program { name: shown(), what: format!("{}: {said}", output.status) })
}
