//! Removing a tree: without recursion, without following anything, with a bounded number of open directories.

use crate::at::{OPEN_DIR, locate, open_dir_at, optional, with_temporary_name};
use crate::dir::{Entry, list, rename_names, rmdir, unlink};
use crate::meta::{set_immutable_fd, set_mode_fd, set_mode_path, stat_at};
use crate::mount::is_mount_point;
use crate::{At, Dir, Kind, Result};
use rustix::fs::{Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// How many directories are open at once. What is deeper is first moved up, beside the entries of the top.
const MAX_OPEN: usize = 64;

/// Removes whatever is at `path`, with all below it; nothing there is success.
///
/// Symlinks are removed, never followed. Where removing is refused, the directory is made writable, and its immutable
/// flag is cleared, and it is tried again. Other filesystems mounted in the tree are left alone, which is an error.
/// Depth is not limited. Interrupted, it leaves a part of the tree; calling it again removes that.
///
/// # Errors
/// `EXDEV` if something is mounted in it; or when the disk fails, or a directory may not be written or read.
pub fn remove_tree(dir: &Dir, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    remove(dir, path).at("remove", path)
}

fn remove(dir: &Dir, path: &Path) -> io::Result<()> {
    let Some(place) = optional(locate(dir, path))? else { return Ok(()) };
    let Some(stat) = optional(stat_at(place.fd(), place.name))? else { return Ok(()) };
    let kind = stat.kind;
    if kind == Kind::Dir {
        empty(open_writable(place.dir(), place.name)?)?;
    }
    remove_one(place.dir(), place.name, kind)
}

/// A directory whose content is being removed.
struct Level {
    dir: Dir,
    /// Its name in the level above.
    name: OsString,
    left: Vec<Entry>,
}

/// Removes all that is in `top`.
fn empty(top: Dir) -> io::Result<()> {
    let left = list(top.as_fd())?;
    let mut levels = vec![Level { dir: top, name: OsString::new(), left }];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(()) };
        match level.left.pop() {
            Some(entry) if entry.kind == Kind::Dir => {
                if depth >= MAX_OPEN {
                    move_up(&mut levels, &entry.name)?;
                    continue;
                }
                let dir = open_writable(&level.dir, &entry.name)?;
                let left = list(dir.as_fd())?;
                levels.push(Level { dir, name: entry.name, left });
            }
            Some(entry) => remove_one(&level.dir, &entry.name, entry.kind)?,
            None => {
                let Some(done) = levels.pop() else { return Ok(()) };
                if let Some(above) = levels.last() {
                    remove_one(&above.dir, &done.name, Kind::Dir)?;
                }
            }
        }
    }
}

/// Moves a directory from the deepest level to the top one, which gets it as one more entry to remove.
fn move_up(levels: &mut [Level], name: &OsStr) -> io::Result<()> {
    let [top, .., deepest] = levels else { return Err(Errno::INVAL.into()) };
    // A directory that changes its parent must itself be writable.
    let moved = open_writable(&deepest.dir, name)?;
    let ino = stat_at(moved.as_fd(), OsStr::new(""))?.ino;
    let attempt = || {
        with_temporary_name(|new| {
            rename_names(deepest.dir.as_fd(), name, top.dir.as_fd(), new, RenameFlags::NOREPLACE)
        })
    };
    let (new, ()) = retry(attempt, || {
        unlock(moved.as_fd())?;
        unlock(deepest.dir.as_fd())?;
        unlock(top.dir.as_fd())
    })?;
    top.left.push(Entry { name: new.into(), kind: Kind::Dir, ino });
    Ok(())
}

/// Opens a directory that is not a mount point; gives its owner the right to list it if that is what is missing.
fn open_writable(parent: &Dir, name: &OsStr) -> io::Result<Dir> {
    let open = || match rustix::fs::openat2(parent, name, OPEN_DIR, Mode::empty(), ResolveFlags::NO_XDEV) {
        Ok(fd) => Ok(Dir::from_std_file(fd.into())),
        // An old kernel, or a sandbox that knows no `openat2`.
        Err(Errno::NOSYS | Errno::PERM) => open_without_openat2(parent, name),
        Err(error) => Err(error.into()),
    };
    retry(open, || set_mode_path(parent, Path::new(name), 0o700))
}

/// Where it cannot be told what is a mount point, another filesystem is refused; a bind mount of the same one is not.
fn open_without_openat2(parent: &Dir, name: &OsStr) -> io::Result<Dir> {
    let dir = open_dir_at(parent, name)?;
    let is_other = match is_mount_point(&dir) {
        Ok(is) => is,
        Err(_) => stat_at(dir.as_fd(), OsStr::new(""))?.dev != stat_at(parent.as_fd(), OsStr::new(""))?.dev,
    };
    if is_other { Err(Errno::XDEV.into()) } else { Ok(dir) }
}

fn remove_one(parent: &Dir, name: &OsStr, kind: Kind) -> io::Result<()> {
    let attempt = || {
        let removed = match kind {
            Kind::Dir => rmdir(parent.as_fd(), name),
            _ => unlink(parent.as_fd(), name),
        };
        // Somebody else removed it: that is as good.
        optional(removed).map(|_| ())
    };
    retry(attempt, || {
        unlock(parent.as_fd())?;
        // A file or directory may itself be immutable.
        if matches!(kind, Kind::Dir | Kind::File) {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::openat(parent, name, flags, Mode::empty()) {
                set_immutable_fd(file.as_fd(), false)?;
            }
        }
        Ok(())
    })
}

/// Makes an open directory writable. `fd` must be open for reading; if it is not, only the mode is changed.
fn unlock(dir: BorrowedFd<'_>) -> io::Result<()> {
    match set_immutable_fd(dir, false) {
        Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => {
            if let Ok(again) = crate::at::reopen(dir) {
                set_immutable_fd(again.as_fd(), false)?;
            }
        }
        other => {
            other?;
        }
    }
    let mode = stat_at(dir, OsStr::new(""))?.mode;
    if mode & 0o700 == 0o700 { Ok(()) } else { set_mode_fd(dir, mode | 0o700) }
}

/// Runs `attempt`; if it is refused, `repair`, and `attempt` again. The first refusal is what is reported.
fn retry<T>(attempt: impl Fn() -> io::Result<T>, repair: impl FnOnce() -> io::Result<()>) -> io::Result<T> {
    match attempt() {
        Err(refused) if refused.kind() == io::ErrorKind::PermissionDenied => match repair() {
            Ok(()) => attempt(),
            Err(_) => Err(refused),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_not_opened_whatever_the_system_can_tell() {
        let root = Dir::from_std_file(std::fs::File::open("/").unwrap());
        let refused = open_without_openat2(&root, OsStr::new("proc")).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::XDEV.raw_os_error()));
        let temporary = tempfile::tempdir().unwrap();
        std::fs::create_dir(temporary.path().join("plain")).unwrap();
        let parent = Dir::from_std_file(std::fs::File::open(temporary.path()).unwrap());
        assert!(open_without_openat2(&parent, OsStr::new("plain")).is_ok());
    }
}
