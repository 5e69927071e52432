//! Staging files: one pass reads, hashes, compresses and writes.
//!
//! A file of up to [`SMALL`] bytes is read whole and hashed before anything is written, so that content which the store
//! has costs no write at all. A larger one is written while it is hashed.

use super::budget::Taken;
use super::staging::finish;
use super::{Transaction, add};
use crate::read::{CHUNK, MAX_TARGET_BYTES, read_error};
use crate::{Digest, Error, FileHeader, FileType, Id, Mode, ObjectId, ObjectKind, ObjectName, kind, layout};
use sapwood_fsio::{self as fsio, At, Dir, Kind, Staged};
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Read, Write};

/// Largest file that is held in memory, in bytes: once for each thread that writes.
const SMALL: u64 = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Transaction<'_> {
    /// Stages a file of `size` bytes: reads `content` once, to its end, hashing and compressing as it goes.
    ///
    /// # Errors
    /// [`Error::Source`] if `content` fails or is not of that size, [`Error::Unsupported`] if the format or mode cannot
    /// hold such a file, [`Error::NoSpace`], [`Error::Io`]: then nothing of it is kept, and the transaction can go on.
    pub fn put_file(
        &self,
        header: &FileHeader,
        size: u64,
        content: &mut (dyn Read + Send),
    ) -> Result<Id<kind::File>, Error> {
        self.stage_file(header, size, content, None)
    }

    /// As [`put_file`](Self::put_file), failing unless the id is `expected`.
    ///
    /// # Errors
    /// As [`put_file`](Self::put_file), and [`Error::Corrupt`].
    pub fn put_file_as(
        &self,
        expected: Id<kind::File>,
        header: &FileHeader,
        size: u64,
        content: &mut (dyn Read + Send),
    ) -> Result<(), Error> {
        self.stage_file(header, size, content, Some(expected)).map(drop)
    }

    fn stage_file(
        &self,
        header: &FileHeader,
        size: u64,
        content: &mut (dyn Read + Send),
        expected: Option<Id<kind::File>>,
    ) -> Result<Id<kind::File>, Error> {
        self.check(header)?;
        add(&self.counts.files_total, 1);
        let mut digest = Digest::new(self.store.format(), ObjectKind::File);
        digest.update(&self.store.format().file_prefix(header));
        if !header.is_regular() {
            let id = named(digest.finish(), expected)?;
            if !self.contains(id.name())? {
                let is_new = self.write_special(header, id.name())?;
                add(&self.counts.files_written, u64::from(is_new));
            }
            return Ok(id);
        }
        if size <= SMALL {
            BUFFER.with_borrow_mut(|buffer| self.put_small(header, size, content, digest, expected, buffer))
        } else {
            self.put_large(header, size, content, digest, expected)
        }
    }

    pub(super) fn check(&self, header: &FileHeader) -> Result<(), Error> {
        let mode = self.store.mode();
        let unsupported = |what: &str| Err(Error::Unsupported { mode: mode.as_str(), what: what.to_owned() });
        if let Err(what) = self.store.format().check_file(header) {
            return unsupported(what);
        }
        if let FileType::Symlink(target) = &header.file_type
            && target.len() as u64 > MAX_TARGET_BYTES
        {
            return unsupported("a link target of more than 4096 bytes");
        }
        if mode == Mode::Bare && !self.store.options().xattrs && !header.xattrs.is_empty() {
            return unsupported("extended attributes, which its configuration disables");
        }
        if mode != Mode::BareUserOnly {
            return Ok(());
        }
        match header.file_type {
            FileType::Regular if header.mode & !0o775 != 0 => unsupported("permission bits outside 0775"),
            FileType::Regular | FileType::Symlink(_) => Ok(()),
            _ => unsupported("device nodes and fifos"),
        }
    }

    fn put_small(
        &self,
        header: &FileHeader,
        size: u64,
        content: &mut (dyn Read + Send),
        mut digest: Digest,
        expected: Option<Id<kind::File>>,
        buffer: &mut Vec<u8>,
    ) -> Result<Id<kind::File>, Error> {
        let buffer = read_small(content, size, buffer).map_err(|e| source_error(e, expected))?;
        if buffer.len() as u64 != size {
            return Err(wrong_size(size, buffer.len() as u64));
        }
        digest.update(buffer);
        let id = named(digest.finish(), expected)?;
        if self.contains(id.name())? {
            return Ok(id);
        }
        let dir = self.staging.content().shard_or_create(layout::shard(id.raw()))?;
        let file = layout::file_name(self.store.mode(), id.name());
        let stored = match self.store.mode() {
            Mode::Archive => Cow::Owned(self.archive(header, buffer).at("compress", &file)?),
            _ => Cow::Borrowed(buffer),
        };
        let taken = self.budget.take(stored.len() as u64 + self.beside(header))?;
        let payload = self.payload_digest(size).map(|mut payload| {
            payload.update(buffer);
            payload.finish()
        });
        let mut staged = Staged::create_named(&dir, self.staging.unfinished())?;
        staged.write_all(&stored).at("write", &file)?;
        if let Some(payload) = payload {
            self.share_payload(payload, id, &staged)?;
        }
        self.dress(header, &staged)?;
        if finish(staged, &dir, &file)? {
            taken.keep();
            self.count_written(size);
        }
        Ok(id)
    }

    /// What attributes take on the disk beside the content, where they are attributes there, too.
    fn beside(&self, header: &FileHeader) -> u64 {
        match self.store.mode() {
            Mode::Archive | Mode::BareUserOnly => 0,
            Mode::Bare | Mode::BareUser | Mode::BareSplitXattrs => {
                header.xattrs.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
            }
        }
    }

    fn archive(&self, header: &FileHeader, content: &[u8]) -> io::Result<Vec<u8>> {
        let format = self.store.format();
        let mut stored = format.encode_archive_header(header, content.len() as u64);
        let mut compressor =
            format.compressor(Box::new(&mut stored), self.store.options().compression_level)?;
        compressor.write_all(content)?;
        compressor.finish()?;
        Ok(stored)
    }

    fn put_large(
        &self,
        header: &FileHeader,
        size: u64,
        content: &mut (dyn Read + Send),
        mut digest: Digest,
        expected: Option<Id<kind::File>>,
    ) -> Result<Id<kind::File>, Error> {
        // Until its id is known it lies in the staging directory itself, on the filesystem of all shards.
        let mut staged = Staged::create_named(self.staging.dir(), self.staging.unfinished())?;
        let format = self.store.format();
        let mut payload = self.payload_digest(size);
        let mut taken = self.budget.take(self.beside(header))?;
        let total = if self.store.mode() == Mode::Archive {
            let mut metered = Metered { to: &mut staged, taken: &mut taken, whole: 0 };
            let header = format.encode_archive_header(header, size);
            metered.write_all(&header).map_err(write_error)?;
            let level = self.store.options().compression_level;
            let mut compressor =
                format.compressor(Box::new(metered), level).at("compress", "a staged file")?;
            let total = pump(content, size, &mut digest, &mut compressor, expected)?;
            compressor.finish().map_err(write_error)?;
            total
        } else {
            let (mut to, mut failed) = (Hashing(payload.as_mut()), None);
            let mut tee = Tee { from: content, to: &mut to, failed: &mut failed };
            if expected.is_some() {
                // What is to be verified only says that it is so large: it takes space as it comes.
                let mut metered = Metered { to: &mut staged, taken: &mut taken, whole: size };
                pump(&mut tee, size, &mut digest, &mut metered, expected)?
            } else {
                taken.grow(size, size)?;
                pump(&mut tee, size, &mut digest, &mut staged, expected)?
            }
        };
        if total != size {
            return Err(wrong_size(size, total));
        }
        let id = named(digest.finish(), expected)?;
        if self.contains(id.name())? {
            return Ok(id);
        }
        if let Some(payload) = payload {
            self.share_payload(payload.finish(), id, &staged)?;
        }
        self.dress(header, &staged)?;
        let dir = self.staging.content().shard_or_create(layout::shard(id.raw()))?;
        if finish(staged, &dir, &layout::file_name(self.store.mode(), id.name()))? {
            taken.keep();
            self.count_written(size);
        }
        Ok(id)
    }

    /// Stages a file as an archive repository of the same format keeps it: decompressed and verified on the way. An
    /// archive store keeps the compressed bytes as they are.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Corrupt`], [`Error::Source`], and as [`put_file`](Self::put_file): then nothing
    /// of it is kept, and the transaction can go on. No more is decompressed than the header promises.
    pub fn put_archived(
        &self,
        expected: Id<kind::File>,
        archived: &mut (dyn Read + Send),
    ) -> Result<(), Error> {
        let name = expected.name();
        let format = self.store.format();
        let header = format.read_archive_header(archived).map_err(Error::Source)?;
        let archive = header.map_err(|source| Error::Malformed { name, source })?;
        let (header, size) = (&archive.header, archive.size);
        if !header.is_regular() {
            let end = archive.check_end(archived).map_err(Error::Source)?;
            end.map_err(|source| Error::Malformed { name, source })?;
            return self.put_file_as(expected, header, 0, &mut io::empty());
        }
        if self.store.mode() != Mode::Archive {
            let mut content = format.archived_content(&archive, Box::new(archived)).map_err(Error::Source)?;
            return self.put_file_as(expected, header, size, &mut content);
        }
        add(&self.counts.files_total, 1);
        self.check(header)?;
        if self.contains(name)? {
            return Ok(());
        }
        let mut taken = self.budget.take(0)?;
        let dir = self.staging.content().shard_or_create(layout::shard(name.id))?;
        let mut staged = Staged::create_named(&dir, self.staging.unfinished())?;
        let mut metered = Metered { to: &mut staged, taken: &mut taken, whole: 0 };
        metered.write_all(&format.encode_archive_header(header, size)).map_err(write_error)?;
        let mut digest = Digest::new(format, ObjectKind::File);
        digest.update(&format.file_prefix(header));
        let mut failed = None;
        let tee = Tee { from: archived, to: &mut metered, failed: &mut failed };
        let total = format
            .archived_content(&archive, Box::new(tee))
            .map_err(Error::Source)
            .and_then(|mut content| pump(&mut content, size, &mut digest, &mut io::sink(), Some(expected)));
        // Then what came is not at fault, whatever the decompressor makes of it.
        failed.map_or(Ok(()), |failed| Err(write_error(failed)))?;
        total?;
        named(digest.finish(), Some(expected))?;
        self.dress(header, &staged)?;
        if finish(staged, &dir, &layout::file_name(self.store.mode(), name))? {
            taken.keep();
            self.count_written(size);
        }
        Ok(())
    }

    pub(super) fn count_written(&self, size: u64) {
        add(&self.counts.files_written, 1);
        add(&self.counts.bytes_written, size);
    }

    /// Owner first, since changing it drops capabilities and setuid bits; the time last.
    fn dress(&self, header: &FileHeader, staged: &Staged) -> Result<(), Error> {
        let file = staged.file();
        match self.store.mode() {
            Mode::Archive => fsio::set_mode(file, 0o644)?,
            Mode::BareUserOnly => fsio::set_mode(file, header.mode)?,
            Mode::BareUser => {
                let format = self.store.format();
                let meta = format.encode_user_meta(header);
                fsio::xattr::set(file, format.user_meta_attribute().as_bytes(), &meta)?;
                let mode = if header.is_regular() { header.mode & 0o775 | 0o400 } else { 0o644 };
                fsio::set_mode(file, mode)?;
            }
            Mode::Bare | Mode::BareSplitXattrs => {
                if self.staging.owner() != (header.uid, header.gid) {
                    fsio::set_owner(file, header.uid, header.gid)?;
                }
                for (attribute, value) in header.xattrs.iter() {
                    fsio::xattr::set(file, attribute, value)?;
                }
                fsio::set_mode(file, header.mode)?;
            }
        }
        if self.store.mode() != Mode::Archive {
            fsio::set_mtime(file, 0)?;
        }
        if self.store.options().per_object_fsync {
            staged.sync()?;
        }
        Ok(())
    }

    fn write_special(&self, header: &FileHeader, name: ObjectName) -> Result<bool, Error> {
        let dir = self.staging.content().shard_or_create(layout::shard(name.id))?;
        let file = layout::file_name(self.store.mode(), name);
        let bytes = match (self.store.mode(), &header.file_type) {
            (Mode::Archive, _) => self.store.format().encode_archive_header(header, 0),
            (Mode::BareUser, FileType::Symlink(target)) => {
                // OSTree keeps the target with its NUL.
                [target.as_bytes(), b"\0"].concat()
            }
            (Mode::BareUser, _) => Vec::new(),
            (Mode::Bare | Mode::BareUserOnly | Mode::BareSplitXattrs, file_type) => {
                let target = if let FileType::Symlink(target) = file_type { target.len() as u64 } else { 0 };
                let taken = self.budget.take(target + self.beside(header))?;
                let is_new = self.write_node(header, &dir, &file)?;
                if is_new {
                    taken.keep();
                }
                return Ok(is_new);
            }
        };
        let taken = self.budget.take(bytes.len() as u64 + self.beside(header))?;
        let mut staged = Staged::create_named(&dir, self.staging.unfinished())?;
        staged.write_all(&bytes).at("write", &file)?;
        self.dress(header, &staged)?;
        let is_new = finish(staged, &dir, &file)?;
        if is_new {
            taken.keep();
        }
        Ok(is_new)
    }

    fn write_node(&self, header: &FileHeader, dir: &Dir, file: &str) -> Result<bool, Error> {
        let new = self.staging.unfinished();
        match &header.file_type {
            FileType::Regular => unreachable!("regular files are written with their content"),
            FileType::Symlink(target) => fsio::symlink(target, dir, &new)?,
            FileType::Fifo => fsio::make_node(dir, &new, Kind::Fifo, header.mode, 0)?,
            FileType::CharDevice(rdev) => fsio::make_node(dir, &new, Kind::CharDevice, header.mode, *rdev)?,
            FileType::BlockDevice(rdev) => fsio::make_node(dir, &new, Kind::BlockDevice, header.mode, *rdev)?,
        }
        let dressed = self.dress_node(header, dir, &new).and_then(|()| {
            match fsio::rename_noreplace(dir, &new, dir, file) {
                Ok(()) => Ok(true),
                Err(e) if e.is_exists() => Ok(false),
                Err(e) => Err(e.into()),
            }
        });
        // After a rename nothing has this name any more; otherwise this is the clean-up.
        let removed = fsio::remove_file_optional(dir, &new);
        let is_new = dressed?;
        removed?;
        Ok(is_new)
    }

    fn dress_node(&self, header: &FileHeader, dir: &Dir, new: &str) -> Result<(), Error> {
        if self.store.mode() == Mode::BareUserOnly {
            return Ok(());
        }
        if self.staging.owner() != (header.uid, header.gid) {
            fsio::set_owner_of(dir, new, header.uid, header.gid)?;
        }
        for (attribute, value) in header.xattrs.iter() {
            fsio::xattr::set_of(dir, new, attribute, value)?;
        }
        if !matches!(header.file_type, FileType::Symlink(_)) {
            fsio::set_mode_of(dir, new, header.mode)?;
        }
        Ok(())
    }
}

