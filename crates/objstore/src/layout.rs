//! Names on disk: the only file that knows them.

use crate::{Mode, ObjectId, ObjectKind, ObjectName};

/// The directory of all objects.
pub(crate) const OBJECTS: &str = "objects";
/// The directory of what is being written.
pub(crate) const TMP: &str = "tmp";
/// What in [`TMP`] is kept for good.
pub(crate) const TMP_CACHE: &str = "cache";
/// The lock file of a repository.
pub(crate) const LOCK: &str = ".lock";
/// The lock file of those who wait for the other. OSTree has none.
pub(crate) const LOCK_QUEUE: &str = ".lock-queue";
/// Begins the names of staging directories. OSTree's prefix, so that either takes up, or cleans up, what the other left; an
/// object gets its name there when it is complete, and before that has one that is none of an object.
pub(crate) const STAGING_PREFIX: &str = "staging-";
/// Ends the name of the lock file beside a staging directory.
pub(crate) const LOCK_SUFFIX: &str = "-lock";
/// The directory, in a staging directory, of half-done downloads.
pub(crate) const SCRATCH: &str = "scratch";
/// The directory, in a staging directory, of commits. OSTree takes over directories with names of two characters alone.
pub(crate) const STAGED_COMMITS: &str = "commits";
/// Begins names of files in staging that are not complete.
pub(crate) const UNFINISHED_PREFIX: &str = ".new-";
/// Ends the name of a commit.
pub(crate) const COMMIT_SUFFIX: &str = ".commit";
/// Ends the name of the note that a commit was deleted.
pub(crate) const TOMBSTONE_SUFFIX: &str = ".tombstone-commit";
/// Ends the name of the metadata beside a commit.
pub(crate) const DETACHED: &str = "commitmeta";

/// The directory of the files that an archive repository keeps uncompressed, for hardlinks.
pub(crate) const UNCOMPRESSED: &str = "uncompressed-objects-cache";
/// Begins names, in [`TMP`], of directories of files that are to go there.
pub(crate) const UNCOMPRESSED_PREFIX: &str = "uncompressed-";

/// Number of directories below [`OBJECTS`].
pub(crate) const SHARDS: usize = 256;

/// Ends the name, after that of a file of a `bare-split-xattrs` repository, of the file with its attributes.
pub(crate) const SPLIT_XATTRS_SUFFIX: &str = "-xattrs-link";

/// Ends the name of a link from content to a file that has it.
pub(crate) const PAYLOAD_LINK_SUFFIX: &str = ".payload-link";

/// The name, in its shard, of the link from content to a file that has it.
pub(crate) fn payload_link_name(payload: ObjectId) -> String {
    let mut text = payload.to_hex();
    text.replace_range(..2, "");
    text.push_str(PAYLOAD_LINK_SUFFIX);
    text
}

/// What such a link holds: `../ab/cdef….file`.
pub(crate) fn payload_link_target(mode: Mode, file: ObjectName) -> String {
    format!("../{}/{}", shard_name(shard(file.id)), file_name(mode, file))
}

/// The file that such a link leads to, if it is one.
pub(crate) fn parse_payload_link(mode: Mode, target: &str) -> Option<ObjectName> {
    let (shard, file) = target.strip_prefix("../")?.split_once('/')?;
    let name = parse_name(mode, u8::from_str_radix(shard, 16).ok()?, file)?;
    (name.kind == ObjectKind::File && payload_link_target(mode, name) == target).then_some(name)
}

/// Which of the [`SHARDS`] holds an object.
pub(crate) fn shard(id: ObjectId) -> u8 {
    id.as_bytes()[0]
}

/// The name of a shard: two hexadecimal digits.
pub(crate) fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// The name of an object in its shard: `cdef….file`.
pub(crate) fn file_name(mode: Mode, name: ObjectName) -> String {
    let mut text = name.id.to_hex();
    text.replace_range(..2, "");
    text.push('.');
    text.push_str(extension(mode, name.kind));
    text
}

/// The name, in its shard, of the metadata beside a commit.
pub(crate) fn detached_name(commit: ObjectId) -> String {
    let mut text = commit.to_hex();
    text.replace_range(..2, "");
    text.push('.');
    text.push_str(DETACHED);
    text
}

/// The name, in its shard, of the note that a commit was deleted.
pub(crate) fn tombstone_name(commit: ObjectId) -> String {
    let mut text = commit.to_hex();
    text.replace_range(..2, "");
    text.push_str(TOMBSTONE_SUFFIX);
    text
}

/// The object that `file` in `shard` is, if it is one.
pub(crate) fn parse_name(mode: Mode, shard: u8, file: &str) -> Option<ObjectName> {
    let (rest, ext) = file.split_once('.')?;
    let kind = [ObjectKind::File, ObjectKind::DirTree, ObjectKind::DirMeta, ObjectKind::Commit]
        .into_iter()
        .find(|kind| extension(mode, *kind) == ext)?;
    let id = ObjectId::from_hex(&format!("{}{rest}", shard_name(shard))).ok()?;
    Some(ObjectName { kind, id })
}

fn extension(mode: Mode, kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Commit => "commit",
        ObjectKind::DirTree => "dirtree",
        ObjectKind::DirMeta => "dirmeta",
        ObjectKind::File if mode == Mode::Archive => "filez",
        ObjectKind::File => "file",
    }
}
