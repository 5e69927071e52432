//! Taking files over: a file that lies on the store's file system, exactly as the store would write it, gets a second name
//! instead of a copy.

use super::{Transaction, add};
use crate::{Error, FileHeader, Id, Mode, Xattrs, kind, layout};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Dir, Stat};
use std::ffi::OsStr;
use std::fs::File;

/// The one attribute that may be on a file of a repository that keeps none: where SELinux runs, every file has it.
const LABEL: &[u8] = b"security.selinux";

impl Transaction<'_> {
    /// Stages the regular file `name` of `dir` by giving it a second name; `None` where it must be copied.
    ///
    /// `file` is that file, open at its beginning, and `stat` what was known of it before it was opened for reading. It is
    /// read once, to learn its id. In `bare` repositories owner, mode and attributes on disk must be those of the header;
    /// in `bare-user-only` ones the mode, and the owner must be the repository's. The time of its last change becomes 0, as
    /// of every object.
    ///
    /// From then on the file is an object: who writes into it, by whatever name, damages the repository. A transaction that
    /// does not publish leaves it with whoever has its other name: the staged one is never reused.
    ///
    /// # Errors
    /// [`Error::Source`] if it cannot be read, [`Error::Io`], and as [`put_file`](Self::put_file) for what the store cannot
    /// hold.
    pub fn adopt_file(
        &self,
        header: &FileHeader,
        stat: &Stat,
        file: &File,
        dir: &Dir,
        name: &OsStr,
    ) -> Result<Option<Id<kind::File>>, Error> {
        if !self.may_adopt(header, stat, file)? {
            return Ok(None);
        }
        self.check(header)?;
        let hashed = self.store.format().id_of_file(header, &mut &*file);
        let (id, size) = hashed.map_err(Error::Source)?;
        if size != stat.size {
            return Ok(None);
        }
        if self.contains(id.name())? {
            add(&self.counts.files_total, 1);
            return Ok(Some(id));
        }
        let shard = self.staging.content().shard_or_create(layout::shard(id.raw()))?;
        let staged = layout::file_name(self.store.mode(), id.name());
        match fsio::hardlink(dir, name, &shard, &staged) {
            Ok(()) => {}
            Err(error) if error.is_exists() => {
                add(&self.counts.files_total, 1);
                return Ok(Some(id));
            }
            Err(error) if cannot_link(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // What was linked may be another file by now, or have been written to since it was read.
        let dressed = fsio::stat(&shard, &staged).and_then(|linked| {
            let is_it = (linked.dev, linked.ino, linked.size, linked.mtime_ns)
                == (stat.dev, stat.ino, stat.size, stat.mtime_ns);
            let is_it = is_it && (linked.mode, linked.uid, linked.gid) == (stat.mode, stat.uid, stat.gid);
            if is_it { fsio::set_mtime(file, 0).map(|()| true) } else { Ok(false) }
        });
        if !matches!(dressed, Ok(true)) {
            fsio::remove_file_optional(&shard, &staged)?;
            return Ok(dressed.map(|_| None)?);
        }
        add(&self.counts.files_total, 1);
        self.count_written(size);
        Ok(Some(id))
    }

    /// Whether the file is just what the store would write.
    fn may_adopt(&self, header: &FileHeader, stat: &Stat, file: &File) -> Result<bool, Error> {
        let mode = self.store.mode();
        // A link cannot be synced alone before it is there.
        if !header.is_regular()
            || !matches!(mode, Mode::Bare | Mode::BareUserOnly)
            || self.store.options().per_object_fsync
            || stat.dev != self.staging.device()
            || stat.mode != header.mode
        {
            return Ok(false);
        }
        let on_disk = fsio::xattr::list(file)?;
        Ok(if mode == Mode::Bare {
            let same = Xattrs::new(on_disk).is_ok_and(|on_disk| on_disk == header.xattrs);
            same && (stat.uid, stat.gid) == (header.uid, header.gid)
        } else {
            let plain = on_disk.iter().all(|(name, _)| name == LABEL);
            plain && (stat.uid, stat.gid) == self.staging.owner()
        })
    }
}

/// Whether it is the file, or the place where it lies, that does not allow a second name.
fn cannot_link(error: &fsio::Error) -> bool {
    let errno = error.source.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOENT | Errno::ACCESS)
    )
}
