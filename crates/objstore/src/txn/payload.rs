//! Payload links: files that differ in owner, mode or attributes alone share their blocks, where the filesystem can.
//!
//! `objects/ab/cdef….payload-link`, named by the digest of content alone, is a symlink to a file object that has this
//! content. It is OSTree's (`core.payload-link-threshold`), and only ever a hint: it may be missing, dangle or lie, so
//! what it leads to is hashed before anything is shared with it.

use super::Transaction;
use crate::read::CHUNK;
use crate::{Digest, Error, Id, Mode, ObjectId, ObjectKind, Store, kind, layout};
use sapwood_fsio::{self as fsio, At, Staged};
use std::fs::File;
use std::io::{Read, Write};

impl Transaction<'_> {
    /// A digest of the content of a file of this size, if it is to share its blocks with others.
    pub(super) fn payload_digest(&self, size: u64) -> Option<Digest> {
        let threshold = self.store.options().payload_link_threshold?;
        let wanted = size > 0 && size >= threshold && self.store.mode() != Mode::Archive && self.can_share();
        wanted.then(|| Digest::new(self.store.format(), ObjectKind::File))
    }

    /// Whether files here can share blocks at all.
    fn can_share(&self) -> bool {
        *self.can_share.get_or_init(|| {
            let attempt = || -> Result<bool, Error> {
                let mut files = [Staged::create(self.staging.dir())?, Staged::create(self.staging.dir())?];
                files[0].write_all(&[1; 4096]).at("write", "a staged file")?;
                Ok(fsio::reflink(files[0].file(), files[1].file())?)
            };
            attempt().unwrap_or_else(|error| {
                tracing::debug!(%error, "payloads are not shared");
                false
            })
        })
    }

    /// Has a staged file, whose content is written, share the blocks of an object with the same content; or has later
    /// ones share those of this one.
    pub(super) fn share_payload(
        &self,
        payload: ObjectId,
        id: Id<kind::File>,
        staged: &Staged,
    ) -> Result<(), Error> {
        let shard = layout::shard(payload);
        let name = layout::payload_link_name(payload);
        if let Some(dir) = self.store.shard(shard)?
            && fsio::stat_optional(&dir, &name)?.is_some()
        {
            if let Some(file) = target(self.store, &fsio::read_link(&dir, &name)?)?
                && hashes_to(self.store, &file, payload)?
                && fsio::reflink(&file, staged.file())?
            {
                return Ok(());
            }
            fsio::remove_file_optional(&dir, &name)?;
        }
        let dir = self.staging.content().shard_or_create(shard)?;
        match fsio::symlink(layout::payload_link_target(self.store.mode(), id.name()), &dir, &name) {
            Err(error) if error.is_exists() => Ok(()),
            made => Ok(made?),
        }
    }
}

/// The object that a link leads to, open.
fn target(store: &Store, link: &[u8]) -> Result<Option<File>, Error> {
    let Some(name) =
        std::str::from_utf8(link).ok().and_then(|link| layout::parse_payload_link(store.mode(), link))
    else {
        return Ok(None);
    };
    match store.shard(layout::shard(name.id))? {
        Some(dir) => Ok(fsio::open_file_optional(&dir, layout::file_name(store.mode(), name))?),
        None => Ok(None),
    }
}

fn hashes_to(store: &Store, mut file: &File, payload: ObjectId) -> Result<bool, Error> {
    let mut digest = Digest::new(store.format(), ObjectKind::File);
    let mut buf = vec![0; CHUNK];
    loop {
        match file.read(&mut buf).at("read", "a payload")? {
            0 => return Ok(digest.finish() == payload),
            n => digest.update(buf.get(..n).unwrap_or_default()),
        }
    }
}

impl Store {
    /// Removes payload links that lead to nothing any more.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clean_payload_links(&self) -> Result<(), Error> {
        if self.options().payload_link_threshold.is_none() {
            return Ok(());
        }
        for shard in 0..=u8::MAX {
            let Some(dir) = self.shard(shard)? else { continue };
            for entry in fsio::entries(&dir)? {
                let is_link =
                    entry.name.to_str().is_some_and(|name| name.ends_with(layout::PAYLOAD_LINK_SUFFIX));
                if is_link && target(self, &fsio::read_link(&dir, &entry.name)?)?.is_none() {
                    fsio::remove_file_optional(&dir, &entry.name)?;
                }
            }
        }
        Ok(())
    }
}
