//! Disks that remember all that was written to them, in order.
//!
//! A disk is a file here, served by the NBD protocol (`proto.md` of the NBD project); `qemu-storage-daemon` makes a file of it
//! again, by FUSE, over which a loop device can be laid. So every write, discard and flush that a filesystem sends to its
//! disk comes by, whatever the kernel of this machine has.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::sh;

/// What a disk was told, or something that happened outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// To write these bytes at this place.
    Write { disk: usize, at: u64, bytes: Vec<u8>, durable: bool },
    /// That a range is not needed any more.
    Discard { disk: usize, at: u64, len: u64 },
    /// To make durable whatever it was told before.
    Flush { disk: usize },
    /// A step of the work returned.
    Passed(&'static str),
}

type Events = Arc<Mutex<Vec<Event>>>;

/// Disks that are being recorded.
#[derive(Debug)]
pub(crate) struct Recorder {
    events: Events,
    devices: Vec<PathBuf>,
    daemon: Option<Child>,
}

impl Recorder {
    /// Records what is written to these images, which it changes. What it needs itself is in `folder`.
    pub(crate) fn start(folder: &Path, images: &[PathBuf]) -> Result<Self> {
        let events = Events::default();
        let mut daemon = Command::new("qemu-storage-daemon");
        let mut devices = Vec::new();
        for (disk, image) in images.iter().enumerate() {
            let socket = folder.join(format!("socket-{disk}"));
            let device = folder.join(format!("device-{disk}"));
            std::fs::File::create(&device)?;
            let listener = UnixListener::bind(&socket)?;
            let image = std::fs::File::options().read(true).write(true).open(image)?;
            let mut server = Server { disk, image, events: Arc::clone(&events) };
            std::thread::spawn(move || {
                // A connection that ends is the end; what failed before it, the filesystem reports.
                if let Ok((mut client, _)) = listener.accept()
                    && let Err(error) = server.serve(&mut client)
                {
                    eprintln!("warning: recording disk {disk}: {error:#}");
                }
            });
            let (socket, device_name) = (socket.display(), device.display());
            daemon.arg("--blockdev").arg(format!(
                "driver=nbd,node-name=disk{disk},server.type=unix,server.path={socket},export=disk,discard=unmap"
            ));
            daemon.arg("--export").arg(format!(
                "type=fuse,id=export{disk},node-name=disk{disk},mountpoint={device_name},writable=on"
            ));
            devices.push(device);
        }
        let daemon = daemon.stdin(Stdio::null()).spawn().context("cannot run qemu-storage-daemon")?;
        let mut recorder = Self { events, devices, daemon: Some(daemon) };
        recorder.wait()?;
        Ok(recorder)
    }

    fn wait(&mut self) -> Result<()> {
        for _ in 0..200 {
            if self.devices.iter().all(|device| device.metadata().is_ok_and(|found| found.len() > 0)) {
                return Ok(());
            }
            if let Some(status) = self.daemon.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("qemu-storage-daemon failed ({status})");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("qemu-storage-daemon makes no file of the recorded disk")
    }

    /// What can be mounted as the disk with this number.
    pub(crate) fn device(&self, disk: usize) -> Option<&Path> {
        self.devices.get(disk).map(PathBuf::as_path)
    }

    /// Notes that a step of the work has returned: what it promised, later cuts must find.
    pub(crate) fn passed(&self, step: &'static str) {
        record(&self.events, Event::Passed(step));
    }

    /// Ends the recording. Nothing may be mounted any more.
    pub(crate) fn finish(mut self) -> Vec<Event> {
        self.stop();
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        // It unmounts what it mounted.
        let ended = Pid::from_raw(daemon.id().try_into().unwrap_or(0));
        if ended.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
            drop(daemon.kill());
        }
        let _ended = daemon.wait();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
    }
}

fn record(events: &Events, event: Event) {
    events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
}

/// One disk's side of the NBD protocol.
struct Server {
    disk: usize,
    image: std::fs::File,
    events: Events,
}

/// The longest request taken: more than any client sends.
const MAX_REQUEST_BYTES: u32 = 64 << 20;

