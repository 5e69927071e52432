//! U-Boot, which imports variables from `uEnv.txt`.

use super::in_boot;
use crate::boot::bls::Bls;
use crate::{BootSet, Bootloader, Error, Result, layout, write};
use sapwood_fsio as fsio;

/// Writes `uEnv.txt`, to which `uEnv.txt` in the boot directory is a link: where kernel, initramfs and device tree of the
/// default are, and its arguments; then what the tree has in `usr/lib/ostree-boot/uEnv.txt`; then the same variables of
/// the other entries, with a number from 2.
#[derive(Debug, Clone, Copy, Default)]
pub struct UBoot;

const FILE: &str = "uEnv.txt";
const SYSTEM_FILE: &str = "usr/lib/ostree-boot/uEnv.txt";

impl Bootloader for UBoot {
    fn name(&self) -> &'static str {
        "uboot"
    }

    fn write(&self, set: &BootSet<'_>) -> Result<()> {
        let system = match set.tree {
            Some(tree) => fsio::read_optional(tree, SYSTEM_FILE, layout::MAX_TEXT_BYTES)?,
            None => None,
        };
        let system = system.unwrap_or_default();
        let system = std::str::from_utf8(&system)
            .map_err(|error| Error::BadEntry { file: SYSTEM_FILE.to_owned(), reason: error.to_string() })?;
        write::write_file(set.loader, FILE, variables(set.entries, system).as_bytes())
    }
}

/// The variables of an entry that name files, and those of U-Boot.
const FILES: [(&str, &str); 4] = [
    ("linux", "kernel_image"),
    ("initrd", "ramdisk_image"),
    ("devicetree", "fdt_file"),
    ("fdtdir", "fdtdir"),
];

fn variables(entries: &[Bls], system: &str) -> String {
    let mut lines = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let number = if index == 0 { String::new() } else { (index + 1).to_string() };
        for (key, variable) in FILES {
            if let Some(path) = entry.get(key) {
                lines.push(format!("{variable}{number}={}", in_boot(path)));
            }
        }
        lines.push(format!("bootargs{number}={}", entry.get("options").unwrap_or_default()));
        if index == 0 && !system.is_empty() {
            lines.push(system.to_owned());
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected text is what OSTree 2022.7 wrote for two such deployments.
    #[test]
    fn the_default_has_plain_names_and_the_others_numbers() {
        let entry = |n: u32, more: &str| {
            let text =
                format!("options root=/dev/x n={n}\nlinux /ostree/os-{n}/v\ninitrd /ostree/os-{n}/i\n{more}");
            Bls::parse(text.as_bytes()).unwrap()
        };
        let entries = [entry(2, "fdtdir /ostree/os-2/dtb\n"), entry(1, "")];
        assert_eq!(
            variables(&entries, "loadx=foo\n"),
            "kernel_image=/boot/ostree/os-2/v\nramdisk_image=/boot/ostree/os-2/i\nfdtdir=/boot/ostree/os-2/dtb\n\
             bootargs=root=/dev/x n=2\nloadx=foo\n\n\
             kernel_image2=/boot/ostree/os-1/v\nramdisk_image2=/boot/ostree/os-1/i\nbootargs2=root=/dev/x n=1\n"
        );
    }
}
