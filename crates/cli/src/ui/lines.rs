//! Lines for a program that follows what this one does, on a descriptor that it gave.

use anyhow::Context as _;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// So many lines wait for a listener; until it reads, more are left out of those that later ones make up for.
const WAITING: usize = 256;
/// At the end a listener that reads gets so long for what waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread writes them, so that a listener who does not read holds nothing up.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` at the end.
    sender: Option<Sender<String>>,
    waiting: Arc<AtomicUsize>,
    /// Hangs up when all is written, or nobody listens any more.
    ended: Receiver<()>,
}

impl Lines {
    /// Opens a descriptor of this process.
    pub(super) fn to(number: u32) -> anyhow::Result<Self> {
        let mut file =
            open(number).with_context(|| format!("--progress-fd {number}: cannot be written to"))?;
        let (sender, lines) = channel::<String>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let (end, ended) = channel::<()>();
        std::thread::spawn(move || {
            let _end = end;
            for line in lines {
                // Whoever listened may have gone: what is told goes on.
                if writeln!(file, "{line}").is_err() {
                    return;
                }
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
        Ok(Self { sender: Some(sender), waiting, ended })
    }

    /// Has a line written; one that later ones make up for only if not too many wait.
    pub(super) fn tell(&self, line: String, is_made_up_for: bool) {
        if is_made_up_for && self.waiting.load(Ordering::Relaxed) >= WAITING {
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Nobody listens any more where it cannot be sent.
        drop(self.sender.as_ref().map(|sender| sender.send(line)));
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
