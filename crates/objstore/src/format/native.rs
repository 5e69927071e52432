//! The native codec; see `docs/FORMAT.md`.
use super::ArchiveHeader;
use crate::{Commit, DecodeError, DirMeta, DirTree, FileHeader, Metadata};
pub(super) fn encode_commit(_: &Commit) -> Vec<u8> {
    todo!()
}
pub(super) fn decode_commit(_: &[u8]) -> Result<Commit, DecodeError> {
    todo!()
}
pub(super) fn encode_dirtree(_: &DirTree) -> Vec<u8> {
    todo!()
}
pub(super) fn decode_dirtree(_: &[u8]) -> Result<DirTree, DecodeError> {
    todo!()
}
pub(super) fn encode_dirmeta(_: &DirMeta) -> Vec<u8> {
    todo!()
}
pub(super) fn decode_dirmeta(_: &[u8]) -> Result<DirMeta, DecodeError> {
    todo!()
}
pub(super) fn encode_metadata(_: &Metadata) -> Vec<u8> {
    todo!()
}
pub(super) fn decode_metadata(_: &[u8]) -> Result<Metadata, DecodeError> {
    todo!()
}
pub(super) fn encode_user_meta(_: &FileHeader) -> Vec<u8> {
    todo!()
}
pub(super) fn decode_user_meta(_: &[u8]) -> Result<FileHeader, DecodeError> {
    todo!()
}
pub(super) fn file_prefix(_: &FileHeader) -> Vec<u8> {
    todo!()
}
pub(super) fn encode_archive_header(_: &FileHeader, _: u64) -> Vec<u8> {
    todo!()
}
pub(super) fn read_archive_header(
    _: &mut dyn std::io::Read,
) -> std::io::Result<Result<ArchiveHeader, DecodeError>> {
    todo!()
}
