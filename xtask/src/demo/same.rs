//! Whether a deployment is what was committed, down to owners and extended attributes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Compares every path of the committed tree with the deployment; returns how many there are.
///
/// Contents are `fsck`'s to verify. `/var` is not the deployment's own.
pub(crate) fn as_committed(tree: &Path, deployment: &Path) -> Result<usize> {
    let mut count = 0;
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let relative = path.strip_prefix(tree)?;
            if relative == Path::new("var") {
                continue;
            }
            let (committed, deployed) = (facts(&path)?, facts(&deployment.join(relative))?);
            ensure!(
                committed == deployed,
                "{} was committed as {committed:?} and deployed as {deployed:?}",
                relative.display()
            );
            count += 1;
            if path.symlink_metadata()?.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(count)
}

/// What must be the same: mode, owner, group, size of files, target of links, extended attributes.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    mode: u32,
    owner: (u32, u32),
    size: Option<u64>,
    target: Option<std::path::PathBuf>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn facts(path: &Path) -> Result<Facts> {
    let metadata = path.symlink_metadata().with_context(|| format!("looking at {}", path.display()))?;
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names)?;
    let mut xattrs = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        xattrs.insert(name.to_vec(), value);
    }
    Ok(Facts {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        size: metadata.is_file().then(|| metadata.size()),
        target: if metadata.is_symlink() { Some(path.read_link()?) } else { None },
        xattrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_mode_bit_is_noticed() {
        let mut tree = sapwood_testkit::Tree::default();
        tree.file("usr/bin/su", "x").mode(0o4755);
        tree.symlink("bin", "usr/bin");
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        tree.write_to(&one).unwrap();
        tree.write_to(&two).unwrap();
        assert_eq!(as_committed(&one, &two).unwrap(), 4);
        tree.file("usr/bin/su", "x").mode(0o755);
        std::fs::remove_file(two.join("bin")).unwrap();
        tree.write_to(&two).unwrap();
        assert!(as_committed(&one, &two).is_err());
    }
}
