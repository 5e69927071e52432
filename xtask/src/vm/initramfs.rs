//! An initramfs: busybox, the boot program, the kernel's modules for disks and networks of virtual machines.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

/// What has to be loaded, unless the kernel has it built in.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "overlay",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "nls_cp437",
    "nls_ascii",
];

/// Files of an archive, by path, with their modes. Directories come of themselves.
#[derive(Debug, Default)]
pub(crate) struct Initramfs {
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Initramfs {
    /// The archive for a kernel whose modules are in `modules`, with `init` as the first process.
    pub(crate) fn new(init: &str, boot_program: &Path, modules: &Path) -> Result<Self> {
        let mut all = Self::default();
        all.add("init", 0o755, init.as_bytes().to_vec());
        all.copy("bin/busybox", Path::new("/usr/bin/busybox"))?;
        all.copy("bin/sapwood-prepare-root", boot_program)?;
        for library in super::os::libraries(boot_program)? {
            all.copy(library.to_string_lossy().trim_start_matches('/'), &library)?;
        }
        let version =
            modules.file_name().context("a folder of modules has a name")?.to_string_lossy().into_owned();
        let base = format!("lib/modules/{version}");
        for list in ["modules.dep", "modules.builtin", "modules.order"] {
            all.copy(&format!("{base}/{list}"), &modules.join(list))?;
        }
        for module in needed(modules)? {
            all.copy(&format!("{base}/{module}"), &modules.join(&module))?;
        }
        Ok(all)
    }

    fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.files.insert(path.to_owned(), (0o100_000 | mode, content));
        let mut parent = Path::new(path).parent();
        while let Some(dir) = parent.filter(|dir| !dir.as_os_str().is_empty()) {
            self.files.entry(dir.to_string_lossy().into_owned()).or_insert((0o040_755, Vec::new()));
            parent = dir.parent();
        }
    }

    fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.add(path, 0o755, content);
        Ok(())
    }

    /// The bytes of the archive, in the only form that the kernel takes (`newc`; see the kernel's documentation of its
    /// initramfs buffer format).
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (path, (mode, content))) in (1..).zip(&self.files) {
            entry(&mut out, number, path, *mode, content);
        }
        entry(&mut out, 0, "TRAILER!!!", 0, &[]);
        out
    }
}

fn entry(out: &mut Vec<u8>, number: usize, path: &str, mode: u32, content: &[u8]) {
    let links = if mode & 0o040_000 == 0 { 1 } else { 2 };
    let mode = usize::try_from(mode).unwrap_or_default();
    let name_bytes = path.len() + 1;
    // Inode, mode, owner, group, links, time, size, device twice two numbers, length of the name, checksum.
    let fields = [number, mode, 0, 0, links, 0, content.len(), 0, 0, 0, 0, name_bytes, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(content);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The files of [`MODULES`] and of what they need, relative to the folder.
pub(crate) fn needed(modules: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(modules.join("modules.dep"))?;
    let rows: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (name(file), (file, needs.split_whitespace().collect::<Vec<_>>())))
        .collect();
    let mut files: Vec<String> = MODULES
        .iter()
        .filter_map(|module| rows.get(*module))
        .flat_map(|(file, needs)| std::iter::once(*file).chain(needs.iter().copied()))
        .map(str::to_owned)
        .collect();
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// `kernel/fs/xfs/xfs.ko.xz` is called `xfs`.
fn name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}
