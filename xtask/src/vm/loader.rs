//! Boot loaders on the disks of virtual machines: installed by their own programs, configured by ours.

use std::os::unix::fs::{FileExt as _, symlink};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::image::{BIOS_PARTITION_BYTES, Disk, Filesystem, Firmware};
use crate::peers::Peer;
use crate::sh;

/// What reads the boot entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Loader {
    /// None: the emulator is given kernel, initramfs and arguments of the first entry
    None,
    /// extlinux, from the BIOS
    Extlinux,
    /// GRUB 2, from the BIOS
    Grub,
    /// systemd-boot, from UEFI
    SystemdBoot,
}

impl Loader {
    /// What its installation needs.
    pub(crate) fn peers(self) -> &'static [Peer] {
        match self {
            Self::None => &[],
            Self::Extlinux => &[
                Peer { what: "extlinux", package: "extlinux", lost: "boots by extlinux" },
                Peer { what: GPT_MBR, package: "syslinux-common", lost: "boots by extlinux" },
            ],
            Self::Grub => &[
                Peer { what: "grub-mkimage", package: "grub-common", lost: "boots by GRUB" },
                Peer { what: GRUB_BOOT, package: "grub-pc-bin", lost: "boots by GRUB" },
            ],
            Self::SystemdBoot => &[
                Peer { what: OVMF_CODE, package: "ovmf", lost: "boots by systemd-boot" },
                Peer { what: SYSTEMD_BOOT, package: "systemd-boot-efi", lost: "boots by systemd-boot" },
                Peer { what: "mcopy", package: "mtools", lost: "boots by systemd-boot" },
                Peer { what: "fsck.vfat", package: "dosfstools", lost: "boots by systemd-boot" },
            ],
        }
    }

    /// Whether it reads this filesystem.
    pub(crate) fn reads(self, filesystem: Filesystem) -> bool {
        self != Self::Extlinux || filesystem == Filesystem::Ext4
    }

    /// What starts it.
    pub(crate) fn firmware(self) -> Firmware {
        if self == Self::SystemdBoot { Firmware::Efi } else { Firmware::Bios }
    }

    /// Installs it on a disk whose filesystem has an empty sysroot. Its configuration becomes a link to the one that is
    /// switched with the entries.
    pub(crate) fn install(self, disk: &Disk) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Extlinux => {
                let mounted = disk.mount()?;
                let folder = mounted.path().join("boot/extlinux");
                std::fs::create_dir(&folder)?;
                symlink("../loader/syslinux.cfg", folder.join("extlinux.conf"))?;
                sh::output(Command::new("extlinux").arg("--install").arg(&folder))?;
                drop(mounted);
                // What the BIOS starts; the partition table begins behind it.
                let code = std::fs::read(GPT_MBR).with_context(|| format!("reading {GPT_MBR}"))?;
                ensure!(code.len() <= 440, "{GPT_MBR} does not fit before the partition table");
                let file = std::fs::File::options().write(true).open(&disk.path)?;
                Ok(file.write_all_at(&code, 0)?)
            }
            Self::Grub => {
                let mounted = disk.mount()?;
                let folder = mounted.path().join("boot/grub");
                std::fs::create_dir(&folder)?;
                symlink("../loader/grub.cfg", folder.join("grub.cfg"))?;
                drop(mounted);
                let core = tempfile::NamedTempFile::new()?;
                let mut make = Command::new("grub-mkimage");
                make.args(["--format=i386-pc", "--prefix=(hd0,gpt1)/boot/grub", "--output"]).arg(core.path());
                sh::output(make.args(GRUB_MODULES))?;
                start_grub(disk, std::fs::read(core.path())?)
            }
            Self::SystemdBoot => {
                let mounted = disk.mount()?;
                let boot = mounted.path().join("boot");
                // Where firmware looks that was told nothing else.
                let program = boot.join("EFI/BOOT/BOOTX64.EFI");
                for folder in [&boot.join("EFI/BOOT"), &boot.join("loader")] {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::copy(SYSTEMD_BOOT, program).with_context(|| format!("reading {SYSTEMD_BOOT}"))?;
                Ok(std::fs::write(boot.join("loader/loader.conf"), "timeout 0\n")?)
            }
        }
    }
}

/// What the menu needs, and the filesystems that it can be on.
const GRUB_MODULES: &[&str] = &[
    "biosdisk",
    "part_gpt",
    "ext2",
    "xfs",
    "btrfs",
    "zstd",
    "normal",
    "configfile",
    "linux",
    "test",
    "echo",
];

/// Puts GRUB's first two stages on the disk, as `grub-bios-setup` does where it has a device: the first says where the
/// second begins, and the first sector of the second where the rest of it is.
fn start_grub(disk: &Disk, mut core: Vec<u8>) -> Result<()> {
    const SECTOR: usize = 512;
    let first = BIOS_PARTITION_BYTES / SECTOR as u64;
    let mut boot = std::fs::read(GRUB_BOOT).with_context(|| format!("reading {GRUB_BOOT}"))?;
    boot.truncate(440);
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    ensure!(core.len() < 1 << 20, "GRUB does not fit into its partition");
    let rest = u16::try_from(core.len() / SECTOR - 1)?;
    // Where `grub-bios-setup` writes both, and the segment that it loads the rest to: `i386/pc/boot.h` of GRUB.
    put(&mut boot, 0x5c, &first.to_le_bytes())?;
    put(&mut core, 500, &(first + 1).to_le_bytes())?;
    put(&mut core, 508, &rest.to_le_bytes())?;
    put(&mut core, 510, &0x0820_u16.to_le_bytes())?;
    let file = std::fs::File::options().write(true).open(&disk.path)?;
    file.write_all_at(&boot, 0)?;
    Ok(file.write_all_at(&core, BIOS_PARTITION_BYTES)?)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Result<()> {
    let place = bytes.get_mut(at..at + value.len()).context("GRUB's image is too short")?;
    place.copy_from_slice(value);
    Ok(())
}

/// The firmware's program, and what it keeps its settings in at first.
pub(crate) const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub(crate) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const SYSTEMD_BOOT: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const GRUB_BOOT: &str = "/usr/lib/grub/i386-pc/boot.img";
const GPT_MBR: &str = "/usr/lib/syslinux/mbr/gptmbr.bin";
