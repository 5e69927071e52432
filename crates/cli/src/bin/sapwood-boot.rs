//! The programs that run while a deployed system comes up. Which one it is, the end of its name says, so that it is
//! installed once, with links:
//!
//! - `sapwood-prepare-root [MOUNTED]`, in the initramfs once the disk is mounted at `MOUNTED` (`/sysroot` unless given):
//!   turns it into the root of the deployment that the kernel's `ostree=` names. When that cannot be done it exits with 1
//!   and leaves the disk as it was mounted; then nothing must be booted from there. As the first process (`init=` names
//!   it, there being no initramfs) it goes on as the `/sbin/init` of the deployment.
//! - `sapwood-remount`, early in the booted system, after its filesystems were remounted: settles what may be written.
//! - `sapwood-system-generator NORMAL EARLY LATE`, run by systemd when it starts or reloads (see systemd.generator(7)):
//!   writes to `NORMAL` the units that mount `/var` and `/boot`.
//!
//! The last two do nothing, successfully, in a system that is no deployment.

use anyhow::{Context as _, bail};
use sapwood_deploy::{BootConfig, BootError, BootRecord, BootTarget, OwnMounts};
use sapwood_fsio::{self as fsio, Dir};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let argument = words.next();
    let name = Path::new(&program).file_name().unwrap_or_default().as_bytes();
    let done = if name.ends_with(b"prepare-root") && std::process::id() == 1 {
        become_init()
    } else if name.ends_with(b"prepare-root") {
        prepare(argument.as_deref().unwrap_or(OsStr::new("/sysroot")))
    } else if name.ends_with(b"remount") {
        remount()
    } else if name.ends_with(b"system-generator") {
        generate(argument.as_deref())
    } else {
        Err(anyhow::anyhow!("called by a name that says nothing: see the links in the documentation"))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the journal, or the console, is where what boots a system is heard")]
fn say(message: &dyn std::fmt::Display) {
    eprintln!("sapwood: {message}");
}

#[expect(clippy::disallowed_methods, reason = "the program is where paths become directories")]
fn open(path: &Path) -> anyhow::Result<Dir> {
    Dir::open_ambient_dir(path, cap_std::ambient_authority())
        .with_context(|| format!("opening {}", path.display()))
}

fn root() -> anyhow::Result<Dir> {
    open(Path::new("/"))
}

/// Longest command line, in bytes; the kernel's own limit is lower.
const MAX_CMDLINE_BYTES: u64 = 1 << 16;

fn target(root: &Dir) -> anyhow::Result<Result<BootTarget, BootError>> {
    Ok(BootTarget::parse(&fsio::read(root, "proc/cmdline", MAX_CMDLINE_BYTES)?))
}

fn prepare(mounted: &OsStr) -> anyhow::Result<()> {
    let Some(mounted) = mounted.to_str().map(|path| path.trim_matches('/')) else {
        bail!("{} is not where a disk is mounted", mounted.display());
    };
    let root = root()?;
    let config = BootConfig::read(&root, &fsio::open_dir(&root, mounted)?)?;
    let systemd = Path::new("/run/systemd/system").exists();
    let var = if systemd { OwnMounts::BySystemd } else { OwnMounts::Now };
    let prepared = sapwood_deploy::prepare_root(&root, mounted, &target(&root)??, &config, var)?;
    say(&format_args!("booting {}", prepared.deployment));
    Ok(())
}

/// Does not return when it succeeds.
fn become_init() -> anyhow::Result<()> {
    // All else needs /proc. The disk's root, which is the root now, has the directory unless it was made without.
    let proc = rustix::mount::mount("proc", "/proc", "proc", rustix::mount::MountFlags::empty(), None);
    proc.context("mounting /proc, which needs that directory in the root of the disk")?;
    let root = root()?;
    let prepared = sapwood_deploy::enter_root(&root, &target(&root)??)?;
    say(&format_args!("booting {}", prepared.deployment));
    let failed = Command::new("/sbin/init").args(std::env::args_os().skip(1)).exec();
    Err(failed).context("running /sbin/init of the deployment")
}

fn remount() -> anyhow::Result<()> {
    sapwood_deploy::remount(&root()?)?;
    Ok(())
}

fn generate(normal: Option<&OsStr>) -> anyhow::Result<()> {
    let root = root()?;
    if BootRecord::read(&root)?.is_none() {
        return Ok(());
    }
    let target = match target(&root)? {
        Err(BootError::NotAsked) => return Ok(()),
        other => other?,
    };
    let units = open(Path::new(normal.context("no directory for units was given")?))?;
    for unit in sapwood_deploy::boot_units(&root, &target)? {
        fsio::replace(&units, unit.name, 0o644, unit.text.as_bytes())?;
        let wants = fsio::ensure_dir(&units, format!("{}.requires", unit.required_by), 0o755)?;
        fsio::replace_symlink(format!("../{}", unit.name), &wants, unit.name)?;
    }
    Ok(())
}
