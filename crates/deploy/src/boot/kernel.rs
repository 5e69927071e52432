//! Finding the kernel of a tree, and the checksum that says whether two trees boot the same one.

use sapwood_fsio::{self as fsio, At, Dir, Kind};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::io::Read;
use std::path::PathBuf;

/// The checksum of kernel, initramfs and device trees: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(String);

impl BootId {
    /// Parses 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 64 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file of the tree, and the name it gets in the boot directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootFile {
    /// Relative to the root of the tree.
    pub(crate) path: PathBuf,
    /// One component; for device trees in a directory, a path below it.
    pub(crate) installed: PathBuf,
}

/// What a tree boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The version, as the directory of its modules is called.
    pub version: String,
    /// The checksum of all of it.
    pub boot_id: BootId,
    pub(crate) image: BootFile,
    pub(crate) initramfs: Option<BootFile>,
    pub(crate) devicetree: Option<BootFile>,
    /// Files of the directory `dtb`, in the order in which they are hashed.
    pub(crate) devicetrees: Vec<BootFile>,
    pub(crate) hmac: Option<BootFile>,
}

/// What is done with device trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceTrees {
    /// They are installed with the kernel they belong to.
    #[default]
    Install,
    /// Nothing: the firmware brings its own.
    Ignore,
}

/// Why a tree cannot be booted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is no kernel.
    #[error(
        "no usr/lib/modules/VERSION/vmlinuz, and no vmlinuz-VERSION-CHECKSUM in usr/lib/ostree-boot or boot"
    )]
    Missing,
    /// There are several, and nothing says which is meant.
    #[error("more than one kernel: {}", versions.join(", "))]
    Several {
        /** Their versions. */
        versions: Vec<String>,
    },
    /// Kernel, initramfs and device tree of a legacy layout are named by different checksums.
    #[error("the checksum in the name of {file} is not that of {other}")]
    Disagree {
        /** One file. */
        file: String,
        /** The other. */
        other: String,
    },
    /// A name would break a boot entry.
    #[error("{name:?} cannot stand in a boot entry")]
    BadName {
        /** The name. */
        name: String,
    },
    /// Device trees are nested too deeply.
    #[error("device trees are nested deeper than {limit} directories")]
    TooDeep {
        /** The limit. */
        limit: usize,
    },
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] fsio::Error),
}

const MODULES: &str = "usr/lib/modules";
const MAX_DTB_DEPTH: usize = 16;

impl Kernel {
    /// Finds the kernel of the tree in `root` and computes its checksum, which reads all files it consists of.
    ///
    /// Looked at are the directories in `usr/lib/modules` with a `vmlinuz`; if there is none, or none with an initramfs,
    /// files named `vmlinuz-VERSION-CHECKSUM` or `vmlinuz-CHECKSUM` in `usr/lib/ostree-boot` or else `boot`, whose
    /// checksum is believed.
    ///
    /// # Errors
    /// [`KernelError::Several`] if there is a choice: whichever was taken, it might be the wrong one.
    pub fn discover(root: &Dir, policy: DeviceTrees) -> Result<Self, KernelError> {
        let mut kernel = Self::find(root, policy)?;
        if kernel.boot_id.as_str().is_empty() {
            kernel.boot_id = digest(root, &kernel)?;
        }
        Ok(kernel)
    }

    /// The same without computing a checksum: that of a kernel below `usr/lib/modules` is empty.
    pub(crate) fn find(root: &Dir, policy: DeviceTrees) -> Result<Self, KernelError> {
        let found = in_modules(root, policy)?;
        if let Some(found) = found.clone().filter(|found| found.initramfs.is_some()) {
            return Ok(found);
        }
        let mut old = None;
        for dir in ["usr/lib/ostree-boot", "boot"] {
            if let Some(opened) = fsio::open_dir_optional(root, dir)? {
                old = legacy(&opened, dir)?;
                if old.is_some() {
                    break;
                }
            }
        }
        match (found, old) {
            (None, Some(old)) => Ok(old),
            (Some(_), Some(old)) if old.initramfs.is_some() => Ok(old),
            (found, _) => found.ok_or(KernelError::Missing),
        }
    }

    /// All files to install.
    pub(crate) fn files(&self) -> impl Iterator<Item = &BootFile> {
        let one = [Some(&self.image), self.initramfs.as_ref(), self.devicetree.as_ref(), self.hmac.as_ref()];
        one.into_iter().flatten().chain(&self.devicetrees)
    }
}

/// A name that can be a word of a boot entry.
fn word(name: &std::ffi::OsStr) -> Result<&str, KernelError> {
    let fits = |text: &str| !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '"');
    let bad = || KernelError::BadName { name: name.to_string_lossy().into_owned() };
    name.to_str().filter(|text| fits(text)).ok_or_else(bad)
}

fn is_file(dir: &Dir, name: &str) -> Result<bool, fsio::Error> {
    Ok(fsio::stat_optional(dir, name)?.is_some_and(|stat| stat.kind == Kind::File))
}

