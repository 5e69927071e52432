//! What systemd has to mount in a deployed system: `/var` of the stateroot, and `/boot` where it is on the disk's root.

use super::cmdline::BootTarget;
use super::error::BootError;
use super::fstab::Fstab;
use super::prepare_root::{VAR_MOUNTED, resolve};
use crate::{StaterootName, layout};
use sapwood_fsio::{self as fsio, Dir, Kind};

/// A unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
    /// The unit that needs it: a link to it belongs into the directory `NAME.requires`.
    pub required_by: &'static str,
}

/// The units for the running system whose root is `root` and whose disk is seen at `sysroot` in it. A place that
/// `/etc/fstab` mounts gets none, and none does where the initramfs mounted them.
///
/// They are the same whenever systemd asks, also when all is mounted, and after an upgrade removed the link that it was
/// booted by.
///
/// # Errors
/// When the target names no stateroot and leads to no deployment, or `/etc/fstab` cannot be read.
pub fn boot_units(root: &Dir, target: &BootTarget) -> Result<Vec<Unit>, BootError> {
    if fsio::stat_optional(root, VAR_MOUNTED)?.is_some() {
        return Ok(Vec::new());
    }
    let disk = fsio::open_dir(root, "sysroot")?;
    let stateroot = match target.stateroot() {
        Some(name) => StaterootName::new(name)
            .map_err(|error| BootError::BadLink { link: target.link.clone(), reason: error.to_string() })?,
        None => resolve(&disk, target)?.stateroot,
    };
    let fstab = Fstab::read(root)?;
    let free = |path: &str| -> Result<bool, BootError> {
        let there = fsio::stat_optional(root, path)?.is_some_and(|stat| stat.kind == Kind::Dir);
        Ok(there && !fstab.mounts(path))
    };
    let mut units = Vec::new();
    if free("var")? {
        units.push(Unit {
            name: "var.mount",
            text: unit("var", &layout::var_dir(&stateroot), "bind,slave,shared"),
            required_by: "local-fs.target",
        });
    }
    if layout::boot_is_on_disk(&disk)? && free("boot")? {
        units.push(Unit {
            name: "boot.mount",
            text: unit("boot", layout::BOOT, "bind"),
            required_by: "local-fs.target",
        });
    }
    Ok(units)
}

fn unit(place: &str, source: &str, options: &str) -> String {
    format!(
        "# Made at boot by sapwood-system-generator.\n\
         [Unit]\n\
         Description=/{place} of the deployed system\n\
         DefaultDependencies=no\n\
         Conflicts=umount.target\n\
         Before=local-fs.target umount.target\n\
         \n\
         [Mount]\n\
         What=/sysroot/{source}\n\
         Where=/{place}\n\
         Options={options}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3822c8916ff94fb5cd0710581582600efdb585747470c3ef45ead0e6ed5b3982";

    fn machine() -> (cap_tempfile::TempDir, BootTarget) {
        let root = cap_tempfile::tempdir(cap_std::ambient_authority()).unwrap();
        for dir in ["var", "boot", "etc", "sysroot/boot"] {
            root.create_dir_all(dir).unwrap();
        }
        root.create_dir_all(format!("sysroot/ostree/deploy/os/deploy/{ID}.0")).unwrap();
        root.create_dir_all("sysroot/ostree/boot.1.0/os/x").unwrap();
        root.symlink("boot.1.0", "sysroot/ostree/boot.1").unwrap();
        let link = format!("../../../deploy/os/deploy/{ID}.0");
        root.symlink(link, "sysroot/ostree/boot.1.0/os/x/0").unwrap();
        root.symlink("loader.1", "sysroot/boot/loader").unwrap();
        (root, BootTarget::parse(b"ostree=/ostree/boot.1/os/x/0").unwrap())
    }

    fn names(root: &Dir, target: &BootTarget) -> Vec<&'static str> {
        boot_units(root, target).unwrap().into_iter().map(|unit| unit.name).collect()
    }

    #[test]
    fn a_place_that_the_administrator_mounts_gets_no_unit() {
        let (root, target) = machine();
        assert_eq!(names(&root, &target), ["var.mount", "boot.mount"]);
        root.write("etc/fstab", "# /dev/vdb /boot ext4\nUUID=1 /var/ ext4 defaults 0 0\n").unwrap();
        assert_eq!(names(&root, &target), ["boot.mount"]);
        root.write("etc/fstab", "LABEL=b\t/boot\text4").unwrap();
        assert_eq!(names(&root, &target), ["var.mount"]);
    }

    #[test]
    fn the_var_of_the_stateroot_is_bound_and_a_separate_boot_is_left_alone() {
        let (root, target) = machine();
        let texts: Vec<_> = boot_units(&root, &target).unwrap().into_iter().map(|unit| unit.text).collect();
        let bound = "\nWhat=/sysroot/ostree/deploy/os/var\nWhere=/var\n";
        assert!(texts.iter().any(|text| text.contains(bound)), "{texts:?}");
        root.remove_file("sysroot/boot/loader").unwrap();
        assert_eq!(names(&root, &target), ["var.mount"]);
    }

    #[test]
    fn units_stay_the_same_when_an_upgrade_removed_the_link_and_there_are_none_where_the_initramfs_mounted() {
        let (root, target) = machine();
        let before = boot_units(&root, &target).unwrap();
        root.remove_dir_all("sysroot/ostree/boot.1.0").unwrap();
        assert_eq!(boot_units(&root, &target).unwrap(), before);
        root.create_dir_all("run/ostree").unwrap();
        root.write(VAR_MOUNTED, "").unwrap();
        assert_eq!(names(&root, &target), [""; 0]);
    }

    #[test]
    fn a_link_without_a_stateroot_in_its_name_is_followed_and_one_that_leads_elsewhere_is_refused() {
        let (root, _) = machine();
        let target = BootTarget::parse(b"androidboot.slot_suffix=_a").unwrap();
        root.symlink(format!("deploy/os/deploy/{ID}.0"), "sysroot/ostree/root.a").unwrap();
        assert_eq!(names(&root, &target), ["var.mount", "boot.mount"]);
        for aim in ["deploy/os/deploy/none.0", "/etc", "deploy/os/var", "../../../../x/deploy/y"] {
            root.remove_file("sysroot/ostree/root.a").unwrap();
            root.symlink_contents(aim, "sysroot/ostree/root.a").unwrap();
            assert!(matches!(boot_units(&root, &target), Err(BootError::BadLink { .. })), "{aim}");
        }
    }
}
