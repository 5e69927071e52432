//! `prepare-root.conf`: how the running system is to look.

use super::error::BootError;
use sapwood_fsio::{self as fsio, Dir};
use sapwood_repo::Keyfile;

/// The files in the initramfs; what a later one says wins.
const FILES: [&str; 2] = ["usr/lib/ostree/prepare-root.conf", "etc/ostree/prepare-root.conf"];
/// The configuration of the repository on the disk, whose `sysroot.readonly` counts where no file says anything.
const REPO_CONFIG: &str = "ostree/repo/config";

/// How the running system is to look. By default: `/usr` read-only, the rest as it is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootConfig {
    /// `sysroot.readonly`: nothing on the disk can be changed through `/sysroot`; `/etc` and `/var` can.
    pub sysroot_read_only: bool,
    /// `etc.transient`: changes of `/etc` are kept in memory and gone with the next boot.
    pub etc_transient: bool,
    /// `root.transient`: changes of `/` outside of `/usr` are kept beside the deployment, and gone with it.
    pub root_transient: bool,
}

impl BootConfig {
    /// Reads the configuration from the initramfs `root`, and from the repository on `disk`.
    ///
    /// # Errors
    /// When a file is malformed, or asks for composefs, which is not supported (`maybe` is, and means no).
    pub fn read(root: &Dir, disk: &Dir) -> Result<Self, BootError> {
        let mut config = Self::default();
        let mut read_only = None;
        for path in FILES {
            let Some(file) = load(root, path)? else { continue };
            let flag = |group, key, name| flag(&file, path, group, key, name);
            read_only = flag("sysroot", "readonly", "sysroot.readonly")?.or(read_only);
            config.etc_transient = flag("etc", "transient", "etc.transient")?.unwrap_or(config.etc_transient);
            config.root_transient =
                flag("root", "transient", "root.transient")?.unwrap_or(config.root_transient);
            if flag("root", "transient-ro", "root.transient-ro")?.unwrap_or(false) {
                return Err(BootError::Unsupported { path, what: "root.transient-ro" });
            }
            match file.get("composefs", "enabled").as_deref() {
                None | Some("no" | "false" | "0" | "maybe") => {}
                Some("yes" | "true" | "1" | "verity" | "signed") => {
                    return Err(BootError::Unsupported { path, what: "composefs" });
                }
                Some(other) => {
                    return Err(BootError::BadValue {
                        path,
                        key: "composefs.enabled",
                        value: other.to_owned(),
                    });
                }
            }
        }
        config.sysroot_read_only = match (read_only, load(disk, REPO_CONFIG)?) {
            (Some(said), _) => said,
            (None, Some(repo)) => {
                flag(&repo, REPO_CONFIG, "sysroot", "readonly", "sysroot.readonly")?.unwrap_or(false)
            }
            (None, None) => false,
        };
        Ok(config)
    }
}

fn load(dir: &Dir, path: &'static str) -> Result<Option<Keyfile>, BootError> {
    let Some(bytes) = fsio::read_optional(dir, path, crate::layout::MAX_TEXT_BYTES)? else { return Ok(None) };
    Keyfile::parse(&bytes).map(Some).map_err(|source| BootError::Config { path, source })
}

fn flag(
    file: &Keyfile,
    path: &'static str,
    group: &str,
    key: &str,
    name: &'static str,
) -> Result<Option<bool>, BootError> {
    let bad = |value| BootError::BadValue { path, key: name, value };
    file.get_bool(group, key).transpose().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<BootConfig, BootError> {
        let dir = cap_tempfile::tempdir(cap_std::ambient_authority()).unwrap();
        for (path, text) in files {
            dir.create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            dir.write(path, text).unwrap();
        }
        BootConfig::read(&dir, &dir)
    }

    #[test]
    fn a_later_file_wins_and_the_repository_speaks_where_none_does() {
        let [vendor, local] = FILES;
        assert_eq!(read(&[]).unwrap(), BootConfig::default());
        let all = read(&[(vendor, "[sysroot]\nreadonly=true\n[etc]\ntransient=1\n[root]\ntransient=yes\n")])
            .unwrap();
        assert!(all.sysroot_read_only && all.etc_transient && all.root_transient);
        let repo = (REPO_CONFIG, "[sysroot]\nreadonly=true\n");
        assert!(read(&[repo]).unwrap().sysroot_read_only);
        assert!(!read(&[repo, (local, "[sysroot]\nreadonly=false\n")]).unwrap().sysroot_read_only);
        let both = [(vendor, "[etc]\ntransient=true\n"), (local, "[etc]\ntransient=false\n"), repo];
        assert_eq!(read(&both).unwrap(), BootConfig { sysroot_read_only: true, ..BootConfig::default() });
    }

    #[test]
    fn what_cannot_be_done_or_understood_stops_the_boot() {
        for (text, wanted) in [
            ("[composefs]\nenabled=yes\n", "composefs"),
            ("[composefs]\nenabled=signed\n", "composefs"),
            ("[composefs]\nenabled=perhaps\n", "perhaps"),
            ("[root]\ntransient-ro=true\n", "transient-ro"),
            ("[sysroot]\nreadonly=perhaps\n", "perhaps"),
            ("[sysroot\n", "cannot read"),
        ] {
            let error = read(&[(FILES[0], text)]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(read(&[(FILES[1], "[composefs]\nenabled=maybe\n")]).unwrap(), BootConfig::default());
    }
}