/// Takes the space for what is written before it is written.
struct Metered<'a, 'b> {
    to: &'a mut Staged,
    taken: &'a mut Taken<'b>,
    /// How much it will be, where that is known.
    whole: u64,
}

impl Write for Metered<'_, '_> {
    /// Where there is no more space the [`Error`] that says so is in it: see [`write_error`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken.grow(bytes.len() as u64, self.whole).map_err(io::Error::other)?;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Why writing to a staged file failed.
fn write_error(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(refused) => refused,
        Err(source) => fsio::Error { op: "write", path: "a staged file".into(), source }.into(),
    }
}

/// Copies what passes through. Why a copy could not be written is kept apart from why reading failed.
struct Tee<'a, W> {
    from: &'a mut (dyn Read + Send),
    to: &'a mut W,
    failed: &'a mut Option<io::Error>,
}

impl<W: Write> Read for Tee<'_, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        if let Err(error) = self.to.write_all(buf.get(..n).unwrap_or_default()) {
            *self.failed = Some(error);
            return Err(io::Error::other("the copy could not be written"));
        }
        Ok(n)
    }
}

/// The content, or one byte more of it than announced. The buffer only grows, so that it is cleared once.
fn read_small<'b>(content: &mut dyn Read, size: u64, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    let most = usize::try_from(size + 1).map_err(io::Error::other)?;
    if buffer.len() < most {
        buffer.resize(most, 0);
    }
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..most).filter(|rest| !rest.is_empty()) {
        match content.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

/// Hashes what is written, if there is a digest.
struct Hashing<'a>(Option<&'a mut Digest>);

