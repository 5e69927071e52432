//! Reading files out of the store, verified.

use crate::{
    ArchiveHeader, Commit, DecodeError, Digest, DirMeta, DirTree, Error, FileHeader, FileType, Format, Id,
    MetaObject, Mode, NameError, ObjectKind, ObjectName, Store, Verdict, VerifyReader, Xattrs, kind, layout,
};
use sapwood_fsio::{self as fsio, At, Dir, Kind, Stat};
use std::fs::File;
use std::io::{self, BufReader, Read};

/// Longest symlink target accepted, in bytes: what Linux allows.
pub(crate) const MAX_TARGET_BYTES: u64 = 4096;
/// How much is read at once.
pub(crate) const CHUNK: usize = 128 << 10;

/// A file object opened for reading.
#[derive(Debug)]
pub struct FileObject {
    /// All but the content.
    pub header: FileHeader,
    /// Size of the content in bytes, as the store says; [`FileReader`] holds it to that.
    pub size: u64,
    /// The content.
    pub content: FileReader,
}

/// The content of a file object. Reading it to the end verifies header and content against the id.
pub struct FileReader {
    inner: VerifyReader<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").finish_non_exhaustive()
    }
}

impl Read for FileReader {
    /// At the end: [`io::ErrorKind::InvalidData`] holding [`crate::Error::Corrupt`] if it hashes to something else, or
    /// [`crate::DecodeError`] if an archive's header says another size.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }
}

/// A file as it lies in a store, before its content is looked at.
pub(crate) struct RawFile {
    pub(crate) header: FileHeader,
    /// Size of the content before compression.
    pub(crate) size: u64,
    /// Where in the file the content begins.
    pub(crate) content_at: usize,
    /// The content as stored; nothing where there is none.
    pub(crate) content: Option<File>,
}

impl Store {
    /// Opens a file object: its header now, its content through a reader that verifies at its end.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Malformed`], [`Error::Io`].
    pub fn open_file(&self, id: Id<kind::File>) -> Result<FileObject, Error> {
        let (store, raw) = self.locate(id)?;
        store.reader(id, raw)
    }

    /// Opens the content of a regular file for reading at any place, where what is made of it is verified anyway.
    ///
    /// Content that is compressed is first written to a file without a name in `scratch`, and verified; other content is
    /// **not** verified.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Malformed`] if it is no regular file, [`Error::Source`] if it is corrupt,
    /// [`Error::Io`].
    pub fn open_content(&self, id: Id<kind::File>, scratch: &Dir) -> Result<File, Error> {
        let (store, raw) = self.locate(id)?;
        match &raw.content {
            None => return Err(malformed(id.name(), "not a regular file")),
            Some(file) if store.mode() != Mode::Archive => {
                return file.try_clone().at("open", id.to_hex()).map_err(Error::from);
            }
            Some(_) => {}
        }
        let mut object = store.reader(id, raw)?;
        let mut staged = fsio::Staged::create(scratch)?;
        io::copy(&mut object.content, &mut staged).map_err(Error::Source)?;
        // Dropping it takes the name away.
        Ok(staged.file().try_clone().at("open", id.to_hex())?)
    }

    /// Opens the content of a file that was located in this store.
    pub(crate) fn reader(&self, id: Id<kind::File>, raw: RawFile) -> Result<FileObject, Error> {
        let RawFile { header, size, content_at, content } = raw;
        let mut digest = Digest::new(self.format(), ObjectKind::File);
        digest.update(&self.format().file_prefix(&header));
        let archive = ArchiveHeader { header, size, encoded_len: content_at };
        let content: Box<dyn Read + Send> = match content {
            None => Box::new(io::empty()),
            Some(file) if self.mode() == Mode::Archive => {
                let stored = Box::new(BufReader::with_capacity(CHUNK, file));
                self.format().archived_content(&archive, stored).at("decompress", id.to_hex())?
            }
            // One byte more than it had, so that content which has grown cannot hash right.
            Some(file) => Box::new(file.take(size.saturating_add(1))),
        };
        let inner = VerifyReader::new(content, digest, id.raw());
        Ok(FileObject { header: archive.header, size, content: FileReader { inner } })
    }

    /// The store that has the file (this or a parent), and the file.
    pub(crate) fn locate(&self, id: Id<kind::File>) -> Result<(&Store, RawFile), Error> {
        let mut store = Some(self);
        while let Some(here) = store {
            if let Some(dir) = here.shard(layout::shard(id.raw()))?
                && let Some(raw) =
                    here.open_raw(&dir, &layout::file_name(here.mode(), id.name()), id.name())?
            {
                return Ok((here, raw));
            }
            store = here.parent();
        }
        Err(Error::Missing { name: id.name() })
    }

