//! Disks of virtual machines: partitioned and formatted by the usual tools, filled by ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::peers::Peer;
use crate::sh;

/// A filesystem that a disk can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Filesystem {
    /// ext4
    Ext4,
    /// XFS
    Xfs,
    /// btrfs
    Btrfs,
}

impl Filesystem {
    /// What making one needs.
    pub(crate) fn peers(self) -> &'static [Peer] {
        match self {
            Self::Ext4 => &[Peer { what: "mkfs.ext4", package: "e2fsprogs", lost: "disks with ext4" }],
            Self::Xfs => &[Peer { what: "mkfs.xfs", package: "xfsprogs", lost: "disks with XFS" }],
            Self::Btrfs => &[Peer { what: "mkfs.btrfs", package: "btrfs-progs", lost: "disks with btrfs" }],
        }
    }

    /// Its name for `mkfs` and `mount`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// Where the partition begins that a boot loader of the BIOS may use, in bytes.
pub(crate) const BIOS_PARTITION_BYTES: u64 = 1 << 20;
/// Where the other one begins, which has everything else.
const START_BYTES: u64 = 2 << 20;

/// The copy of the table at the end of the disk, and room for rounding.
const END_BYTES: u64 = 1 << 20;

/// A disk in a file.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The file.
    pub(crate) path: PathBuf,
    filesystem: Filesystem,
}

/// A mounted disk; dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Mounted {
    place: tempfile::TempDir,
}

impl Disk {
    /// Makes a disk of this size with one partition, formatted.
    pub(crate) fn create(path: &Path, filesystem: Filesystem, megabytes: u64) -> Result<Self> {
        std::fs::File::create(path)?.set_len(megabytes << 20)?;
        let mut sfdisk = Command::new("sfdisk").arg("--quiet").arg(path).stdin(Stdio::piped()).spawn();
        let sfdisk = sfdisk.as_mut().map_err(|error| anyhow::anyhow!("cannot run sfdisk: {error}"))?;
        // The types say "Linux root, x86-64" (see the Discoverable Partitions Specification) and "BIOS boot".
        let table = "label: gpt\n\
            start=4096, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, attrs=LegacyBIOSBootable, name=root\n\
            start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios\n";
        std::io::Write::write_all(
            &mut sfdisk.stdin.take().context("sfdisk takes no input")?,
            table.as_bytes(),
        )?;
        ensure!(sfdisk.wait()?.success(), "sfdisk failed");
        let disk = Self { path: path.to_path_buf(), filesystem };
        let device = disk.loop_device()?;
        let mut mkfs = Command::new(format!("mkfs.{}", filesystem.name()));
        match filesystem {
            // Extlinux reads none with block numbers of 64 bits.
            Filesystem::Ext4 => mkfs.args(["-q", "-O", "^64bit"]),
            Filesystem::Xfs | Filesystem::Btrfs => mkfs.arg("-f"),
        };
        mkfs.arg(&device);
        let made = sh::output(&mut mkfs);
        sh::output(Command::new("losetup").arg("-d").arg(&device))?;
        made?;
        Ok(disk)
    }

    fn loop_device(&self) -> Result<String> {
        let bytes = std::fs::metadata(&self.path)?.len() - START_BYTES - END_BYTES;
        let mut losetup = Command::new("losetup");
        losetup.args([
            "--find",
            "--show",
            &format!("--offset={START_BYTES}"),
            &format!("--sizelimit={bytes}"),
        ]);
        Ok(sh::output(losetup.arg(&self.path))?.trim().to_owned())
    }

    /// Mounts it on this machine, which only root may.
    pub(crate) fn mount(&self) -> Result<Mounted> {
        let bytes = std::fs::metadata(&self.path)?.len() - START_BYTES - END_BYTES;
        let place = tempfile::Builder::new().prefix("sapwood-vm-").tempdir()?;
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            self.filesystem.name(),
            "-o",
            &format!("loop,offset={START_BYTES},sizelimit={bytes}"),
        ]);
        sh::output(mount.arg(&self.path).arg(place.path()))?;
        Ok(Mounted { place })
    }

    /// Its filesystem.
    pub(crate) fn filesystem(&self) -> Filesystem {
        self.filesystem
    }
}

impl Mounted {
    /// Where.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = sh::output(Command::new("umount").arg(self.place.path())) {
            eprintln!("warning: {error:#}");
        }
    }
}
