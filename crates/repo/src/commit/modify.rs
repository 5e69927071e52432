//! What is changed on the way from disk to repository: OSTree's rules, in one place.

use crate::selinux::{LABEL, Labels};
use crate::{Error, Modifiers, Result};
use sapwood_fsio::{Kind, Stat, xattr};
use sapwood_objstore::{DirMeta, FileHeader, FileType, Mode, Store, Xattrs};

/// The modifiers that really apply: a `bare-user-only` repository always makes permissions canonical.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    owner_uid: Option<u32>,
    owner_gid: Option<u32>,
    canonical: bool,
    /// Whether extended attributes are read and recorded.
    pub(crate) xattrs: bool,
    /// Whether those with an empty value are.
    empty_xattrs: bool,
    labels: Option<Labels>,
}

impl Rules {
    pub(crate) fn new(modifiers: &Modifiers, labels: Option<&Labels>, store: &Store) -> Self {
        let canonical = modifiers.canonical_permissions || store.mode() == Mode::BareUserOnly;
        Self {
            owner_uid: modifiers.owner_uid,
            owner_gid: modifiers.owner_gid,
            canonical,
            xattrs: !canonical && !modifiers.no_xattrs && store.options().xattrs,
            empty_xattrs: store.format().records_empty_xattrs(),
            labels: labels.filter(|_| store.mode() != Mode::BareUserOnly && store.options().xattrs).cloned(),
        }
    }

    /// What is recorded of a file with these attributes on disk. Permissions of symlinks are always 0777.
    pub(crate) fn file(&self, stat: &Stat, file_type: FileType, xattrs: Xattrs) -> FileHeader {
        let mode = match file_type {
            FileType::Symlink(_) => 0o777,
            _ => self.mode(stat.mode),
        };
        FileHeader { uid: self.uid(stat.uid), gid: self.gid(stat.gid), mode, file_type, xattrs }
    }

    /// What is recorded of a directory with these attributes on disk.
    pub(crate) fn dir(&self, stat: &Stat, xattrs: Xattrs) -> DirMeta {
        DirMeta { uid: self.uid(stat.uid), gid: self.gid(stat.gid), mode: self.mode(stat.mode), xattrs }
    }

    /// What is recorded of attributes read from disk.
    pub(crate) fn xattrs(&self, mut list: xattr::Xattrs, path: impl FnOnce() -> String) -> Result<Xattrs> {
        if !self.empty_xattrs {
            list.retain(|(_, value)| !value.is_empty());
        }
        Xattrs::new(list).map_err(|error| Error::Unrecordable { path: path(), reason: error.to_string() })
    }

    /// The label that is recorded of something at this path; `None` leaves the one it has.
    pub(crate) fn label(&self, kind: Kind, path: impl FnOnce() -> String) -> Result<Option<Vec<u8>>> {
        self.labels.as_ref().map_or(Ok(None), |labels| labels.of(&path(), kind))
    }

    fn uid(&self, uid: u32) -> u32 {
        if self.canonical { 0 } else { self.owner_uid.unwrap_or(uid) }
    }

    fn gid(&self, gid: u32) -> u32 {
        if self.canonical { 0 } else { self.owner_gid.unwrap_or(gid) }
    }

    fn mode(&self, mode: u32) -> u32 {
        if self.canonical { mode & 0o755 } else { mode & 0o7777 }
    }
}

/// Replaces the label among the attributes, if a policy gives one.
pub(crate) fn set_label(xattrs: &mut Xattrs, label: Option<&[u8]>) {
    if let Some(label) = label {
        // It fails for invalid names only.
        drop(xattrs.set(LABEL, label));
    }
}

/// The type of a node that has neither content nor target, if there is one for it.
pub(crate) fn node_type(stat: &Stat) -> Option<FileType> {
    match stat.kind {
        Kind::Fifo => Some(FileType::Fifo),
        Kind::CharDevice => Some(FileType::CharDevice(stat.rdev)),
        Kind::BlockDevice => Some(FileType::BlockDevice(stat.rdev)),
        Kind::File | Kind::Dir | Kind::Symlink | Kind::Socket => None,
    }
}
