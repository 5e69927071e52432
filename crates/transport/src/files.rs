//! Reading the public files of a repository directory, for the local remote and the server.
//!
//! Nothing outside the directory is ever opened: paths are resolved inside it, names that are not a repository's public
//! ones are not there, and symlinks count only below `refs`, where OSTree keeps aliases, and only if they stay inside.

use crate::wire;
use bytes::{Bytes, BytesMut};
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use sapwood_fsio::{At, Dir, Error, Kind, Stat};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// So much is read at once.
pub(crate) const FRAME_BYTES: u64 = 256 << 10;
/// Files up to this size are read where they are asked for: handing them to another thread would take longer.
const INLINE_BYTES: u64 = 64 << 10;
/// Longest path answered.
const MAX_PATH_BYTES: usize = 1024;

/// An open public file.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) file: File,
    pub(crate) stat: Stat,
}

impl Public {
    /// A strong entity tag: the same as long as the file is.
    pub(crate) fn tag(&self) -> String {
        format!("\"{:x}-{:x}-{:x}\"", self.stat.ino, self.stat.mtime_ns, self.stat.size)
    }
}

/// Opens the public file at `path`; `None` if there is none.
pub(crate) fn open(dir: &Dir, path: &str) -> Result<Option<Public>, Error> {
    if !is_public(path) {
        return Ok(None);
    }
    let opened =
        if path.split('/').next() == Some(wire::REFS) { through_links(dir, path) } else { plain(dir, path) };
    let file = match opened {
        Ok(file) => file,
        Err(error) if is_absence(&error.source) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = sapwood_fsio::stat_open(&file)?;
    Ok((stat.kind == Kind::File).then_some(Public { file, stat }))
}

fn plain(dir: &Dir, path: &str) -> Result<File, Error> {
    sapwood_fsio::open_file(dir, path)
}

/// As an alias of a ref is a symlink to another.
fn through_links(dir: &Dir, path: &str) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    dir.open_with(path, &options).map(cap_std::fs::File::into_std).at("open", path)
}

/// What a client is told is not there, whatever the reason.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    use rustix::io::Errno;
    let kinds =
        [Kind::NotFound, Kind::PermissionDenied, Kind::NotADirectory, Kind::IsADirectory, Kind::InvalidInput];
    let numbers = [Errno::LOOP, Errno::INVAL, Errno::NXIO, Errno::XDEV, Errno::NAMETOOLONG, Errno::NODEV];
    kinds.contains(&error.kind())
        || numbers.iter().any(|number| error.raw_os_error() == Some(number.raw_os_error()))
}

fn is_public(path: &str) -> bool {
    let mut parts = path.split('/');
    path.len() <= MAX_PATH_BYTES
        && parts.next().is_some_and(|first| wire::PUBLIC.contains(&first))
        && parts.all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\0'))
}

/// A part of a file: read at once if it is small, else piece by piece.
#[derive(Debug)]
pub(crate) enum Part {
    Whole(Option<Bytes>),
    Pieces(Pieces),
}

impl Part {
    /// `len` bytes from `start` on; fewer if the file ends before.
    pub(crate) fn open(public: Public, start: u64, len: u64) -> Result<Self, Error> {
        Ok(if len <= INLINE_BYTES {
            Self::Whole(Some(read(&public, start, len)?))
        } else {
            Self::Pieces(Pieces::new(public, start, len))
        })
    }

    /// The next piece, of `most_bytes` if that is less than usual and reading it begins now; `None` after the last. It is
    /// empty if the file ends before.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        most_bytes: u64,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Pieces(pieces) => pieces.poll_next(cx, most_bytes),
        }
    }
}

/// Reads `len` bytes from `start` on, at once; fewer if the file ends before.
fn read(public: &Public, start: u64, len: u64) -> Result<Bytes, Error> {
    let mut file = &public.file;
    let mut bytes = Vec::with_capacity(usize::try_from(len.min(INLINE_BYTES)).unwrap_or(0));
    let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.take(len).read_to_end(&mut bytes));
    read.at("read", ".")?;
    Ok(bytes.into())
}

/// A part of a file, in pieces. Each is read when it is asked for; no thread and no memory is held in between.
#[derive(Debug)]
pub(crate) struct Pieces {
    file: Arc<File>,
    at: u64,
    left: u64,
    next_bytes: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Pieces {
    fn new(public: Public, start: u64, len: u64) -> Self {
        Self { file: Arc::new(public.file), at: start, left: len, next_bytes: INLINE_BYTES, reading: None }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, most_bytes: u64) -> Poll<Option<Result<Bytes, Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let reading = self.reading.get_or_insert_with(|| {
            let (file, at, len) =
                (Arc::clone(&self.file), self.at, self.left.min(self.next_bytes).min(most_bytes));
            tokio::task::spawn_blocking(move || piece(&file, at, len))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let read = read.map_err(io::Error::other).flatten().at("read", ".");
        // Who asks for little has no use for much of it in memory.
        self.next_bytes = FRAME_BYTES;
        self.left = match &read {
            Ok(bytes) if !bytes.is_empty() => self.left.saturating_sub(bytes.len() as u64),
            Ok(_) | Err(_) => 0,
        };
        self.at += read.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(Some(read))
    }
}

fn piece(file: &File, at: u64, len: u64) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(usize::try_from(len).unwrap_or(0));
    let read = loop {
        match file.read_at(&mut bytes, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    bytes.truncate(read);
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_names_and_ways_out_are_not_public() {
        for public in
            ["config", "summary.sig", "refs/heads/a/b", "objects/ab/c.filez", "deltas/xx/superblock"]
        {
            assert!(is_public(public), "{public}");
        }
        for private in [
            "",
            ".lock",
            "tmp/x",
            "state/x.commitpartial",
            "/config",
            "refs/../config",
            "refs//heads",
            "refs/heads/",
            "objects/./x",
            "a.trustedkeys.gpg",
            "refs/heads/.hidden",
            "refs/heads/a\0",
        ] {
            assert!(!is_public(private), "{private:?}");
        }
    }
}
