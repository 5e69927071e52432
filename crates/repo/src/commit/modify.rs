//! What is changed on the way from disk to repository: OSTree's rules, in one place.

use super::lists::{Lists, ModeChange, ModeList, SkipList};
use crate::selinux::{LABEL, Labels};
use crate::{Error, ImportOptions, Modifiers, Result};
use sapwood_fsio::{Kind, Stat, xattr};
use sapwood_objstore::{DirMeta, FileHeader, FileType, Format, Mode, Store, Xattrs};

/// The modifiers that really apply: a `bare-user-only` repository always makes permissions canonical.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
pub(crate) struct Rules {
    owner_uid: Option<u32>,
    owner_gid: Option<u32>,
    canonical: bool,
    /// Whether extended attributes are read and recorded.
    pub(crate) xattrs: bool,
    /// Whether those with an empty value are.
    empty_xattrs: bool,
    read_only_executables: bool,
    labels: Option<Labels>,
    lists: Lists,
}

/// Owner and mode as found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

impl From<&Stat> for Found {
    fn from(stat: &Stat) -> Self {
        Self { uid: stat.uid, gid: stat.gid, mode: stat.mode }
    }
}

/// What is changed at one path, and nowhere else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// The label a policy gives.
    pub(crate) label: Option<Vec<u8>>,
    /// What a list says of the mode.
    pub(crate) mode: Option<ModeChange>,
}

impl Rules {
    pub(crate) fn new(options: &ImportOptions, store: &Store) -> Self {
        let (modifiers, labels) = (&options.modifiers, options.labels.as_ref());
        let canonical = modifiers.canonical_permissions || store.mode() == Mode::BareUserOnly;
        Self {
            owner_uid: modifiers.owner_uid,
            owner_gid: modifiers.owner_gid,
            canonical,
            xattrs: !canonical && !modifiers.no_xattrs && store.options().xattrs,
            empty_xattrs: store.format().records_empty_xattrs(),
            read_only_executables: modifiers.mode_ro_executables,
            labels: labels.filter(|_| store.mode() != Mode::BareUserOnly && store.options().xattrs).cloned(),
            lists: Lists::new(&options.modes, &options.skip),
        }
    }

    /// The rules for what is looked at and not recorded.
    pub(crate) fn of(format: Format, modifiers: &Modifiers) -> Self {
        Self {
            owner_uid: modifiers.owner_uid,
            owner_gid: modifiers.owner_gid,
            canonical: modifiers.canonical_permissions,
            xattrs: !modifiers.canonical_permissions && !modifiers.no_xattrs,
            empty_xattrs: format.records_empty_xattrs(),
            read_only_executables: modifiers.mode_ro_executables,
            labels: None,
            lists: Lists::default(),
        }
    }

    /// A text that differs for rules that record the same files differently, whatever their paths.
    pub(crate) fn fingerprint(&self) -> String {
        let Self { owner_uid, owner_gid, canonical, xattrs, empty_xattrs, read_only_executables, .. } = self;
        let labels = &self.labels;
        format!(
            "{owner_uid:?} {owner_gid:?} {canonical} {xattrs} {empty_xattrs} {read_only_executables} {labels:?}"
        )
    }

    /// Whether nothing is changed, so that trees that are stored already can be taken as they are.
    pub(crate) fn are_empty(options: &ImportOptions) -> bool {
        options.modifiers == Modifiers::default()
            && options.labels.is_none()
            && options.modes == ModeList::default()
            && options.skip == SkipList::default()
    }

    /// The lists of paths.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// What is changed at a path.
    pub(crate) fn changes(&self, kind: Kind, path: impl Fn() -> String) -> Result<Changes> {
        Ok(Changes { label: self.label(kind, &path)?, mode: self.lists.change(&path) })
    }

    /// What is recorded of a file. Permissions of symlinks are always 0777.
    pub(crate) fn file(
        &self,
        found: Found,
        file_type: FileType,
        mut xattrs: Xattrs,
        changes: &Changes,
    ) -> FileHeader {
        set_label(&mut xattrs, changes.label.as_deref());
        let mode = match file_type {
            FileType::Symlink(_) => 0o777,
            FileType::Regular if self.read_only_executables && found.mode & 0o111 != 0 => {
                self.mode(found.mode & !0o222, changes.mode)
            }
            _ => self.mode(found.mode, changes.mode),
        };
        FileHeader { uid: self.uid(found.uid), gid: self.gid(found.gid), mode, file_type, xattrs }
    }

    /// What is recorded of a directory.
    pub(crate) fn dir(&self, found: Found, mut xattrs: Xattrs, changes: &Changes) -> DirMeta {
        set_label(&mut xattrs, changes.label.as_deref());
        let mode = self.mode(found.mode, changes.mode);
        DirMeta { uid: self.uid(found.uid), gid: self.gid(found.gid), mode, xattrs }
    }

    /// What is recorded of attributes read from disk.
    pub(crate) fn xattrs(&self, mut list: xattr::Xattrs, path: impl FnOnce() -> String) -> Result<Xattrs> {
        if !self.empty_xattrs {
            list.retain(|(_, value)| !value.is_empty());
        }
        Xattrs::new(list).map_err(|error| Error::Unrecordable { path: path(), reason: error.to_string() })
    }

    /// The label that is recorded of something at this path; `None` leaves the one it has.
    fn label(&self, kind: Kind, path: impl FnOnce() -> String) -> Result<Option<Vec<u8>>> {
        self.labels.as_ref().map_or(Ok(None), |labels| labels.of(&path(), kind))
    }

    /// What a directory gets that an archive has in its paths only.
    pub(crate) fn implied_dir(&self, uid: u32, gid: u32, path: impl FnOnce() -> String) -> Result<DirMeta> {
        let mut xattrs = Xattrs::default();
        set_label(&mut xattrs, self.label(Kind::Dir, path)?.as_deref());
        Ok(DirMeta { uid, gid, mode: 0o755, xattrs })
    }

    fn uid(&self, uid: u32) -> u32 {
        if self.canonical { 0 } else { self.owner_uid.unwrap_or(uid) }
    }

    fn gid(&self, gid: u32) -> u32 {
        if self.canonical { 0 } else { self.owner_gid.unwrap_or(gid) }
    }

    fn mode(&self, mode: u32, change: Option<ModeChange>) -> u32 {
        let mode = match change {
            Some(ModeChange::Add(bits)) => mode | bits,
            Some(ModeChange::Set(bits)) => bits,
            None => mode,
        };
        if self.canonical { mode & 0o755 } else { mode & 0o7777 }
    }
}

/// Replaces the label among the attributes, if a policy gives one.
fn set_label(xattrs: &mut Xattrs, label: Option<&[u8]>) {
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