// Numbers of the protocol.
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const FIXED_NEWSTYLE: u16 = 1;
const OPT_ABORT: u32 = 2;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUPPORTED: u32 = 0x8000_0001;
/// Has flags; takes flushes, forced unit access, trims, and writing of zeros.
const TRANSMISSION_FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6;
const FLAG_FUA: u16 = 1;
const EINVAL: u32 = 22;

impl Server {
    fn serve(&mut self, client: &mut UnixStream) -> Result<()> {
        client.write_all(b"NBDMAGIC")?;
        client.write_all(&OPTION_MAGIC.to_be_bytes())?;
        client.write_all(&FIXED_NEWSTYLE.to_be_bytes())?;
        let _flags = take::<4>(client)?;
        while !self.negotiated(client)? {}
        while self.answer(client)? {}
        Ok(())
    }

    /// Answers one option; whether that was the last.
    fn negotiated(&self, client: &mut UnixStream) -> Result<bool> {
        ensure!(u64::from_be_bytes(take(client)?) == OPTION_MAGIC, "no option");
        let option = u32::from_be_bytes(take(client)?);
        let length = u32::from_be_bytes(take(client)?);
        ensure!(length <= MAX_REQUEST_BYTES, "an option of {length} bytes");
        let mut data = vec![0; usize::try_from(length)?];
        client.read_exact(&mut data)?;
        let mut reply = |kind: u32, data: &[u8]| -> Result<()> {
            let mut bytes = OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
            for number in [option, kind, u32::try_from(data.len())?] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.extend(data);
            Ok(client.write_all(&bytes)?)
        };
        match option {
            OPT_GO => {
                // Kind 0 of information: the size, and what the export can do.
                let mut info = 0_u16.to_be_bytes().to_vec();
                info.extend(self.image.metadata()?.len().to_be_bytes());
                info.extend(TRANSMISSION_FLAGS.to_be_bytes());
                reply(REP_INFO, &info)?;
                reply(REP_ACK, &[])?;
                Ok(true)
            }
            OPT_ABORT => bail!("the client wants none of it"),
            _ => reply(REP_ERR_UNSUPPORTED, &[]).map(|()| false),
        }
    }

    /// Does what one request says; whether there may be another.
    fn answer(&self, client: &mut UnixStream) -> Result<bool> {
        let magic = match take::<4>(client) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            magic => u32::from_be_bytes(magic?),
        };
        ensure!(magic == REQUEST_MAGIC, "no request");
        let flags = u16::from_be_bytes(take(client)?);
        let kind = u16::from_be_bytes(take(client)?);
        let cookie: [u8; 8] = take(client)?;
        let at = u64::from_be_bytes(take(client)?);
        let len = u32::from_be_bytes(take(client)?);
        let disk = self.disk;
        let mut read = Vec::new();
        let mut error = 0;
        match kind {
            0 => {
                ensure!(len <= MAX_REQUEST_BYTES, "a request of {len} bytes");
                read.resize(usize::try_from(len)?, 0);
                self.image.read_exact_at(&mut read, at)?;
            }
            1 => {
                ensure!(len <= MAX_REQUEST_BYTES, "a request of {len} bytes");
                let mut bytes = vec![0; usize::try_from(len)?];
                client.read_exact(&mut bytes)?;
                self.image.write_all_at(&bytes, at)?;
                record(&self.events, Event::Write { disk, at, bytes, durable: flags & FLAG_FUA != 0 });
            }
            2 => return Ok(false),
            3 => record(&self.events, Event::Flush { disk }),
            4 | 6 => {
                zero(&self.image, at, u64::from(len))?;
                record(&self.events, Event::Discard { disk, at, len: u64::from(len) });
            }
            _ => error = EINVAL,
        }
        let mut reply = REPLY_MAGIC.to_be_bytes().to_vec();
        reply.extend(u32::to_be_bytes(error));
        reply.extend(cookie);
        reply.extend(read);
        client.write_all(&reply)?;
        Ok(true)
    }
}

fn take<const N: usize>(client: &mut UnixStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Makes a range of the file a hole.
pub(crate) fn zero(file: &std::fs::File, at: u64, len: u64) -> Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, at, len).context("punching a hole")
}

/// Copies an image, holes as holes.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    sh::output(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to)).map(drop)
}
