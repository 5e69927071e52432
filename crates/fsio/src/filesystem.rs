//! What a filesystem is to whoever remembers its files.

use crate::{At, Dir, Result};
use std::io::{self, Read as _};

/// Who sets the change times of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeTimes {
    /// The kernel, by its clock, whenever a file changes; and they stay with the filesystem.
    Kernel,
    /// The kernel while it is mounted; what is mounted, an image or the layers of an overlay, brings times of its own.
    Mount,
}

/// A filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filesystem {
    /// The number that it says it has, which two filesystems can share and which may change when it is mounted again.
    pub id: u64,
    /// `None` where a server or a program sets them, or where nothing is known of it.
    pub change_times: Option<ChangeTimes>,
}

/// The filesystem that holds `dir`.
///
/// # Errors
/// When the system cannot tell.
pub fn filesystem(dir: &Dir) -> Result<Filesystem> {
    let look = || -> io::Result<Filesystem> {
        let magic = u32::try_from(rustix::fs::fstatfs(dir)?.f_type & 0xffff_ffff);
        // The magic numbers are the kernel's, `linux/magic.h` and the filesystems' own headers.
        let change_times = match magic {
            // ext2 to ext4, xfs, btrfs, f2fs, bcachefs, ZFS, tmpfs
            Ok(
                0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010 | 0xca45_1a4e | 0x2fc1_2fc1 | 0x0102_1994,
            ) => Some(ChangeTimes::Kernel),
            // overlay, squashfs, erofs, iso9660
            Ok(0x794c_7630 | 0x7371_7368 | 0xe0f5_e1e2 | 0x9660) => Some(ChangeTimes::Mount),
            _ => None,
        };
        Ok(Filesystem { id: rustix::fs::fstatvfs(dir)?.f_fsid, change_times })
    };
    look().at("find out the filesystem of", ".")
}

/// What the kernel calls the time since it was started; another each time.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let mut text = String::new();
    let read = std::fs::File::open(PATH).and_then(|file| file.take(64).read_to_string(&mut text));
    read.at("read", PATH)?;
    Ok(text.trim().to_owned())
}
