//! The real programs that tests compare with: which package has them, and installing it where nobody need be asked.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::sh;

/// Something of another project that tests use.
#[derive(Debug)]
pub(crate) struct Peer {
    /// A program's name, or the absolute path of a file.
    pub(crate) what: &'static str,
    /// The Debian package it comes in.
    pub(crate) package: &'static str,
    /// What is not done without it.
    pub(crate) lost: &'static str,
}

/// What the tests of the workspace use.
pub(crate) const FOR_TESTS: &[Peer] = &[
    Peer {
        what: "ostree",
        package: "ostree",
        lost: "comparisons with the real ostree (ids, both directions, sysroots)",
    },
    Peer { what: "gpg", package: "gpg", lost: "tests of GPG signatures" },
    Peer { what: "openssl", package: "openssl", lost: "comparisons of SPKI signatures with OpenSSL's" },
    Peer {
        what: "/usr/lib/ostree/ostree-prepare-root",
        package: "ostree-boot",
        lost: "boots by OSTree's own program",
    },
    Peer { what: "nginx", package: "nginx-light", lost: "pulls from and by way of nginx" },
    Peer { what: "matchpathcon", package: "selinux-utils", lost: "comparisons with libselinux" },
    Peer { what: "mkfs.btrfs", package: "btrfs-progs", lost: "tests on btrfs" },
    Peer { what: "mkfs.xfs", package: "xfsprogs", lost: "tests on xfs" },
    Peer { what: "setfattr", package: "attr", lost: "nothing of ours, but checks by hand need it" },
];

impl Peer {
    /// Whether it is installed.
    pub(crate) fn present(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            // Joining an absolute path gives that path.
            .any(|folder| folder.join(self.what).is_file())
    }
}

/// Installs what is missing, if allowed and possible without asking anyone; says what is lost with the rest.
pub(crate) fn set_up(peers: &[Peer], may_install: bool) {
    let missing: Vec<_> = peers.iter().filter(|peer| !peer.present()).collect();
    if missing.is_empty() {
        return;
    }
    if may_install && rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists() {
        let apt = |args: &[&str]| {
            let mut apt = Command::new("apt-get");
            apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-y"]).args(args).stdout(Stdio::null());
            sh::run(&mut apt)
        };
        let mut install = vec!["install", "--no-install-recommends"];
        install.extend(missing.iter().map(|peer| peer.package));
        if let Err(error) = apt(&["update"]).and_then(|()| apt(&install)) {
            eprintln!("warning: {error:#}");
        }
    }
    for Peer { what, package, lost } in missing.into_iter().filter(|peer| !peer.present()) {
        println!("`{what}` (package {package}) is not installed; skipped: {lost}");
    }
}
