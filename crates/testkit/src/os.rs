//! A small but complete operating system tree in two releases.
//!
//! It has what deployment needs (a kernel, an initramfs, `/usr/etc`, `os-release`, the usual directories and links) and
//! enough beside it to be credible: some 3,000 files of a hundred packages. The second release is what an update of a
//! distribution looks like: a new kernel, some packages rebuilt, one gone, one new, a few defaults in `/usr/etc`
//! changed. Every byte is decided by path and release, so the tree is the same on every machine.

use crate::{Random, Tree};

/// Which release of the small operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// What the machine is installed with: version 1.0, kernel 6.1.0-1.
    One,
    /// The update: version 2.0, kernel 6.1.0-2.
    Two,
}

impl Release {
    fn kernel(self) -> &'static str {
        match self {
            Self::One => "6.1.0-1",
            Self::Two => "6.1.0-2",
        }
    }

    /// The version in `os-release`.
    pub fn version(self) -> &'static str {
        match self {
            Self::One => "1.0",
            Self::Two => "2.0",
        }
    }
}

/// Files of `/usr/etc` whose content is the same in both releases: path, content.
const CONFIG: &[(&str, &str)] = &[
    ("hostname", "localhost\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("fstab", "# Mounts beside the system's own.\n"),
    ("passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/usr/sbin/nologin\n"),
    ("group", "root:x:0:\ndaemon:x:1:\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("resolv.conf", "nameserver 127.0.0.53\n"),
    ("cron.daily/logrotate", "#!/bin/sh\nexec logrotate /etc/logrotate.conf\n"),
];

/// The tree of a release, as a build server would commit it.
pub fn os_tree(release: Release) -> Tree {
    let mut tree = Tree::default();
    base(&mut tree, release);
    kernel(&mut tree, release);
    config(&mut tree, release);
    for number in 0..100 {
        package(&mut tree, number, release);
    }
    for language in 0..40 {
        for domain in 0..10 {
            let path = format!("usr/share/locale/l{language:02}/LC_MESSAGES/domain{domain}.mo");
            let content = sized(&path, 200, 2_000, Random::binary);
            tree.file(&path, content);
        }
    }
    tree
}

fn base(tree: &mut Tree, release: Release) {
    for dir in ["boot", "dev", "proc", "run", "sys", "sysroot", "var", "usr/lib/tmpfiles.d", "usr/local"] {
        tree.dir(dir);
    }
    tree.dir("tmp").mode(0o1777);
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("home", "var/home"),
        ("root", "var/roothome"),
        ("ostree", "sysroot/ostree"),
    ] {
        tree.symlink(link, target);
    }
    let version = release.version();
    tree.file(
        "usr/lib/os-release",
        format!(
            "NAME=\"Example OS\"\nID=example\nVERSION_ID={version}\nPRETTY_NAME=\"Example OS {version}\"\n"
        ),
    );
    for program in ["su", "sudo", "passwd"] {
        let path = format!("usr/bin/{program}");
        let content = sized(&path, 20_000, 40_000, Random::binary);
        tree.file(&path, content).mode(0o4755);
    }
}

fn kernel(tree: &mut Tree, release: Release) {
    let version = release.kernel();
    let modules = format!("usr/lib/modules/{version}");
    for (name, size) in [("vmlinuz", 2_000_000), ("initramfs.img", 1_500_000)] {
        let path = format!("{modules}/{name}");
        let content = Random::of(&path).binary(size);
        tree.file(&path, content);
    }
    for number in 0..120 {
        let path = format!("{modules}/kernel/drivers/class{}/driver{number}.ko", number % 12);
        let content = sized(&path, 2_000, 12_000, Random::binary);
        tree.file(&path, content);
    }
}

fn config(tree: &mut Tree, release: Release) {
    for (path, content) in CONFIG {
        tree.file(&format!("usr/etc/{path}"), content);
    }
    tree.file("usr/etc/cron.daily/logrotate", CONFIG[7].1).mode(0o755);
    tree.file("usr/etc/shadow", "root:*:19000:0:99999:7:::\n").mode(0o600);
    tree.symlink("usr/etc/os-release", "../usr/lib/os-release");
    let version = release.version();
    tree.file("usr/etc/issue", format!("Example OS {version}\n"));
    let root_login = if release == Release::One { "prohibit-password" } else { "no" };
    tree.file("usr/etc/ssh/sshd_config", format!("Port 22\nPermitRootLogin {root_login}\n"));
    if release == Release::Two {
        tree.file("usr/etc/sysctl.d/50-hardening.conf", "kernel.kptr_restrict = 1\n");
    }
}

/// A package: a few programs, a library, documentation. Every eighth is rebuilt in the second release; number 97 is
/// gone from it, number 98 new in it.
fn package(tree: &mut Tree, number: usize, release: Release) {
    match (number, release) {
        (97, Release::Two) | (98, Release::One) => return,
        _ => {}
    }
    let build = if number.is_multiple_of(8) && release == Release::Two { "2" } else { "1" };
    let name = format!("package{number:02}");
    let mut add = |path: String, low, high, fill: fn(&mut Random, usize) -> Vec<u8>, mode| {
        let content = sized(&format!("{path} {build}"), low, high, fill);
        tree.file(&path, content).mode(mode);
    };
    for program in 0..3 {
        add(format!("usr/bin/{name}-tool{program}"), 1_000, 16_000, Random::binary, 0o755);
    }
    add(format!("usr/lib/lib{name}.so.1.0"), 4_000, 30_000, Random::binary, 0o644);
    for page in 0..8 {
        add(format!("usr/share/man/man1/{name}-{page}.1"), 300, 3_000, Random::text, 0o644);
    }
    for file in 0..10 {
        add(format!("usr/share/{name}/data{file}.conf"), 40, 1_500, Random::text, 0o644);
    }
    add(format!("usr/share/doc/{name}/changelog"), 200, 4_000, Random::text, 0o644);
    tree.symlink(&format!("usr/lib/lib{name}.so.1"), &format!("lib{name}.so.1.0"));
    // The same text in every package: one object in a repository.
    tree.file(&format!("usr/share/doc/{name}/copyright"), "Permission is granted to everyone.\n");
}

/// Content of a size between two bounds, both decided by `seed`.
fn sized(seed: &str, low: usize, high: usize, fill: fn(&mut Random, usize) -> Vec<u8>) -> Vec<u8> {
    let mut random = Random::of(seed);
    let size = low + random.below(high - low);
    fill(&mut random, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_releases_are_credible_and_differ_as_an_update_does() {
        let (one, two) = (os_tree(Release::One), os_tree(Release::Two));
        let (files, bytes) = one.size();
        assert!((2_500..4_000).contains(&files), "{files} files");
        assert!((8_000_000..16_000_000).contains(&bytes), "{bytes} bytes");
        let same = one.nodes.iter().filter(|(path, node)| two.nodes.get(*path) == Some(*node)).count();
        let share = same * 100 / one.nodes.len();
        assert!((85..95).contains(&share), "{share} % of the paths are the same");
    }

    #[test]
    fn a_release_is_the_same_whenever_it_is_made() {
        assert_eq!(os_tree(Release::Two), os_tree(Release::Two));
    }
}
