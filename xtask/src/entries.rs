//! Boot entries, read as a boot loader reads them: without any of our code.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What one file of the Boot Loader Specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The greatest comes first.
    pub(crate) version: u64,
    /// What a menu shows.
    pub(crate) title: String,
    /// The kernel's image, from the root of the boot filesystem.
    linux: String,
    /// The initramfs, likewise.
    initrd: String,
    /// The kernel's arguments.
    pub(crate) options: String,
}

impl Entry {
    /// The entries below the boot directory, the default first; none where there is no directory of entries.
    pub(crate) fn read_all(boot: &Path) -> Result<Vec<Self>> {
        let folder = boot.join("loader/entries");
        let mut entries = Vec::new();
        if !folder.exists() {
            return Ok(entries);
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                let text = std::fs::read_to_string(&path)?;
                entries.push(Self::parse(&text).with_context(|| path.display().to_string())?);
            }
        }
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.version));
        Ok(entries)
    }

    fn parse(text: &str) -> Result<Self> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.map(str::to_owned).with_context(|| format!("no {key}"))
        };
        Ok(Self {
            version: value("version")?.parse()?,
            title: value("title")?,
            linux: value("linux")?,
            initrd: value("initrd")?,
            options: value("options")?,
        })
    }

    /// Kernel and initramfs, where they are below the boot directory.
    pub(crate) fn files(&self, boot: &Path) -> [PathBuf; 2] {
        [&self.linux, &self.initrd].map(|path| boot.join(path.trim_start_matches('/')))
    }

    /// The path of the link to the deployment, from the root of the disk.
    pub(crate) fn link(&self) -> Result<&str> {
        let link = self.options.split(' ').find_map(|word| word.strip_prefix("ostree=/"));
        link.context("no ostree= argument")
    }
}
