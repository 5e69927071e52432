//! GRUB 2.

use super::{in_boot, run_in};
use crate::boot::bls::Bls;
use crate::list::{self, BootVersion};
use crate::{BootSet, Bootloader, Result, Sysroot, layout, write};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::path::PathBuf;

/// Writes `grub.cfg`, to which `grub2/grub.cfg` or `grub/grub.cfg` in the boot directory is a link: a menu of the entries,
/// or what a program makes of them. Nothing is written where there is no such link and the tree says that its GRUB reads
/// entries by itself (`GRUB_ENABLE_BLSCFG=true` in `etc/default/grub`).
#[derive(Debug, Clone, Default)]
pub struct Grub2 {
    /// The program, called with `-o FILE` in the boot directory; `entries` beside that file holds the entries.
    pub generator: Option<PathBuf>,
}

const FILE: &str = "grub.cfg";

/// Longest configuration that is looked into: 4 MiB. `grub2-mkconfig` writes some KiB for each kernel.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

impl Bootloader for Grub2 {
    fn name(&self) -> &'static str {
        "grub2"
    }

    fn write(&self, set: &BootSet<'_>) -> Result<()> {
        if !leads_here(set.boot)? && reads_entries(set)? {
            return Ok(());
        }
        let Some(generator) = &self.generator else {
            let text = format!("{HEADER}{}", menu(set.entries));
            return write::write_file(set.loader, FILE, text.as_bytes());
        };
        let version = set.loader_name.rsplit('.').next().unwrap_or_default();
        let file = format!("{}/{FILE}", set.loader_name);
        run_in(set.boot, generator, &["-o", &file], &[("_OSTREE_GRUB2_BOOTVERSION", version)])
    }
}

/// Where GRUB looks for its configuration, below the boot directory.
pub(super) const TRACES: [&str; 2] = ["grub2/grub.cfg", "grub/grub.cfg"];

/// Whether GRUB's configuration is a link, to what is written here.
fn leads_here(boot: &Dir) -> Result<bool> {
    for trace in TRACES {
        if fsio::stat_optional(boot, trace)?.is_some_and(|stat| stat.kind == Kind::Symlink) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a configuration that is a file of its own has GRUB read entries by itself.
pub(super) fn asks_for_entries(boot: &Dir, path: &str) -> Result<bool> {
    let text = fsio::read(boot, path, MAX_CONFIG_BYTES)?;
    Ok(String::from_utf8_lossy(&text).contains("blscfg"))
}

fn reads_entries(set: &BootSet<'_>) -> Result<bool> {
    let Some(tree) = set.tree else { return Ok(false) };
    let text = fsio::read_optional(tree, "etc/default/grub", layout::MAX_TEXT_BYTES)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).lines().any(|line| line.trim() == "GRUB_ENABLE_BLSCFG=true"))
}

const HEADER: &str = "# Written anew whenever the list of deployments changes: do not edit.\n\
    set default=0\n\
    if [ -z \"$timeout\" ]; then set timeout=5; fi\n\
    if [ -f /custom.cfg ]; then source /custom.cfg; fi\n\n";

impl Sysroot {
    /// The deployments as a menu in GRUB's language, for a program that writes a `grub.cfg`: those of a set of entries,
    /// which may just be being written, or of the current one. Entries that are none of ours are left to who made them.
    ///
    /// # Errors
    /// [`Error::BadEntry`](crate::Error::BadEntry); or when there is no such set.
    pub fn grub2_menu(&self, version: Option<BootVersion>) -> Result<String> {
        let Some(version) = version else {
            let entries: Vec<_> =
                self.deployments()?.into_iter().map(|deployment| deployment.entry).collect();
            return Ok(menu(&entries));
        };
        let path = layout::boot(format!("{}/{}", layout::loader_dir(version), layout::ENTRIES));
        let entries = list::linked_entries(&fsio::open_dir(self.root(), path)?)?;
        Ok(menu(&entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()))
    }
}

/// The entries in GRUB's language, for a `grub.cfg`.
fn menu(entries: &[Bls]) -> String {
    entries.iter().flat_map(menu_entry).map(|line| line + "\n").collect()
}

fn menu_entry(entry: &Bls) -> Vec<String> {
    let path = |path: &str| quote(&in_boot(path));
    let mut lines = vec![format!("menuentry {} {{", quote(entry.get("title").unwrap_or("(untitled)")))];
    // A quote around a value becomes one around the argument, which is the same to the kernel.
    let kargs: Vec<_> = entry.kargs().iter().map(|argument| quote(&argument.replace('"', ""))).collect();
    lines.push(format!("\tlinux {} {}", path(entry.get("linux").unwrap_or_default()), kargs.join(" ")));
    let initrds: Vec<_> = entry.all("initrd").map(path).collect();
    if !initrds.is_empty() {
        lines.push(format!("\tinitrd {}", initrds.join(" ")));
    }
    if let Some(devicetree) = entry.get("devicetree") {
        lines.push(format!("\tdevicetree {}", path(devicetree)));
    }
    lines.push("}".to_owned());
    lines
}

/// A word as GRUB reads it back.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/=.,:-_+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_mean_something_to_grub_are_quoted() {
        let text = "title Tom's {OS}\noptions root=UUID=1 q=\"a b\" cost=$5;x\nlinux /ostree/a/v\ninitrd /ostree/a/i\n\
            initrd /ostree/b\n";
        assert_eq!(
            menu(&[Bls::parse(text.as_bytes()).unwrap()]),
            "menuentry 'Tom'\\''s {OS}' {\n\tlinux /boot/ostree/a/v root=UUID=1 'q=a b' 'cost=$5;x'\n\
             \tinitrd /boot/ostree/a/i /boot/ostree/b\n}\n"
        );
    }
}
