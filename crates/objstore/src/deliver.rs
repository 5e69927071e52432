//! Bringing files out of the store: a second name where store and destination agree, else shared extents, else a copy.

use crate::read::{CHUNK, RawFile, read_error};
use crate::{Delivered, Error, FileHeader, FileObject, FileType, Id, LinkPolicy, Mode, Store, kind, layout};
use sapwood_fsio::{self as fsio, At, Dir, Kind};
use std::io::{self, Read, Write};
use std::path::Path;

/// What a delivered file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// With owner, mode and attributes.
    Committed,
    /// The user's own, without attributes and without setuid and setgid bits.
    User,
}

impl Store {
    /// Puts a file object into the directory `to` as `name` with owner, mode and attributes.
    ///
    /// Content is hardlinked or reflinked without being read; a copy is verified against the id as it is made. Nothing
    /// is synced.
    ///
    /// # Errors
    /// [`Error::Io`] with `EEXIST` if the name is taken, [`Error::Missing`], [`Error::Corrupt`] (then the copy is gone),
    /// [`Error::NoLink`] where a link is required and this store cannot give one.
    pub fn deliver(
        &self,
        id: Id<kind::File>,
        to: &Dir,
        name: &Path,
        policy: LinkPolicy,
    ) -> Result<Delivered, Error> {
        self.deliver_as(As::Committed, id, to, name, policy)
    }

    /// As [`deliver`](Self::deliver), but as the user who runs the program: owner and attributes are left out, and devices
    /// are not made, to which that user would have the access that the node's mode gives its owner.
    ///
    /// # Errors
    /// As [`deliver`](Self::deliver); [`Error::DeviceForUser`].
    pub fn deliver_as_user(
        &self,
        id: Id<kind::File>,
        to: &Dir,
        name: &Path,
        policy: LinkPolicy,
    ) -> Result<Delivered, Error> {
        self.deliver_as(As::User, id, to, name, policy)
    }

    /// Whether a file is a second name of this object.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_linked(&self, id: Id<kind::File>, file: &fsio::Stat) -> Result<bool, Error> {
        let same = |stat: fsio::Stat| (stat.dev, stat.ino) == (file.dev, file.ino);
        match (self.stat(id.name())?, self.parent()) {
            (Some(stat), _) => Ok(same(stat)),
            (None, Some(parent)) => parent.is_linked(id, file),
            (None, None) => Ok(false),
        }
    }

    /// Whether files of this mode can be hardlinked into a checkout with owners (`false`: as the user).
    pub fn links_with_owners(&self) -> Option<bool> {
        match self.mode() {
            Mode::Bare => Some(true),
            Mode::BareUser | Mode::BareUserOnly => Some(false),
            Mode::Archive | Mode::BareSplitXattrs => None,
        }
    }

    fn deliver_as(
        &self,
        how: As,
        id: Id<kind::File>,
        to: &Dir,
        name: &Path,
        policy: LinkPolicy,
    ) -> Result<Delivered, Error> {
        let mut store = Some(self);
        let mut refused = None;
        while let Some(here) = store {
            if policy != LinkPolicy::Copy && here.links_with_owners() == Some(how == As::Committed) {
                match here.link(id, to, name)? {
                    Link::Done => return Ok(Delivered::Linked),
                    Link::Copy => break,
                    Link::Refused(e) => {
                        refused = Some(e);
                        break;
                    }
                    Link::Missing => {}
                }
            } else if here.stat(id.name())?.is_some() {
                break;
            }
            store = here.parent();
        }
        let (here, raw) = self.locate(id)?;
        // An empty file costs nothing to copy, and must not be shared: a program that appends to it would change all.
        // A symlink is made anew where links are kept as files, or if it has too many names.
        let needs_link = match raw.header.file_type {
            FileType::Regular => raw.size > 0,
            FileType::Symlink(_) => here.mode() != Mode::BareUser && refused.is_none(),
            FileType::Fifo | FileType::CharDevice(_) | FileType::BlockDevice(_) => false,
        };
        if policy == LinkPolicy::Require
            && needs_link
            && here.links_with_owners() != Some(how == As::Committed)
        {
            return Err(Error::NoLink { mode: here.mode().as_str() });
        }
        if let Some(refused) = refused.filter(|_| policy == LinkPolicy::Require && needs_link) {
            return Err(Error::Io(refused));
        }
        here.copy_out(how, id, raw, to, name)
    }

    fn link(&self, id: Id<kind::File>, to: &Dir, name: &Path) -> Result<Link, Error> {
        let Some(dir) = self.shard(layout::shard(id.raw()))? else { return Ok(Link::Missing) };
        let file = layout::file_name(self.mode(), id.name());
        let Some(stat) = fsio::stat_optional(&dir, &file)? else { return Ok(Link::Missing) };
        // Symlinks of bare-user stores are regular files, which a link would make visible as such.
        let as_is = match (self.mode(), stat.kind) {
            (_, Kind::File) if stat.size == 0 => false,
            (Mode::BareUser, Kind::File) => self.is_regular(&dir, &file, &stat)?,
            // Their owner can always read the files of such a checkout.
            (Mode::BareUserOnly, Kind::File) => stat.mode & 0o400 != 0,
            _ => true,
        };
        if !as_is {
            return Ok(Link::Copy);
        }
        match fsio::hardlink(&dir, &file, to, name) {
            Ok(()) => Ok(Link::Done),
            Err(e) if e.is_exists() => Err(e.into()),
            Err(e) if matches!(e.source.raw_os_error(), Some(EPERM | EXDEV | EMLINK)) => Ok(Link::Refused(e)),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether a file of a bare-user store is a regular one. Links there are small, so that the attribute of large files need not
    /// be read. The mode says nothing: who shares a store with a group changes it.
    pub(crate) fn is_regular(&self, dir: &Dir, file: &str, stat: &fsio::Stat) -> Result<bool, Error> {
        if stat.size > crate::read::MAX_TARGET_BYTES + 1 {
            return Ok(true);
        }
        let attribute = self.format().user_meta_attribute();
        let meta = fsio::xattr::get_of(dir, file, attribute.as_bytes())?;
        Ok(meta
            .is_none_or(|meta| self.format().decode_user_meta(&meta).is_ok_and(|header| header.is_regular())))
    }

    pub(crate) fn copy_out(
        &self,
        how: As,
        id: Id<kind::File>,
        raw: RawFile,
        to: &Dir,
        name: &Path,
    ) -> Result<Delivered, Error> {
        if !raw.header.is_regular() {
            make_special(self, how, &raw.header, to, name)?;
            return Ok(Delivered::Copied);
        }
        let mut staged = fsio::Staged::create_named(to, name)?;
        let shared = match &raw.content {
            Some(file) if self.mode() != Mode::Archive && raw.size > 0 => fsio::reflink(file, staged.file())?,
            _ => false,
        };
        let header = if shared {
            raw.header
        } else {
            let mut object = self.reader(id, raw)?;
            copy(&mut object, &mut staged, id)?;
            object.header
        };
        dress(self, how, &header, staged.file())?;
        staged.keep()?;
        Ok(if shared { Delivered::Reflinked } else { Delivered::Copied })
    }
}

/// What came of an attempt to hardlink.
enum Link {
    Done,
    /// It is to be copied, by rule.
    Copy,
    /// The system does not allow a link here.
    Refused(fsio::Error),
    Missing,
}

const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();
const EXDEV: i32 = rustix::io::Errno::XDEV.raw_os_error();
const EMLINK: i32 = rustix::io::Errno::MLINK.raw_os_error();

fn copy(from: &mut FileObject, to: &mut fsio::Staged, id: Id<kind::File>) -> Result<(), Error> {
    // Many files are small: the size only says what is worth setting aside.
    let mut buf = vec![0; usize::try_from(from.size).map_or(CHUNK, |size| CHUNK.min(size.saturating_add(1)))];
    loop {
        let n = match from.content.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(read_error(e, id.name(), &id.to_hex())),
        };
        to.write_all(buf.get(..n).unwrap_or_default()).at("write", id.to_hex())?;
    }
}

