//! Directory metadata.

use crate::Xattrs;

/// Owner, mode and attributes of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirMeta {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits (07777), without the type.
    pub mode: u32,
    /// Attributes.
    pub xattrs: Xattrs,
}
