//! Run in the initramfs once the disk is mounted: turns it into the root of the deployment that the kernel's `ostree=`
//! names.
//!
//! `sapwood-prepare-root [MOUNTED]`, where the disk is mounted at `MOUNTED` (`/sysroot` unless given). Exits with 1, and
//! leaves the disk as it was mounted, when that cannot be done; then nothing must be booted from there.
//!
//! As the first process (`init=` names it, there being no initramfs) it goes on as the `/sbin/init` of the deployment.

use anyhow::Context as _;
use cap_std::ambient_authority;
use sapwood_deploy::{BootConfig, BootTarget, VarMount};
use sapwood_fsio::Dir;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let done = if std::process::id() == 1 { become_init() } else { prepare() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sapwood-prepare-root: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> anyhow::Result<()> {
    let mounted = std::env::args().nth(1).unwrap_or_else(|| "/sysroot".to_owned());
    let mounted = mounted.trim_matches('/');
    let root = Dir::open_ambient_dir("/", ambient_authority()).context("opening /")?;
    let target = BootTarget::parse(&std::fs::read("/proc/cmdline").context("reading /proc/cmdline")?)?;
    let disk = sapwood_fsio::open_dir(&root, mounted)?;
    let config = BootConfig::read(&root, &disk)?;
    drop(disk);
    let systemd = std::path::Path::new("/run/systemd/system").exists();
    let var = if systemd { VarMount::BySystemd } else { VarMount::Now };
    let prepared = sapwood_deploy::prepare_root(&root, mounted, &target, &config, var)?;
    eprintln!("sapwood-prepare-root: booting {}", prepared.deployment);
    Ok(())
}

/// Does not return when it succeeds.
fn become_init() -> anyhow::Result<()> {
    // Everything else needs /proc. The disk's root has the directory unless it was made without, and is the root now.
    let proc = rustix::mount::mount("proc", "/proc", "proc", rustix::mount::MountFlags::empty(), None);
    proc.context("mounting /proc, which needs the directory in the root of the disk")?;
    let root = Dir::open_ambient_dir("/", ambient_authority()).context("opening /")?;
    let target = BootTarget::parse(&std::fs::read("/proc/cmdline").context("reading /proc/cmdline")?)?;
    let prepared = sapwood_deploy::enter_root(&root, &target)?;
    eprintln!("sapwood-prepare-root: booting {}", prepared.deployment);
    let failed = Command::new("/sbin/init").args(std::env::args_os().skip(1)).exec();
    Err(failed).context("running /sbin/init of the deployment")
}
