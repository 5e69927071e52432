//! What systemd has to mount in a deployed system: `/var` of the stateroot, and `/boot` where it is on the disk's root.

use super::cmdline::BootTarget;
use super::error::BootError;
use super::fstab::Fstab;
use super::prepare_root::resolve;
use crate::layout;
use sapwood_fsio::{self as fsio, Dir};

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
/// `/etc/fstab` mounts, or that is a mount already, gets none.
///
/// # Errors
/// When the target leads to no deployment, or `/etc/fstab` cannot be read.
pub fn boot_units(root: &Dir, target: &BootTarget) -> Result<Vec<Unit>, BootError> {
    let disk = fsio::open_dir(root, "sysroot")?;
    let deployment = resolve(&disk, target)?;
    let fstab = Fstab::read(root)?;
    let free = |path: &str| -> Result<bool, BootError> {
        let taken = match fsio::open_dir_optional(root, path)? {
            Some(dir) => fsio::mount::is_mount_point(&dir)?,
            // Nothing can be mounted there.
            None => true,
        };
        Ok(!taken && !fstab.mounts(path))
    };
    let mut units = Vec::new();
    if free("var")? {
        units.push(Unit {
            name: "var.mount",
            text: unit("var", &layout::var_dir(&deployment.stateroot), "bind,slave,shared"),
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
    fn a_link_that_leads_elsewhere_is_refused() {
        let (root, target) = machine();
        for aim in
            ["../../../deploy/os/deploy/none.0", "/etc", "../../../deploy/os/var", "../../../../x/deploy/y"]
        {
            root.remove_file("sysroot/ostree/boot.1.0/os/x/0").unwrap();
            root.symlink_contents(aim, "sysroot/ostree/boot.1.0/os/x/0").unwrap();
            assert!(matches!(boot_units(&root, &target), Err(BootError::BadLink { .. })), "{aim}");
        }
    }
}
