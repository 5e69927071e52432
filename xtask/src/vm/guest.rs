//! Running a virtual machine: it boots what the first boot entry on its disk says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::image::Disk;

/// What a boot entry says; kernel and initramfs are copied off the disk.
#[derive(Debug)]
pub(crate) struct BootEntry {
    /// Its title.
    pub(crate) title: String,
    kernel: PathBuf,
    initrd: PathBuf,
    options: String,
}

impl BootEntry {
    /// Reads the entry that a boot loader takes first (the one with the highest version), and copies kernel and
    /// initramfs to `folder`.
    pub(crate) fn first(root: &Path, folder: &Path) -> Result<Self> {
        let boot = root.join("boot");
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(boot.join("loader/entries")).context("no boot entries on the disk")? {
            let text = std::fs::read_to_string(entry?.path())?;
            let get = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
                line.map(str::to_owned).with_context(|| format!("a boot entry has no {key}"))
            };
            let version: u32 = get("version")?.parse()?;
            entries.push((version, get("title")?, get("linux")?, get("initrd")?, get("options")?));
        }
        entries.sort();
        let (_, title, kernel, initrd, options) = entries.pop().context("no boot entries on the disk")?;
        let copy = |path: &str, to: &str| -> Result<PathBuf> {
            let to = folder.join(to);
            std::fs::copy(boot.join(path.trim_start_matches('/')), &to)
                .with_context(|| format!("copying {path}"))?;
            Ok(to)
        };
        Ok(Self { title, kernel: copy(&kernel, "kernel")?, initrd: copy(&initrd, "initrd")?, options })
    }
}

/// Kills the machine if it still runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            let _ended = self.0.wait();
        }
    }
}

/// Boots the disk, and waits until the machine is off. Returns what it said on its console. With an entry, the emulator
/// starts what it says; else the disk's boot loader starts what it chooses.
///
/// The processor is emulated: `/dev/kvm` can be there and hang all the same.
pub(crate) fn run(disk: &Disk, entry: Option<&BootEntry>, console: &Path, limit: Duration) -> Result<String> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="])
        .arg("-drive")
        .arg(format!("file={},format=raw,if=virtio,cache=writeback", disk.path.display()))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null());
    if let Some(entry) = entry {
        qemu.arg("-kernel").arg(&entry.kernel).arg("-initrd").arg(&entry.initrd);
        qemu.arg("-append").arg(&entry.options);
    }
    let mut machine = Running(qemu.spawn().context("cannot run qemu-system-x86_64")?);
    let started = Instant::now();
    loop {
        if let Some(status) = machine.0.try_wait()? {
            ensure!(status.success(), "qemu failed ({status})");
            break;
        }
        if started.elapsed() > limit {
            bail!("the machine is not off after {} s; it said:\n{}", limit.as_secs(), said(console)?);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    said(console)
}

fn said(console: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(console)?).into_owned())
}
