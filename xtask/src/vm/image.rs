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
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

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
/// What tables of partitions count in.
const SECTOR_BYTES: u64 = 512;
/// Where the other one begins, which has everything else.
const START_BYTES: u64 = 2 << 20;

/// The copy of the table at the end of the disk, and room for rounding.
const END_BYTES: u64 = 1 << 20;
/// How large an EFI system partition is: FAT32 has to have 65525 clusters.
const ESP_BYTES: u64 = 320 << 20;

/// A disk in a file.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The file.
    pub(crate) path: PathBuf,
    filesystem: Filesystem,
    root_bytes: u64,
    esp: Option<Esp>,
}

/// The EFI system partition of a disk. It is FAT, which this machine's kernel need not know: mtools read and write it.
#[derive(Debug)]
pub(crate) struct Esp {
    /// As mtools name it.
    image: String,
}

/// Whether a disk has an EFI system partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// It has none.
    Bios,
    /// It has one, behind the root.
    Efi,
}

/// A mounted disk; dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Mounted {
    place: tempfile::TempDir,
}

impl Disk {
    /// Makes a disk of this size with one partition, formatted.
    pub(crate) fn create(
        path: &Path,
        filesystem: Filesystem,
        megabytes: u64,
        firmware: Firmware,
    ) -> Result<Self> {
        std::fs::File::create(path)?.set_len(megabytes << 20)?;
        let esp_bytes = if firmware == Firmware::Efi { ESP_BYTES } else { 0 };
        let root_bytes = (megabytes << 20).saturating_sub(START_BYTES + END_BYTES + esp_bytes);
        let mut sfdisk = Command::new("sfdisk").arg("--quiet").arg(path).stdin(Stdio::piped()).spawn();
        let sfdisk = sfdisk.as_mut().map_err(|error| anyhow::anyhow!("cannot run sfdisk: {error}"))?;
        let esp_at = START_BYTES + root_bytes;
        let sectors = |bytes: u64| bytes / SECTOR_BYTES;
        let esp = format!(
            "start={}, size={}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\n",
            sectors(esp_at),
            sectors(ESP_BYTES)
        );
        // The types say "Linux root, x86-64" (see the Discoverable Partitions Specification), "BIOS boot", "EFI system".
        let table = format!(
            "label: gpt\n\
            start=4096, size={}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, attrs=LegacyBIOSBootable, name=root\n\
            start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios\n{}",
            sectors(root_bytes),
            if firmware == Firmware::Efi { esp.as_str() } else { "" }
        );
        std::io::Write::write_all(
            &mut sfdisk.stdin.take().context("sfdisk takes no input")?,
            table.as_bytes(),
        )?;
        ensure!(sfdisk.wait()?.success(), "sfdisk failed");
        let esp = (firmware == Firmware::Efi).then(|| Esp { image: format!("{}@@{esp_at}", path.display()) });
        if esp.is_some() {
            let mut mkfs = Command::new("mkfs.vfat");
            mkfs.args(["-F", "32", &format!("--offset={}", sectors(esp_at))]).arg(path);
            sh::output(mkfs.arg((ESP_BYTES / 1024).to_string()))?;
        }
        let disk = Self { path: path.to_path_buf(), filesystem, root_bytes, esp };
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
        let mut losetup = Command::new("losetup");
        losetup.args([
            "--find",
            "--show",
            &format!("--offset={START_BYTES}"),
            &format!("--sizelimit={}", self.root_bytes),
        ]);
        Ok(sh::output(losetup.arg(&self.path))?.trim().to_owned())
    }

    /// Mounts it on this machine, which only root may.
    pub(crate) fn mount(&self) -> Result<Mounted> {
        let place = tempfile::Builder::new().prefix("sapwood-vm-").tempdir()?;
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            self.filesystem.name(),
            "-o",
            &format!("loop,offset={START_BYTES},sizelimit={}", self.root_bytes),
        ]);
        sh::output(mount.arg(&self.path).arg(place.path()))?;
        Ok(Mounted { place })
    }

    /// Its filesystem.
    pub(crate) fn filesystem(&self) -> Filesystem {
        self.filesystem
    }

    /// Its EFI system partition, if it has one.
    pub(crate) fn esp(&self) -> Option<&Esp> {
        self.esp.as_ref()
    }
}

impl Esp {
    /// Moves what is in a directory to the partition.
    pub(crate) fn take(&self, from: &Path) -> Result<()> {
        for entry in std::fs::read_dir(from)? {
            let path = entry?.path();
            sh::output(Command::new("mcopy").args(["-i", &self.image, "-s"]).arg(&path).arg("::"))?;
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }?;
        }
        Ok(())
    }

    /// Fails unless the filesystem is sound.
    pub(crate) fn check(&self, scratch: &Path) -> Result<()> {
        // `fsck.vfat` takes no part of a file.
        let (path, at) = self.image.rsplit_once("@@").context("an image without an offset")?;
        let mut bytes = vec![0; usize::try_from(ESP_BYTES)?];
        std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::open(path)?, &mut bytes, at.parse()?)?;
        // A machine that was switched off leaves the mark that it was: bit 0 of byte 65.
        if let Some(state) = bytes.get_mut(65) {
            *state &= !1;
        }
        std::fs::write(scratch, bytes)?;
        sh::output(Command::new("fsck.vfat").arg("-n").arg(scratch)).map(drop)
    }

    /// Names in a directory of the partition, sorted.
    pub(crate) fn names(&self, folder: &str) -> Result<Vec<String>> {
        let list = sh::output(Command::new("mdir").args(["-i", &self.image, "-b", &format!("::{folder}")]))?;
        let mut names: Vec<_> = list
            .lines()
            .filter_map(|line| line.trim_end_matches('/').rsplit_once('/'))
            .map(|(_, name)| name.to_owned())
            .collect();
        names.sort();
        Ok(names)
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
