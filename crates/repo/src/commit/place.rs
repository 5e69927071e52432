//! Where a file is, as long as its inode number and its times say which file it is.
//!
//! Change times say whether a file is the same only on one filesystem, whose kernel set them. Device numbers do not say
//! which filesystem that is: the next image that is mounted gets the one that the last had, and brings inode numbers and
//! times that its maker chose. So a place is
//!
//! - **the repository's filesystem**, if it keeps times that the kernel set: what was noted there stays true for as long
//!   as it is there itself, by whatever mount, in whatever container, and after the machine was started again;
//! - else **a mount**, told from all others by a number that the kernel gives to no second one (from Linux 6.8 on), in
//!   one run of the machine: while something is mounted, it is not another.
//!
//! Elsewhere nothing is noted and nothing is recognised: on network filesystems and those of programs (FUSE), which
//! say of times what they like; on filesystems that are not known here; and before Linux 6.8 on all but the repository's own.

use sapwood_fsio::{self as fsio, ChangeTimes, Dir, Filesystem, Stat};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A place, told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place([u8; 8]);

impl Place {
    fn new(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()).as_bytes().first_chunk().copied().unwrap_or_default())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) const fn of_test(number: u8) -> Self {
        Self([number; 8])
    }
}

/// What is known of places.
#[derive(Debug)]
pub(crate) struct Places {
    /// The device that holds the repository.
    home: Option<(u64, Place)>,
    /// This run of the machine.
    boot: Option<String>,
    /// Whether change times say something, by mount.
    mounts: Mutex<HashMap<u64, bool>>,
}

impl Places {
    /// Those that what is written to the directory `notes` can be about.
    pub(crate) fn beside(notes: fsio::Result<Dir>) -> Self {
        let home = notes.and_then(|notes| Ok(home(&fsio::stat_dir(&notes)?, fsio::filesystem(&notes)?)));
        let home = home.unwrap_or_else(|error| {
            tracing::debug!(%error, "the stat cache is not asked about files beside the repository");
            None
        });
        Self { home, boot: fsio::boot_id().ok(), mounts: Mutex::default() }
    }

    /// None.
    pub(crate) fn none() -> Self {
        Self { home: None, boot: None, mounts: Mutex::default() }
    }

    /// The mount that holds a directory, if files on it can be recognised.
    pub(crate) fn known_mount(&self, dir: &Dir, stat: &Stat) -> Option<u64> {
        let mount = stat.mount.filter(|_| self.boot.is_some())?;
        let lock = || self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&mount).copied();
        let is_known = known.unwrap_or_else(|| {
            let is_known = fsio::filesystem(dir).is_ok_and(|found| found.change_times.is_some());
            lock().insert(mount, is_known);
            is_known
        });
        is_known.then_some(mount)
    }

    /// The place of a file in a directory that is on `mount`.
    pub(crate) fn of(&self, mount: Option<u64>, stat: &Stat) -> Option<Place> {
        match (&self.home, &self.boot) {
            (Some((dev, place)), _) if *dev == stat.dev => Some(*place),
            // A file can be a mount itself, of a filesystem that nobody looked at.
            (_, Some(boot)) if mount.is_some() && mount == stat.mount => {
                Some(Place::new(&format!("{boot} {mount:?} {}", stat.dev)))
            }
            _ => None,
        }
    }
}

fn home(stat: &Stat, filesystem: Filesystem) -> Option<(u64, Place)> {
    let keeps_times = filesystem.change_times == Some(ChangeTimes::Kernel);
    keeps_times.then(|| (stat.dev, Place::new(&format!("beside the repository {}", filesystem.id))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sapwood_fsio::Kind;

    fn stat(dev: u64, mount: Option<u64>) -> Stat {
        let (mode, uid, gid, size, nlink, ino, rdev, blocks) = (0o644, 0, 0, 4, 1, 2, 0, 8);
        let (mtime_ns, ctime_ns) = (1, 1);
        Stat {
            kind: Kind::File,
            mode,
            uid,
            gid,
            size,
            nlink,
            dev,
            mount,
            ino,
            rdev,
            blocks,
            mtime_ns,
            ctime_ns,
        }
    }

    fn places(boot: Option<&str>, home: Option<(u64, Place)>) -> Places {
        Places { home, boot: boot.map(str::to_owned), mounts: Mutex::default() }
    }

    #[test]
    fn each_mount_in_each_run_of_the_machine_is_a_place_of_its_own() {
        let monday = places(Some("monday"), None);
        let place = monday.of(Some(7), &stat(1, Some(7)));
        assert!(place.is_some());
        assert_eq!(monday.of(Some(7), &stat(1, Some(7))), place);
        assert_ne!(
            monday.of(Some(8), &stat(1, Some(8))),
            place,
            "mounted again, with the same device number"
        );
        assert_ne!(monday.of(Some(7), &stat(2, Some(7))), place, "a subvolume");
        assert_ne!(places(Some("tuesday"), None).of(Some(7), &stat(1, Some(7))), place);
    }

    #[test]
    fn the_filesystem_of_the_repository_is_one_place_by_whatever_mount() {
        let kernel = |id| Filesystem { id, change_times: Some(ChangeTimes::Kernel) };
        let before = places(Some("monday"), home(&stat(1, Some(7)), kernel(5)));
        let place = before.of(Some(7), &stat(1, Some(7)));
        assert!(place.is_some());
        let after = places(None, home(&stat(3, None), kernel(5)));
        assert_eq!(after.of(None, &stat(3, None)), place);
        assert_eq!(after.of(None, &stat(1, None)), None, "another device");
        let other = places(None, home(&stat(3, None), kernel(6)));
        assert_ne!(other.of(None, &stat(3, None)), place, "a copy on another filesystem");
        for change_times in [None, Some(ChangeTimes::Mount)] {
            assert_eq!(home(&stat(1, Some(7)), Filesystem { id: 5, change_times }), None);
        }
    }

    #[test]
    fn there_is_no_place_where_the_mount_is_not_told() {
        let places = places(Some("monday"), None);
        assert_eq!(places.of(None, &stat(1, None)), None, "an older kernel");
        assert_eq!(places.of(None, &stat(1, Some(7))), None, "a filesystem that sets no times");
        assert_eq!(places.of(Some(7), &stat(1, Some(8))), None, "a file that is a mount itself");
        assert_eq!(Places::none().of(Some(7), &stat(1, Some(7))), None);
    }
}
