//! Lines for a program that follows what this one does, on a descriptor that it gave.

use anyhow::Context as _;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::Duration;

/// So many lines wait for a listener; more are left out until it reads.
const WAITING: usize = 256;
/// At the end a listener that reads gets so long for what waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread writes them, so that a listener who does not read holds nothing up.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` at the end.
    sender: Option<SyncSender<String>>,
    /// Hangs up when all is written, or nobody listens any more.
    ended: Receiver<()>,
}

impl Lines {
    /// Opens a descriptor of this process.
    pub(super) fn to(number: u32) -> anyhow::Result<Self> {
        let mut file =
            open(number).with_context(|| format!("--progress-fd {number}: cannot be written to"))?;
        let (sender, lines) = sync_channel::<String>(WAITING);
        let (end, ended) = channel::<()>();
        std::thread::spawn(move || {
            let _end = end;
            for line in lines {
                // Whoever listened may have gone: what is told goes on.
                if writeln!(file, "{line}").is_err() {
                    return;
                }
            }
        });
        Ok(Self { sender: Some(sender), ended })
    }

    /// Has a line written, unless too many wait.
    pub(super) fn tell(&self, line: String) {
        drop(self.sender.as_ref().map(|sender| sender.try_send(line)));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.sender = None;
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("a listener does not read");
        }
    }
}

/// A descriptor that was inherited is known by its number alone.
fn open(number: u32) -> std::io::Result<File> {
    let reopened = File::options().append(true).open(format!("/proc/self/fd/{number}"));
    reopened.or_else(|error| {
        // What cannot be opened by a name, as a socket, can still be duplicated.
        let is_unopenable = error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
        let Some(raw) = i32::try_from(number).ok().filter(|_| is_unopenable) else { return Err(error) };
        let own = pidfd_open(getpid(), PidfdFlags::empty())?;
        Ok(File::from(pidfd_getfd(own, raw, PidfdGetfdFlags::empty())?))
    })
}
