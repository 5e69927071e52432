//! Syslinux and extlinux, and U-Boot where it reads their configuration.

use super::in_boot;
use crate::boot::bls::Bls;
use crate::{BootSet, Bootloader, Error, Result, layout, write};
use sapwood_fsio as fsio;

/// Writes `syslinux.cfg`, to which `syslinux/syslinux.cfg` or `extlinux/extlinux.conf` in the boot directory is a link.
///
/// What others put into the file stays: directives, and labels that are not ours. So does a default that names one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Syslinux;

const FILE: &str = "syslinux.cfg";
/// What the names of our labels have in common: titles say their place in the boot order.
const OURS: &str = "(ostree";

impl Bootloader for Syslinux {
    fn name(&self) -> &'static str {
        "syslinux"
    }

    fn write(&self, set: &BootSet<'_>) -> Result<()> {
        let path = format!("{}/{FILE}", layout::LOADER);
        let old = fsio::read_optional(set.boot, &path, layout::MAX_TEXT_BYTES)?.unwrap_or_default();
        let old = std::str::from_utf8(&old)
            .map_err(|error| Error::BadEntry { file: FILE.to_owned(), reason: error.to_string() })?;
        write::write_file(set.loader, FILE, configuration(old, set.entries).as_bytes())
    }
}

/// Directives that end what belongs to a label.
const GLOBAL: [&str; 13] = [
    "PROMPT",
    "TIMEOUT",
    "TOTALTIMEOUT",
    "ONTIMEOUT",
    "ONERROR",
    "SERIAL",
    "CONSOLE",
    "UI",
    "NOESCAPE",
    "ALLOWOPTIONS",
    "IMPLICIT",
    "DISPLAY",
    "INCLUDE",
];

/// The old configuration with our labels replaced.
fn configuration(old: &str, entries: &[Bls]) -> String {
    let mut text = String::new();
    let (mut ours, mut foreign_default) = (false, false);
    for line in old.lines() {
        let (word, value) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
        match word.to_ascii_uppercase().as_str() {
            "LABEL" => ours = value.contains(OURS),
            "DEFAULT" if value.contains(OURS) => continue,
            "DEFAULT" => {
                ours = false;
                foreign_default = true;
            }
            word if GLOBAL.contains(&word) => ours = false,
            _ => {}
        }
        if !ours {
            text.push_str(line);
            text.push('\n');
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        let title = entry.get("title").unwrap_or_default();
        if index == 0 && !foreign_default {
            push(&mut text, "DEFAULT", title);
        }
        push(&mut text, "LABEL", title);
        let path = |key| in_boot(entry.get(key).unwrap_or_default());
        push(&mut text, "\tKERNEL", &path("linux"));
        let initrds: Vec<_> = entry.all("initrd").map(in_boot).collect();
        if !initrds.is_empty() {
            push(&mut text, "\tINITRD", &initrds.join(","));
        }
        if entry.get("devicetree").is_some() {
            push(&mut text, "\tFDT", &path("devicetree"));
        }
        if entry.get("fdtdir").is_some() {
            push(&mut text, "\tFDTDIR", &path("fdtdir"));
        }
        push(&mut text, "\tAPPEND", entry.get("options").unwrap_or_default());
    }
    text
}

fn push(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push(' ');
    text.push_str(value);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(title: &str) -> Bls {
        let text = format!(
            "title {title}\noptions root=/dev/x\nlinux /ostree/os-1/vmlinuz\ninitrd /ostree/os-1/i\n"
        );
        Bls::parse(text.as_bytes()).unwrap()
    }

    /// The expected text is what OSTree 2022.7 wrote for two such deployments.
    #[test]
    fn our_labels_are_replaced_and_those_of_others_stay() {
        let others = "PROMPT 1\nTIMEOUT 50\n\nLABEL other\n\tKERNEL /other\n\tAPPEND x\n";
        let ours = "DEFAULT Test OS 2 (ostree:0)\n\
            LABEL Test OS 2 (ostree:0)\n\tKERNEL /boot/ostree/os-1/vmlinuz\n\tINITRD /boot/ostree/os-1/i\n\tAPPEND root=/dev/x\n\
            LABEL Test OS 1 (ostree:1)\n\tKERNEL /boot/ostree/os-1/vmlinuz\n\tINITRD /boot/ostree/os-1/i\n\tAPPEND root=/dev/x\n";
        let entries = [entry("Test OS 2 (ostree:0)"), entry("Test OS 1 (ostree:1)")];
        let first = configuration(others, &entries);
        assert_eq!(first, format!("{others}{ours}"));
        assert_eq!(configuration(&first, &entries), first, "writing it again changes nothing");
        assert_eq!(configuration(&first, &[]), others);
    }

    #[test]
    fn a_default_that_names_a_label_of_another_stays() {
        let text = configuration("DEFAULT rescue\nLABEL rescue\n\tKERNEL /r\n", &[entry("T (ostree:0)")]);
        assert!(text.starts_with("DEFAULT rescue\n"), "{text}");
        assert_eq!(text.matches("DEFAULT").count(), 1);
    }
}