fn make_special(store: &Store, how: As, header: &FileHeader, to: &Dir, name: &Path) -> Result<(), Error> {
    let mode = if how == As::User { header.mode & 0o1777 } else { header.mode };
    // The number 0:0 is no device: to an overlay file system it hides a name.
    if let FileType::CharDevice(1..) | FileType::BlockDevice(_) = header.file_type
        && how == As::User
    {
        return Err(Error::DeviceForUser);
    }
    match &header.file_type {
        FileType::Regular => unreachable!("regular files have content and are copied"),
        FileType::Symlink(target) => fsio::symlink(target, to, name)?,
        FileType::Fifo => fsio::make_node(to, name, Kind::Fifo, mode, 0)?,
        FileType::CharDevice(rdev) => fsio::make_node(to, name, Kind::CharDevice, mode, *rdev)?,
        FileType::BlockDevice(rdev) => fsio::make_node(to, name, Kind::BlockDevice, mode, *rdev)?,
    }
    if how == As::Committed {
        fsio::set_owner_of(to, name, header.uid, header.gid)?;
        for (attribute, value) in store.kept(&header.xattrs) {
            fsio::xattr::set_of(to, name, attribute, value)?;
        }
        // A change of owner drops the setuid and setgid bits, which nodes may have.
        if !matches!(header.file_type, FileType::Symlink(_)) && header.mode & 0o6000 != 0 {
            fsio::set_mode_of(to, name, header.mode)?;
        }
    }
    Ok(())
}

/// Owner first, since changing it drops capabilities and setuid bits.
fn dress(store: &Store, how: As, header: &FileHeader, file: &std::fs::File) -> Result<(), Error> {
    if how == As::User {
        // Its owner can always read it, as OSTree has it.
        fsio::set_mode(file, header.mode & 0o1777 | 0o400)?;
        return Ok(());
    }
    let stat = fsio::stat_open(file)?;
    if (stat.uid, stat.gid) != (header.uid, header.gid) {
        fsio::set_owner(file, header.uid, header.gid)?;
    }
    for (attribute, value) in store.kept(&header.xattrs) {
        fsio::xattr::set(file, attribute, value)?;
    }
    fsio::set_mode(file, header.mode)?;
    Ok(())
}
