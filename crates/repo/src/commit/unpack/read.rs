//! From an archive's entries to steps: paths are checked, and what is changed on the way is applied. Large files are stored
//! while they are read.

use super::{Action, Content, Step, TarOptions, broken, content_error, refused, shown};
use crate::archive::{Archive, ArchiveEntry, EntryKind};
use crate::commit::modify::{Changes, Found, Rules};
use crate::{Error, Result};
use sapwood_fsio::Kind;
use sapwood_objstore::{self as objstore, EntryName, FileHeader, FileType, Xattrs};
use std::io::Read;

/// Files up to this size are held in memory, so that several are stored at once.
const SMALL_BYTES: u64 = 4 << 20;
/// So many bytes, all told, and so many entries, are one batch; two are in memory.
const BATCH_BYTES: u64 = 16 << 20;
const BATCH_ENTRIES: usize = 1024;

/// Reads the archive, checks paths, and applies what is changed on the way.
pub(super) struct Reader<'a> {
    pub(super) archive: Archive<Box<dyn Read + Send + 'a>>,
    pub(super) rules: &'a Rules,
    pub(super) objects: &'a objstore::Transaction<'a>,
    pub(super) options: &'a TarOptions,
    pub(super) keeps_xattrs: bool,
    pub(super) max_depth: usize,
}

impl Reader<'_> {
    /// Some of the entries that follow; none at the end.
    pub(super) fn batch(&mut self) -> Result<Vec<Step<Content>>> {
        let (mut steps, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES && steps.len() < BATCH_ENTRIES {
            let Some(entry) = self.archive.next_entry().map_err(|error| broken("-", &error))? else {
                self.archive.drain().map_err(|error| broken("-", &error.into()))?;
                break;
            };
            if let Some(step) = self.step(entry)? {
                bytes += step.bytes();
                steps.push(step);
            }
        }
        Ok(steps)
    }

    fn step(&mut self, entry: ArchiveEntry) -> Result<Option<Step<Content>>> {
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
        let xattrs = if self.keeps_xattrs {
            entry.xattrs.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        } else {
            Vec::new()
        };
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
                Action::File(self.content(&shown, header, 0)?)
            }
            EntryKind::File => {
                let header = self.rules.file(found, FileType::Regular, xattrs, &changes);
                Action::File(self.content(&shown, header, entry.size)?)
            }
            EntryKind::Hardlink(target) => {
                let (_, target) = self.path(&target)?;
                let content = if entry.size == 0 {
                    None
                } else {
                    let header = self.rules.file(found, FileType::Regular, xattrs, &changes);
                    Some(self.content(&shown, header, entry.size)?)
                };
                Action::Link(target, content)
            }
            EntryKind::Special => {
                return Err(Error::Archive { path: shown, reason: "Unsupported file type".to_owned() });
            }
        };
        Ok(Some(Step { path, uid: entry.uid, gid: entry.gid, action }))
    }

    /// A file with the content of the entry at hand: what is large is stored at once.
    fn content(&mut self, shown: &str, header: FileHeader, size: u64) -> Result<Content> {
        self.objects.store().format().check_file(&header).map_err(|reason| refused(shown, reason))?;
        if size > SMALL_BYTES {
            let id = self.objects.put_file(&header, size, &mut self.archive);
            return Ok(Content::Stored((id.map_err(|error| content_error(shown, error))?, size)));
        }
        let mut content = Vec::new();
        if header.is_regular() {
            self.archive.read_to_end(&mut content).map_err(|error| broken(shown, &error.into()))?;
        }
        Ok(Content::Held(header, content))
    }

    /// The path as lists have it, and as names; the root has none. The filter sees it without what it begins with.
    fn path(&self, raw: &[u8]) -> Result<(String, Vec<EntryName>)> {
        let raw_text = || String::from_utf8_lossy(raw).into_owned();
        let text = std::str::from_utf8(raw)
            .map_err(|_invalid| refused(&raw_text(), "Invalid UTF-8 in filename"))?
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
                return Err(refused(&raw_text(), "Invalid uplink '..' in path"));
            }
            if names.len() >= self.max_depth {
                return Err(Error::TooDeep { limit: self.max_depth });
            }
            names.push(EntryName::new(part).map_err(|error| refused(&raw_text(), error.to_string()))?);
        }
        let text = shown(&names);
        Ok((if text.is_empty() { "/".to_owned() } else { text }, names))
    }
}