impl Write for Hashing<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(digest) = &mut self.0 {
            digest.update(buf);
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Moves `content` to `to`, hashing it, and returns its size; stops past `size`.
fn pump(
    content: &mut dyn Read,
    size: u64,
    digest: &mut Digest,
    to: &mut dyn Write,
    expected: Option<Id<kind::File>>,
) -> Result<u64, Error> {
    let mut buf = vec![0; CHUNK];
    let mut total = 0_u64;
    while total <= size {
        let n = match content.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(source_error(e, expected)),
        };
        let chunk = buf.get(..n).unwrap_or_default();
        digest.update(chunk);
        to.write_all(chunk).map_err(write_error)?;
        total += n as u64;
    }
    Ok(total)
}

/// The id, if it is the one that was expected.
fn named(actual: ObjectId, expected: Option<Id<kind::File>>) -> Result<Id<kind::File>, Error> {
    match expected {
        Some(expected) if expected.raw() != actual => Err(Error::Corrupt { name: expected.name(), actual }),
        _ => Ok(Id::new(actual)),
    }
}

fn source_error(e: io::Error, expected: Option<Id<kind::File>>) -> Error {
    match expected {
        // An object from elsewhere: bad compressed data and failed verification are the object's fault.
        Some(id) if e.kind() == io::ErrorKind::InvalidData => read_error(e, id.name(), &id.to_hex()),
        _ => Error::Source(e),
    }
}

fn wrong_size(expected: u64, actual: u64) -> Error {
    let more = if actual > expected { "more" } else { "less" };
    Error::Source(io::Error::other(format!("content is {more} than the {expected} bytes announced")))
}
