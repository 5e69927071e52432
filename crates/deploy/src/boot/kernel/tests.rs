//! Trees are made file by file; expected checksums come from `sha256sum` of the joined contents.

use super::*;

fn tree(files: &[(&str, &str)]) -> cap_tempfile::TempDir {
    let dir = cap_tempfile::tempdir(cap_std::ambient_authority()).unwrap();
    for (path, content) in files {
        let path = std::path::Path::new(path);
        fsio::ensure_dir(&dir, path.parent().unwrap(), 0o755).unwrap();
        fsio::replace(&dir, path, 0o644, content.as_bytes()).unwrap();
    }
    dir
}

/// `printf k123 | sha256sum`
const K123: &str = "66164fd1c9a8234940536d902d18a712e7a9e74c6819b41fb014e33740f6e0dc";

fn discover(dir: &Dir) -> Result<Kernel, KernelError> {
    Kernel::discover(dir, DeviceTrees::Install)
}

const M: &str = "usr/lib/modules/6.1.0";

fn names(kernel: &Kernel) -> Vec<String> {
    kernel.files().map(|f| format!("{} {}", f.path.display(), f.installed.display())).collect()
}

#[test]
fn a_modern_tree_is_named_by_its_version_and_hashed_in_order() {
    let dir = tree(&[
        (&format!("{M}/vmlinuz"), "kernel"),
        (&format!("{M}/initramfs.img"), "initrd"),
        (&format!("{M}/.vmlinuz.hmac"), "h"),
        ("usr/lib/modules/6.0.0/modules.dep", ""),
    ]);
    let kernel = discover(&dir).unwrap();
    // printf kernelinitrd | sha256sum; the same as real ostree computed.
    assert_eq!(kernel.boot_id.as_str(), "3822c8916ff94fb5cd0710581582600efdb585747470c3ef45ead0e6ed5b3982");
    assert_eq!(
        names(&kernel),
        [
            format!("{M}/vmlinuz vmlinuz-6.1.0"),
            format!("{M}/initramfs.img initramfs-6.1.0.img"),
            format!("{M}/.vmlinuz.hmac .vmlinuz-6.1.0.hmac")
        ]
    );
}

#[test]
fn device_trees_count_each_directory_in_the_order_of_its_names() {
    let dir = tree(&[
        (&format!("{M}/vmlinuz"), "k"),
        (&format!("{M}/dtb/b.dtb"), "2"),
        (&format!("{M}/dtb/a/x.dtb"), "1"),
        (&format!("{M}/dtb/c/y.dtb"), "3"),
    ]);
    let kernel = discover(&dir).unwrap();
    assert_eq!(kernel.boot_id.as_str(), K123);
    assert_eq!(
        names(&kernel)[1..],
        [
            format!("{M}/dtb/a/x.dtb dtb/a/x.dtb"),
            format!("{M}/dtb/b.dtb dtb/b.dtb"),
            format!("{M}/dtb/c/y.dtb dtb/c/y.dtb"),
        ]
    );
}

#[test]
fn a_single_device_tree_hides_the_directory_of_them() {
    let dir = tree(&[
        (&format!("{M}/vmlinuz"), "k"),
        (&format!("{M}/devicetree"), "123"),
        (&format!("{M}/dtb/b.dtb"), "2"),
    ]);
    let kernel = discover(&dir).unwrap();
    assert_eq!(kernel.boot_id.as_str(), K123);
    assert_eq!(names(&kernel)[1..], [format!("{M}/devicetree devicetree-6.1.0")]);
}

#[test]
fn the_checksum_in_a_legacy_name_is_believed() {
    let id = "a".repeat(64);
    for dir in ["usr/lib/ostree-boot", "boot"] {
        let made = tree(&[
            (&format!("{dir}/vmlinuz-3.10-{id}"), "k"),
            (&format!("{dir}/initramfs-3.10-{id}"), "i"),
            (&format!("{dir}/config-3.10"), "c"),
        ]);
        let kernel = discover(&made).unwrap();
        assert_eq!((kernel.version.as_str(), kernel.boot_id.as_str()), ("3.10", id.as_str()));
        assert_eq!(
            names(&kernel),
            [
                format!("{dir}/vmlinuz-3.10-{id} vmlinuz-3.10"),
                format!("{dir}/initramfs-3.10-{id} initramfs-3.10")
            ]
        );
    }
}

#[test]
fn a_tree_without_a_clear_kernel_is_refused() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let error = |files: &[(&str, &str)]| discover(&tree(files)).unwrap_err().to_string();
    let missing = KernelError::Missing.to_string();
    assert_eq!(error(&[]), missing);
    assert_eq!(error(&[("boot/vmlinuz-3.10", "k")]), missing);
    assert_eq!(error(&[("usr/lib/modules/6.1.0/initramfs.img", "k")]), missing);
    assert_eq!(
        error(&[("usr/lib/modules/2/vmlinuz", ""), ("usr/lib/modules/1/vmlinuz", "")]),
        "more than one kernel: 1, 2"
    );
    assert_eq!(error(&[("usr/lib/modules/1 2/vmlinuz", "")]), "\"1 2\" cannot stand in a boot entry");
    assert_eq!(
        error(&[(&format!("boot/vmlinuz-1-{a}"), ""), (&format!("boot/initramfs-1-{b}"), "")]),
        format!("the checksum in the name of boot/initramfs-1-{b} is not that of boot/vmlinuz-1-{a}")
    );
}

#[test]
fn a_link_is_not_a_kernel() {
    let dir = tree(&[(&format!("{M}/other"), "k")]);
    fsio::symlink("other", &dir, format!("{M}/vmlinuz")).unwrap();
    assert!(matches!(discover(&dir), Err(KernelError::Missing)));
}

/// As the real program chooses (2022.7).
#[test]
fn a_legacy_kernel_with_an_initramfs_comes_before_a_modern_one_without() {
    let id = "b".repeat(64);
    let (kernel, initramfs) =
        (format!("usr/lib/ostree-boot/vmlinuz-{id}"), format!("usr/lib/ostree-boot/initramfs-{id}"));
    let modern = (&*format!("{M}/vmlinuz"), "modern");
    let both = tree(&[modern, (&kernel, "k"), (&initramfs, "i")]);
    assert_eq!(
        names(&discover(&both).unwrap()),
        [format!("{kernel} vmlinuz"), format!("{initramfs} initramfs")],
        "and a name need not have a version"
    );
    let neither = tree(&[modern, (&kernel, "k")]);
    assert_eq!(names(&discover(&neither).unwrap()), [format!("{M}/vmlinuz vmlinuz-6.1.0")]);
}
