//! File headers: all of a file but its content.

use crate::Xattrs;

/// What a file object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file; its content follows the header.
    Regular,
    /// A symbolic link to this target (UTF-8 without NUL; OSTree's format can hold nothing else).
    Symlink(String),
    /// A named pipe. Native format only.
    Fifo,
    /// A character device. Native format only.
    CharDevice(u64),
    /// A block device. Native format only.
    BlockDevice(u64),
}

/// Owner, mode, type and attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHeader {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits (07777), without the type; 0777 for symlinks.
    pub mode: u32,
    /// What it is.
    pub file_type: FileType,
    /// Attributes.
    pub xattrs: Xattrs,
}

impl FileHeader {
    /// Whether it is a regular file, which alone has content.
    pub fn is_regular(&self) -> bool {
        matches!(self.file_type, FileType::Regular)
    }
}
