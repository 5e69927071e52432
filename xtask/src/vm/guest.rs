//! Running a virtual machine: it boots what the first boot entry on its disk says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::loader::OVMF_CODE;
use crate::entries::Entry;

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
        let entry = Entry::read_all(&boot)?.into_iter().next().context("no boot entries on the disk")?;
        let [kernel, initrd] = entry.files(&boot);
        let copy = |from: PathBuf, to: &str| -> Result<PathBuf> {
            let to = folder.join(to);
            std::fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
            Ok(to)
        };
        Ok(Self {
            title: entry.title,
            kernel: copy(kernel, "kernel")?,
            initrd: copy(initrd, "initrd")?,
            options: entry.options,
        })
    }
}

impl BootEntry {
    /// With more arguments for the kernel, the last of those that say the same being what counts.
    pub(crate) fn with(mut self, arguments: &str) -> Self {
        self.options = format!("{} {arguments}", self.options);
        self
    }
}

/// What a machine said of its step; fails unless it came to its end, and everything holds.
pub(crate) fn said_of<'c>(console: &'c str, step: &str) -> Result<Vec<&'c str>> {
    let lines = console.lines().filter_map(|line| Some(line.split_once("SAPWOOD-VM ")?.1.trim()));
    let said: Vec<_> = lines.collect();
    let ended = said.last().is_some_and(|line| *line == format!("end of {step}"));
    if !ended || said.iter().any(|line| line.starts_with("FAILED")) {
        bail!("{step}: not everything holds; the console said:\n{console}");
    }
    Ok(said)
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

/// What starts a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    /// The emulator itself, which is given what an entry says.
    Entry(&'a BootEntry),
    /// The disk's boot loader, from the BIOS.
    Bios,
    /// The boot loader of the EFI system partition; the firmware keeps its settings in this file.
    Efi(&'a Path),
}

/// Boots the disk, and waits until the machine is off, or its console says `hangs`: then it is switched off. Returns what it
/// said on its console.
///
/// The processor is emulated: `/dev/kvm` can be there and hang all the same.
pub(crate) fn run(
    disk: &Path,
    start: Start<'_>,
    console: &Path,
    limit: Duration,
    hangs: Option<&str>,
) -> Result<String> {
    // What the last boot said is no answer.
    std::fs::write(console, "")?;
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="])
        .arg("-drive")
        .arg(format!("file={},format=raw,if=virtio,cache=writeback", disk.display()))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null());
    match start {
        Start::Entry(entry) => {
            qemu.arg("-kernel").arg(&entry.kernel).arg("-initrd").arg(&entry.initrd);
            qemu.arg("-append").arg(&entry.options);
        }
        Start::Bios => {}
        Start::Efi(vars) => {
            qemu.arg("-drive").arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"));
            qemu.arg("-drive").arg(format!("if=pflash,unit=1,format=raw,file={}", vars.display()));
        }
    }
    let mut machine = Running(qemu.spawn().context("cannot run qemu-system-x86_64")?);
    let started = Instant::now();
    loop {
        if let Some(status) = machine.0.try_wait()? {
            ensure!(status.success(), "qemu failed ({status})");
            break;
        }
        if let Some(hangs) = hangs
            && said(console).is_ok_and(|said| said.contains(hangs))
        {
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