    /// Reads header and size of the file stored as `file` in `dir`, which should be `name`.
    pub(crate) fn open_raw(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<Option<RawFile>, Error> {
        let Some(stat) = fsio::stat_optional(dir, file)? else { return Ok(None) };
        match self.mode() {
            Mode::Bare | Mode::BareUserOnly | Mode::BareSplitXattrs => {
                self.open_inode(dir, file, name, &stat)
            }
            Mode::BareUser => self.open_user(dir, file, name),
            Mode::Archive => self.open_archived(dir, file, name),
        }
        .map(Some)
    }

    fn open_inode(&self, dir: &Dir, file: &str, name: ObjectName, stat: &Stat) -> Result<RawFile, Error> {
        let mut content = None;
        let file_type = match stat.kind {
            Kind::File => {
                content = Some(fsio::open_file(dir, file)?);
                FileType::Regular
            }
            Kind::Symlink => FileType::Symlink(utf8(fsio::read_link(dir, file)?, name)?),
            Kind::Fifo => FileType::Fifo,
            Kind::CharDevice => FileType::CharDevice(stat.rdev),
            Kind::BlockDevice => FileType::BlockDevice(stat.rdev),
            Kind::Dir | Kind::Socket => return Err(malformed(name, "neither a file nor a link")),
        };
        let mode = if matches!(file_type, FileType::Symlink(_)) { 0o777 } else { stat.mode };
        let header = if self.mode() == Mode::BareUserOnly {
            FileHeader { uid: 0, gid: 0, mode, file_type, xattrs: Xattrs::default() }
        } else {
            let list = match &content {
                _ if !self.options().xattrs || self.mode() == Mode::BareSplitXattrs => Vec::new(),
                Some(file) => fsio::xattr::list(file)?,
                None => fsio::xattr::list_of(dir, file)?,
            };
            let xattrs = if self.mode() == Mode::BareSplitXattrs {
                self.split_xattrs(dir, file, name)?
            } else {
                Xattrs::new(list).map_err(|_invalid| malformed(name, "attributes"))?
            };
            FileHeader { uid: stat.uid, gid: stat.gid, mode, file_type, xattrs }
        };
        let size = if content.is_some() { stat.size } else { 0 };
        Ok(RawFile { header, size, content_at: 0, content })
    }

    /// The attributes of a file that lie beside it.
    fn split_xattrs(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<Xattrs, Error> {
        let beside = format!("{file}{}", layout::SPLIT_XATTRS_SUFFIX);
        let Some(bytes) = fsio::read_optional(dir, beside, Format::MAX_META_BYTES)? else {
            return Err(malformed(name, "no attributes beside it"));
        };
        self.format().decode_split_xattrs(&bytes).map_err(|source| Error::Malformed { name, source })
    }

    fn open_user(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<RawFile, Error> {
        let content = fsio::open_file(dir, file)?;
        let attribute = self.format().user_meta_attribute();
        let Some(meta) = fsio::xattr::get(&content, attribute.as_bytes())? else {
            return Err(malformed(name, "no attribute with owner and mode"));
        };
        let mut header =
            self.format().decode_user_meta(&meta).map_err(|source| Error::Malformed { name, source })?;
        let size = fsio::stat_open(&content)?.size;
        if let FileType::Symlink(target) = &mut header.file_type {
            let mut bytes = Vec::new();
            (&content).take(MAX_TARGET_BYTES + 1).read_to_end(&mut bytes).at("read", file)?;
            if bytes.pop() != Some(0) {
                return Err(malformed(name, "link target without its NUL"));
            }
            if bytes.is_empty() || bytes.contains(&0) {
                return Err(malformed(name, "link target is empty or holds a NUL byte"));
            }
            *target = utf8(bytes, name)?;
        }
        if header.is_regular() {
            Ok(RawFile { header, size, content_at: 0, content: Some(content) })
        } else {
            Ok(RawFile { header, size: 0, content_at: 0, content: None })
        }
    }

    fn open_archived(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<RawFile, Error> {
        let mut stored = fsio::open_file(dir, file)?;
        let archived = self.format().read_archive_header(&mut stored).at("read", file)?;
        let malformed = |source| Error::Malformed { name, source };
        let archived = archived.map_err(malformed)?;
        if !archived.header.is_regular() {
            archived.check_end(&mut stored).at("read", file)?.map_err(malformed)?;
        }
        let content = archived.header.is_regular().then_some(stored);
        let ArchiveHeader { header, size, encoded_len: content_at } = archived;
        Ok(RawFile { header, size, content_at, content })
    }

    /// Size of the content of a file before any compression, without reading it.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn content_size(&self, id: Id<kind::File>) -> Result<u64, Error> {
        let name = id.name();
        if let Some(dir) = self.shard(layout::shard(name.id))?
            && let Some(size) = self.content_size_at(&dir, &layout::file_name(self.mode(), name), name)?
        {
            return Ok(size);
        }
        self.parent().map_or(Err(Error::Missing { name }), |parent| parent.content_size(id))
    }

    /// That of the file stored as `file` in `dir`, which should be `name`; `None` if it is not there.
    pub(crate) fn content_size_at(
        &self,
        dir: &Dir,
        file: &str,
        name: ObjectName,
    ) -> Result<Option<u64>, Error> {
        if self.mode() == Mode::Archive {
            return Ok(self.open_raw(dir, file, name)?.map(|raw| raw.size));
        }
        let Some(stat) = fsio::stat_optional(dir, file)? else { return Ok(None) };
        // Links and nodes of bare-user stores are files, too.
        let is_content = stat.kind == Kind::File
            && (self.mode() != Mode::BareUser || self.is_regular(dir, file, &stat)?);
        Ok(Some(if is_content { stat.size } else { 0 }))
    }

    /// Reads an object whole and checks that it hashes to its name. Parents are not looked into.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; that it is not as it should be is a [`Verdict`].
    pub fn verify(&self, name: ObjectName) -> Result<Verdict, Error> {
        let Some(dir) = self.shard(layout::shard(name.id))? else { return Ok(Verdict::Missing) };
        self.verify_at(&dir, &layout::file_name(self.mode(), name), name)
    }

    /// As [`verify`](Self::verify), for an object that lies as `file` in `dir`.
    pub(crate) fn verify_at(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<Verdict, Error> {
        let outcome = if name.kind == ObjectKind::File {
            self.verify_file(dir, file, name)
        } else {
            self.verify_meta(dir, file, name)
        };
        match outcome {
            Ok(()) => Ok(Verdict::Good),
            Err(Error::Missing { .. }) => Ok(Verdict::Missing),
            Err(Error::Corrupt { actual, .. }) => Ok(Verdict::Corrupt(actual)),
            Err(Error::Malformed { source, .. }) => Ok(Verdict::Malformed(source)),
            Err(Error::SlashInName { .. }) => {
                Ok(Verdict::Malformed(DecodeError { offset: 0, what: NameError::Slash.what() }))
            }
            // A link or directory where a file should be, and a file past the limits.
            Err(Error::Io(e)) if is_malformation(&e.source) => Ok(Verdict::Unreadable),
            Err(e) => Err(e),
        }
    }

    fn verify_meta(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<(), Error> {
        let bytes = fsio::read_optional(dir, file, Format::MAX_META_BYTES)?.ok_or(Error::Missing { name })?;
        let actual = self.format().id_of(name.kind, &bytes);
        if actual != name.id {
            return Err(Error::Corrupt { name, actual });
        }
        check_meta(self.format(), name.kind, &bytes).map_err(|source| Error::malformed(name, &bytes, source))
    }

    fn verify_file(&self, dir: &Dir, file: &str, name: ObjectName) -> Result<(), Error> {
        let raw = self.open_raw(dir, file, name)?.ok_or(Error::Missing { name })?;
        let mut object = self.reader(Id::new(name.id), raw)?;
        let mut buf = vec![0; CHUNK];
        while object.content.read(&mut buf).map_err(|e| read_error(e, name, file))? > 0 {}
        Ok(())
    }
}

/// What a failed read of an object's content means: the [`Error`] a [`VerifyReader`] put in, bad compressed data, or I/O.
pub(crate) fn read_error(e: io::Error, name: ObjectName, file: &str) -> Error {
    if is_malformation(&e) {
        return match e.downcast::<Error>().map_err(io::Error::downcast::<DecodeError>) {
            Ok(inner) => inner,
            Err(Ok(source)) => Error::Malformed { name, source },
            Err(Err(_other)) => malformed(name, "compressed content cannot be decompressed"),
        };
    }
    fsio::Error { op: "read", path: file.into(), source: e }.into()
}

/// Whether `bytes` are a valid metadata object of that kind.
pub(crate) fn check_meta(format: Format, kind: ObjectKind, bytes: &[u8]) -> Result<(), DecodeError> {
    match kind {
        ObjectKind::Commit => Commit::decode(format, bytes).map(drop),
        ObjectKind::DirTree => DirTree::decode(format, bytes).map(drop),
        ObjectKind::DirMeta => DirMeta::decode(format, bytes).map(drop),
        ObjectKind::File => Err(DecodeError { offset: 0, what: "a file is not a metadata object" }),
    }
}

fn is_malformation(e: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, IsADirectory, UnexpectedEof};
    matches!(e.kind(), FileTooLarge | InvalidData | InvalidInput | IsADirectory | UnexpectedEof)
        || e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

pub(crate) fn malformed(name: ObjectName, what: &'static str) -> Error {
    Error::Malformed { name, source: crate::DecodeError { offset: 0, what } }
}

fn utf8(bytes: Vec<u8>, name: ObjectName) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_invalid| malformed(name, "link target is not UTF-8"))
}