fn in_modules(root: &Dir, policy: DeviceTrees) -> Result<Option<Kernel>, KernelError> {
    let Some(modules) = fsio::open_dir_optional(root, MODULES)? else { return Ok(None) };
    let mut versions = Vec::new();
    for entry in fsio::entries(&modules)? {
        if entry.kind == Kind::Dir && is_file(&fsio::open_dir(&modules, &entry.name)?, "vmlinuz")? {
            versions.push(word(&entry.name)?.to_owned());
        }
    }
    let version = match versions.len() {
        0 => return Ok(None),
        1 => versions.remove(0),
        _ => return Err(KernelError::Several { versions }),
    };
    let dir = fsio::open_dir(&modules, &version)?;
    let file = |name: &str, installed: String| BootFile {
        path: [MODULES, &version, name].iter().collect(),
        installed: installed.into(),
    };
    let optional = |name: &str, installed: String| {
        Ok::<_, fsio::Error>(is_file(&dir, name)?.then(|| file(name, installed)))
    };
    let initramfs_name = format!("initramfs-{version}.img");
    let initramfs = match optional("initramfs.img", initramfs_name.clone())? {
        Some(found) => Some(found),
        None => optional("initramfs", initramfs_name)?,
    };
    let wanted = policy == DeviceTrees::Install;
    let devicetree = if wanted { optional("devicetree", format!("devicetree-{version}"))? } else { None };
    let mut devicetrees = Vec::new();
    if wanted
        && devicetree.is_none()
        && let Some(dtb) = fsio::open_dir_optional(&dir, "dtb")?
    {
        let path: PathBuf = [MODULES, &version, "dtb"].iter().collect();
        let top = BootFile { path, installed: "dtb".into() };
        list_devicetrees(&dtb, &top, MAX_DTB_DEPTH, &mut devicetrees)?;
    }
    Ok(Some(Kernel {
        image: file("vmlinuz", format!("vmlinuz-{version}")),
        hmac: optional(".vmlinuz.hmac", format!(".vmlinuz-{version}.hmac"))?,
        boot_id: BootId(String::new()),
        version,
        initramfs,
        devicetree,
        devicetrees,
    }))
}

/// Files below `dtb`, each directory in the order of its names.
fn list_devicetrees(
    dir: &Dir,
    at: &BootFile,
    depth: usize,
    all: &mut Vec<BootFile>,
) -> Result<(), KernelError> {
    if depth == 0 {
        return Err(KernelError::TooDeep { limit: MAX_DTB_DEPTH });
    }
    for entry in fsio::entries(dir)? {
        let below = BootFile { path: at.path.join(&entry.name), installed: at.installed.join(&entry.name) };
        match entry.kind {
            Kind::Dir => list_devicetrees(&fsio::open_dir(dir, &entry.name)?, &below, depth - 1, all)?,
            Kind::File => all.push(below),
            _ => {}
        }
    }
    Ok(())
}

fn digest(root: &Dir, kernel: &Kernel) -> Result<BootId, fsio::Error> {
    let mut hash = Sha256::new();
    let hashed = [Some(&kernel.image), kernel.initramfs.as_ref(), kernel.devicetree.as_ref()];
    let mut buffer = vec![0_u8; 1 << 17];
    for file in hashed.into_iter().flatten().chain(&kernel.devicetrees) {
        let mut open = fsio::open_file(root, &file.path)?;
        loop {
            let read = open.read(&mut buffer).at("read", &file.path)?;
            if read == 0 {
                break;
            }
            hash.update(buffer.get(..read).unwrap_or_default());
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(BootId(text))
}

/// Splits `NAME-CHECKSUM`.
fn split_legacy(name: &str) -> Option<(&str, BootId)> {
    let (head, hex) = name.rsplit_once('-')?;
    Some((head, BootId::parse(hex)?))
}

fn legacy(dir: &Dir, path: &str) -> Result<Option<Kernel>, KernelError> {
    let mut kernels = Vec::new();
    let (mut initramfs, mut devicetree) = (None, None);
    for entry in fsio::entries(dir)?.into_iter().filter(|entry| entry.kind == Kind::File) {
        let Some((head, id)) = entry.name.to_str().and_then(split_legacy) else { continue };
        word(&entry.name)?;
        let file = BootFile { path: PathBuf::from(path).join(&entry.name), installed: head.into() };
        let is = |what: &str| head.strip_prefix(what).filter(|rest| rest.is_empty() || rest.starts_with('-'));
        if let Some(version) = is("vmlinuz") {
            kernels.push((version.trim_start_matches('-').to_owned(), file, id));
        } else if is("initramfs").is_some() {
            initramfs = Some((file, id));
        } else if is("devicetree").is_some() {
            devicetree = Some((file, id));
        }
    }
    if kernels.len() > 1 {
        let versions = kernels.into_iter().map(|(version, ..)| version).collect();
        return Err(KernelError::Several { versions });
    }
    let Some((version, image, boot_id)) = kernels.pop() else { return Ok(None) };
    for (file, id) in [&initramfs, &devicetree].into_iter().flatten() {
        if *id != boot_id {
            let name = |file: &BootFile| file.path.display().to_string();
            return Err(KernelError::Disagree { file: name(file), other: name(&image) });
        }
    }
    Ok(Some(Kernel {
        version,
        boot_id,
        image,
        initramfs: initramfs.map(|(file, _)| file),
        devicetree: devicetree.map(|(file, _)| file),
        devicetrees: Vec::new(),
        hmac: None,
    }))
}

#[cfg(test)]
mod tests;
