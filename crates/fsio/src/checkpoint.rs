//! Emptying a filesystem's journal, for those who read the disk without looking into it.

use crate::at::reopen;
use crate::dir::syncfs;
use crate::fault::{On, Op, step};
use crate::{At, Dir, Result};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::ioctl::{NoArg, Opcode, ioctl, opcode};
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

const FREEZE: Opcode = opcode::read_write::<libc::c_int>(b'X', 119);
const THAW: Opcode = opcode::read_write::<libc::c_int>(b'X', 120);

/// How long a filesystem may be frozen: freezing takes as long as its writing does, thawing comes right after.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes durable all that was written to the filesystem that holds `dir`, as [`syncfs`] does, and that in its own place on
/// the disk, not just in the journal: boot loaders read filesystems without replaying their journals.
///
/// The filesystem is frozen for it, so whoever writes there waits for a moment. Should this process be killed in that
/// moment, or stopped, another that it started beforehand thaws it: at once, or after half a minute. Where the caller may not freeze, or the filesystem cannot be
/// frozen, or somebody else has frozen it, it is synced alone.
///
/// # Errors
/// When the disk fails, or no process can be started.
pub fn checkpoint(dir: &Dir) -> Result<()> {
    step(Op::Syncfs, On::Open(dir.as_fd())).at("freeze the filesystem of", ".")?;
    if !rustix::process::geteuid().is_root() {
        return syncfs(dir);
    }
    let open = reopen(dir).at("open", ".")?;
    let guard = Guard::start(open.as_fd(), PATIENCE).at("start what watches over the freezing of", ".")?;
    let frozen = control::<FREEZE>(open.as_fd());
    let thawed = match frozen {
        // Where it is thawed already, the other process lost its patience.
        Ok(()) => control::<THAW>(open.as_fd())
            .or_else(|error| if error == Errno::INVAL { Ok(()) } else { Err(error) }),
        Err(_) => Ok(()),
    };
    if thawed.is_ok() {
        guard.dismiss();
    } else {
        // It tries once more.
        drop(guard);
    }
    match frozen {
        Ok(()) => thawed.map_err(io::Error::from).at("thaw the filesystem of", "."),
        Err(error @ (Errno::IO | Errno::NOSPC)) => {
            Err(io::Error::from(error)).at("freeze the filesystem of", ".")
        }
        Err(_) => syncfs(dir),
    }
}

#[expect(unsafe_code, reason = "this control has no argument, but a number that says so")]
fn control<const CODE: Opcode>(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    // SAFETY: neither freezing nor thawing reads or writes memory of the caller.
    unsafe { ioctl(fd, NoArg::<CODE>::new()) }
}

/// A process that thaws a filesystem when this one ends without having said that it did so itself, or takes too long.
struct Guard {
    process: Pid,
    to: Option<PipeWriter>,
}

impl Guard {
    #[expect(unsafe_code, reason = "another process is to outlive this one, and there may be other threads")]
    fn start(frozen: BorrowedFd<'_>, patience: Duration) -> io::Result<Self> {
        let (from, to) = io::pipe()?;
        // It may not be ended by the signal that ends this one.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // SAFETY: the child calls nothing but system calls, and leaves without running anything of this process's.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            drop(to);
            watch(&from, frozen, patience);
        }
        before.thread_set_mask()?;
        match forked? {
            ForkResult::Parent { child } => Ok(Self { process: child, to: Some(to) }),
            ForkResult::Child => unreachable!("the child has left"),
        }
    }

    /// Has it go without thawing.
    fn dismiss(mut self) {
        if let Some(mut to) = self.to.take() {
            // Where it is gone already, there is nobody to tell.
            drop(to.write_all(b"-"));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = waitpid(self.process, None);
    }
}

/// What the other process does: waits for a word, and thaws where there comes none, again and again while it waits: what
/// is not frozen is not harmed.
#[expect(unsafe_code, reason = "no handler of the process that it was copied from may run")]
fn watch(from: &PipeReader, frozen: BorrowedFd<'_>, patience: Duration) -> ! {
    let patience = Timespec::try_from(patience).ok();
    let mut word = [0_u8];
    let said = loop {
        match poll(&mut [PollFd::new(from, PollFlags::IN)], patience.as_ref()) {
            Ok(0) => {
                let _ = control::<THAW>(frozen);
                continue;
            }
            Err(Errno::INTR) => continue,
            _ => {}
        }
        match rustix::io::read(from, &mut word) {
            Err(Errno::INTR) => {}
            read => break read,
        }
    };
    if said != Ok(1) {
        let _ = control::<THAW>(frozen);
    }
    // SAFETY: it ends this process at once.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn run(program: &str, args: &[&str]) -> Option<String> {
        let output = Command::new(program).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    struct Mounted(String);

    impl Drop for Mounted {
        fn drop(&mut self) {
            run("umount", &[&self.0]);
        }
    }

    fn mounted(at: &Path) -> Option<(String, Mounted)> {
        let (image, dir) = (at.join("image"), at.join("mounted"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
        let (image, dir) = (image.to_str()?.to_owned(), dir.to_str()?.to_owned());
        run("mkfs.xfs", &["-q", &image])?;
        run("mount", &["-o", "loop", &image, &dir])?;
        Some((image, Mounted(dir)))
    }

    /// `xfs_db` reads an image as boot loaders do: as if there were no log.
    #[test]
    fn what_was_written_is_seen_by_who_does_not_read_the_log() {
        let lab = tempfile::tempdir().unwrap();
        let Some((image, mounted)) = mounted(lab.path()) else {
            return eprintln!("skipped: only root mounts images, and mkfs.xfs has to be installed");
        };
        let dir = Dir::from_std_file(std::fs::File::open(&mounted.0).unwrap());
        let is_seen = || run("xfs_db", &["-r", "-c", "ls /", &image]).unwrap().contains("entry");
        crate::replace(&dir, "entry", 0o644, b"new").unwrap();
        syncfs(&dir).unwrap();
        assert!(!is_seen(), "syncing alone is enough: this test shows nothing");
        checkpoint(&dir).unwrap();
        assert!(is_seen());
        // It is thawed: this would wait for ever.
        crate::replace(&dir, "entry", 0o644, b"newer").unwrap();
    }

    #[test]
    fn a_filesystem_that_cannot_be_frozen_is_synced() {
        checkpoint(&Dir::from_std_file(std::fs::File::open("/proc").unwrap())).unwrap();
    }

    #[test]
    fn what_is_left_frozen_is_thawed_when_its_owner_ends_or_stops() {
        let lab = tempfile::tempdir().unwrap();
        let Some((_, mounted)) = mounted(lab.path()) else { return };
        let dir = Dir::from_std_file(std::fs::File::open(&mounted.0).unwrap());
        let guard = Guard::start(dir.as_fd(), PATIENCE).unwrap();
        control::<FREEZE>(dir.as_fd()).unwrap();
        drop(guard);
        crate::replace(&dir, "entry", 0o644, b"written").unwrap();
        // And when it does not end, but does not get on either.
        let guard = Guard::start(dir.as_fd(), Duration::from_millis(50)).unwrap();
        control::<FREEZE>(dir.as_fd()).unwrap();
        crate::replace(&dir, "entry", 0o644, b"written again").unwrap();
        guard.dismiss();
    }
}
