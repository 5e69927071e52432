//! From an archive's entries to steps: paths are checked, and what is changed on the way is applied. Large files are stored
//! while they are read.

use super::{Action, Step, TarOptions, broken, content_error, refused};
use crate::archive::{Archive, ArchiveEntry, EntryKind};
use crate::commit::modify::{Changes, Found, Rules};
use crate::{Error, Result};
use sapwood_fsio::Kind;
use sapwood_objstore::{self as objstore, EntryName, FileHeader, FileType, Xattrs};
use std::io::Read;

/// Files up to this size are held in memory, so that several are stored at once.
const SMALL_BYTES: u64 = 4 << 20;
/// So many bytes, and so many entries, are one batch; two are in memory.
const BATCH_BYTES: u64 = 16 << 20;
const BATCH_ENTRIES: usize = 1024;

/// Reads the archive, checks paths, and applies what is changed on the way.
pub(super) struct Reader<'a> {
    pub(super) archive: Archive<Box<dyn Read + Send + 'a>>,
    pub(super) rules: &'a Rules,
    pub(super) objects: &'a objstore::Transaction<'a>,
    pub(super) options: &'a TarOptions,
    pub(super) keeps_xattrs: bool,
}

impl Reader<'_> {
    /// Some of the entries that follow; none at the end.
    pub(super) fn batch(&mut self) -> Result<Vec<Step>> {
        let (mut steps, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES && steps.len() < BATCH_ENTRIES {
            let Some(entry) = self.archive.next_entry().map_err(|error| broken("-", &error))? else {
                self.archive.drain().map_err(|error| broken("-", &error.into()))?;
                break;
            };
            bytes += entry.size.min(SMALL_BYTES);
            steps.extend(self.step(entry)?);
        }
        Ok(steps)
    }

    fn step(&mut self, entry: ArchiveEntry) -> Result<Option<Step>> {
        let shown = String::from_utf8_lossy(&entry.path).into_owned();
        let (text, path) = self.path(&entry.path)?;
        if self.rules.lists().skips(|| text.clone()) {
            return Ok(None);
        }
        let kind = match entry.kind {
            EntryKind::Dir => Kind::Dir,
            EntryKind::Symlink(_) => Kind::Symlink,
            _ => Kind::File,
        };
        if path.is_empty() && kind != Kind::Dir {
            return Err(refused(&shown, "only a directory can be the root of the tree"));
        }
        let xattrs = if self.keeps_xattrs { entry.xattrs } else { Vec::new() };
        let xattrs = Xattrs::for_linux(xattrs).map_err(|error| refused(&shown, error.to_string()))?;
        let found = Found { uid: entry.uid, gid: entry.gid, mode: entry.mode };
        let changes = match entry.kind {
            EntryKind::Hardlink(_) if entry.size == 0 => Changes::default(),
            _ => self.rules.changes(kind, || text.clone())?,
        };
        let action = match entry.kind {
            EntryKind::Dir => Action::Dir(self.rules.dir(found, xattrs, &changes)),
            EntryKind::Symlink(target) => {
                let Ok(target) = String::from_utf8(target) else {
                    return Err(refused(&shown, "the target of the symlink is not UTF-8"));
                };
                let header = self.rules.file(found, FileType::Symlink(target), xattrs, &changes);
                Action::File(self.checked(&shown, header)?, Vec::new())
            }
            EntryKind::File => {
                let header = self.rules.file(found, FileType::Regular, xattrs, &changes);
                let header = self.checked(&shown, header)?;
                if entry.size > SMALL_BYTES {
                    let id = self.objects.put_file(&header, entry.size, &mut self.archive);
                    Action::Stored(id.map_err(|error| content_error(&shown, error))?, entry.size)
                } else {
                    Action::File(header, self.content(&shown)?)
                }
            }
            EntryKind::Hardlink(target) => {
                let (_, target) = self.path(&target)?;
                let content = if entry.size == 0 {
                    None
                } else {
                    let header = self.rules.file(found, FileType::Regular, xattrs, &changes);
                    if entry.size > SMALL_BYTES * 64 {
                        return Err(refused(&shown, "a hard link with content of more than 256 MiB"));
                    }
                    Some((self.checked(&shown, header)?, self.content(&shown)?))
                };
                Action::Link(target, content)
            }
            EntryKind::Special => {
                return Err(Error::Archive { path: shown, reason: "Unsupported file type".to_owned() });
            }
        };
        Ok(Some(Step { path, uid: entry.uid, gid: entry.gid, action }))
    }

    fn content(&mut self, shown: &str) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.archive.read_to_end(&mut content).map_err(|error| broken(shown, &error.into()))?;
        Ok(content)
    }

    fn checked(&self, shown: &str, header: FileHeader) -> Result<FileHeader> {
        match self.objects.store().format().check_file(&header) {
            Ok(()) => Ok(header),
            Err(reason) => Err(refused(shown, reason)),
        }
    }

    /// The path as lists have it, and as names; the root has none. The filter sees it without what it begins with.
    fn path(&self, raw: &[u8]) -> Result<(String, Vec<EntryName>)> {
        let shown = || String::from_utf8_lossy(raw).into_owned();
        let text = std::str::from_utf8(raw)
            .map_err(|_invalid| refused(&shown(), "Invalid UTF-8 in filename"))?
            .trim_start_matches('/');
        let mut text = text;
        while let Some(rest) = text.strip_prefix("./") {
            text = rest.trim_start_matches('/');
        }
        if text == "." {
            text = "";
        }
        let filtered = self.options.filter.as_ref().map(|filter| filter.apply(text));
        let text = filtered.as_deref().unwrap_or(text);
        let mut names = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                return Err(refused(&shown(), "Invalid uplink '..' in path"));
            }
            names.push(EntryName::new(part).map_err(|error| refused(&shown(), error.to_string()))?);
        }
        let text = names.iter().fold(String::new(), |text, name| format!("{text}/{name}"));
        Ok((if text.is_empty() { "/".to_owned() } else { text }, names))
    }
}
