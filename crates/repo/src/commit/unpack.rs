//! Laying an archive over a tree.
//!
//! An archive is one stream, so it is read by one thread; meanwhile the others hash and compress what was read before.
//! Files are held in memory by the batch, and the large ones go through without. Names are given in the archive's order,
//! and hard links last, since they may come before what they link to.

use super::build::TreeBuilder;
use super::merge::{Branch, Slot, put_file};
use super::modify::{Changes, Found, Rules};
use crate::archive::{Archive, ArchiveEntry, ArchiveError, EntryKind, decompressed};
use crate::{Error, Result, pool};
use rayon::prelude::*;
use regex::Regex;
use sapwood_fsio::Kind;
use sapwood_objstore::{self as objstore, DirMeta, EntryName, FileHeader, FileType, Id, Mode, Xattrs, kind};
use std::io::Read;

/// How an archive is laid over a tree.
#[derive(Debug, Clone, Default)]
pub struct TarOptions {
    /// Whether parents that are missing are made: mode 0755, owner and group of the entry. Default: no, they are an error.
    pub autocreate_parents: bool,
    /// How paths, and targets of hard links, are changed. Default: not at all.
    pub filter: Option<PathFilter>,
}

/// Replaces each match of a pattern in a path.
#[derive(Debug, Clone)]
pub struct PathFilter {
    pattern: Regex,
    replacement: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

/// Largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 10 << 20;

impl PathFilter {
    /// A pattern, and what its matches become, in which `\1` is the text of the first group and `\0` that of all.
    ///
    /// # Errors
    /// For what is no regular expression, or one that needs to look around or back.
    pub fn new(pattern: &str, replacement: &str) -> std::result::Result<Self, regex::Error> {
        let pattern = regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build()?;
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut letters = replacement.chars();
        while let Some(letter) = letters.next() {
            match (letter, if letter == '\\' { letters.next() } else { None }) {
                ('\\', Some(digit @ '0'..='9')) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Group(usize::try_from(u32::from(digit) - u32::from('0')).unwrap_or(0)));
                }
                ('\\', Some(other)) => text.push(other),
                (letter, _) => text.push(letter),
            }
        }
        parts.push(Part::Text(text));
        Ok(Self { pattern, replacement: parts })
    }

    fn apply(&self, path: &str) -> String {
        let replace = |found: &regex::Captures<'_>| {
            let parts = self.replacement.iter().map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Group(group) => found.get(*group).map_or("", |group| group.as_str()),
            });
            parts.collect::<String>()
        };
        self.pattern.replace_all(path, replace).into_owned()
    }
}

/// Files up to this size are held in memory, so that several are stored at once.
const SMALL_BYTES: u64 = 4 << 20;
/// So many bytes, and so many entries, are one batch; two are in memory.
const BATCH_BYTES: u64 = 16 << 20;
const BATCH_ENTRIES: usize = 1024;

/// A file, and the size of its content.
type StoredFile = (Id<kind::File>, u64);

/// What an entry does to the tree, once its content is stored.
struct Step {
    path: Vec<EntryName>,
    /// As the archive has it: what missing parents get.
    uid: u32,
    gid: u32,
    action: Action,
}

enum Action {
    Dir(DirMeta),
    /// A file whose content is in memory.
    File(FileHeader, Vec<u8>),
    /// A file that is stored.
    Stored(Id<kind::File>, u64),
    /// A link to what has this path. It may bring the content of both.
    Link(Vec<EntryName>, Option<(FileHeader, Vec<u8>)>),
}

pub(crate) fn unpack(
    builder: &mut TreeBuilder<'_>,
    stream: Box<dyn Read + Send + '_>,
    options: &TarOptions,
) -> Result<()> {
    let stream = decompressed(stream).map_err(|error| broken("-", &ArchiveError::Read(error)))?;
    let keeps_xattrs = builder.repo.store().mode() != Mode::BareUserOnly
        && builder.repo.store().options().xattrs
        && !builder.options.modifiers.no_xattrs;
    let mut reader = Reader {
        archive: Archive::new(stream),
        rules: &builder.rules,
        objects: builder.objects,
        options,
        keeps_xattrs,
    };
    let mut placer = Placer {
        tree: &mut builder.tree,
        rules: &builder.rules,
        objects: builder.objects,
        max_depth: builder.options.max_depth,
        autocreate: options.autocreate_parents,
        links: Vec::new(),
        counts: &mut builder.counts,
    };
    if options.autocreate_parents && placer.tree.meta.is_none() {
        let modifiers = &builder.options.modifiers;
        let (uid, gid) = (modifiers.owner_uid.unwrap_or(0), modifiers.owner_gid.unwrap_or(0));
        placer.tree.meta = Some(placer.implied_dir(uid, gid, "/")?);
    }
    let mut outcome = Ok(());
    let (threads, objects) = (builder.options.threads, builder.objects);
    objects.write_ahead(|| {
        pool::run(threads, |_| {
            outcome = (|| {
                let mut batch = reader.batch()?;
                while !batch.is_empty() {
                    let (next, done) = rayon::join(|| reader.batch(), || placer.place(batch));
                    done?;
                    batch = next?;
                }
                placer.place_links()
            })();
        })
    })??;
    outcome
}

fn broken(path: &str, error: &ArchiveError) -> Error {
    let reason = match error {
        ArchiveError::Read(error) => error.to_string(),
        other @ ArchiveError::Malformed { .. } => other.to_string(),
    };
    Error::Archive { path: path.to_owned(), reason }
}

fn refused(path: &str, reason: impl Into<String>) -> Error {
    Error::Archive { path: path.to_owned(), reason: reason.into() }
}

/// Reads the archive, checks paths, and applies what is changed on the way.
struct Reader<'a> {
    archive: Archive<Box<dyn Read + Send + 'a>>,
    rules: &'a Rules,
    objects: &'a objstore::Transaction<'a>,
    options: &'a TarOptions,
    keeps_xattrs: bool,
}

impl Reader<'_> {
    /// Some of the entries that follow; none at the end.
    fn batch(&mut self) -> Result<Vec<Step>> {
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
        let xattrs = Xattrs::new(xattrs).map_err(|error| refused(&shown, error.to_string()))?;
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

/// Stores files and gives them their names.
struct Placer<'a> {
    tree: &'a mut Branch,
    rules: &'a Rules,
    objects: &'a objstore::Transaction<'a>,
    max_depth: usize,
    autocreate: bool,
    links: Vec<(Vec<EntryName>, Vec<EntryName>)>,
    counts: &'a mut super::BuildCounts,
}

impl Placer<'_> {
    fn place(&mut self, steps: Vec<Step>) -> Result<()> {
        let objects = self.objects;
        let stored: Vec<_> = steps.into_par_iter().map(|step| store(objects, step)).collect();
        for step in stored {
            let (step, linked) = step?;
            self.place_one(step, linked)?;
        }
        Ok(())
    }

    fn place_one(&mut self, step: Step, linked: Option<StoredFile>) -> Result<()> {
        let Step { path, uid, gid, action } = step;
        let Some((name, parents)) = path.split_last() else {
            if let Action::Dir(meta) = action {
                self.tree.meta = Some(self.objects.put(&meta)?);
                self.counts.dirs += 1;
            }
            return Ok(());
        };
        if path.len() > self.max_depth {
            return Err(Error::TooDeep { limit: self.max_depth });
        }
        match action {
            Action::Dir(_) => self.counts.dirs += 1,
            Action::Link(..) if linked.is_none() => {}
            _ => self.counts.files += 1,
        }
        self.ensure_parents(parents, uid, gid)?;
        let objects = self.objects;
        let names = self.dir(parents)?.open(objects)?;
        match action {
            Action::Dir(meta) => {
                let meta = objects.put(&meta)?;
                let slot = names.entry(name.clone()).or_insert_with(|| Slot::Dir(Box::new(Branch::new())));
                match slot {
                    Slot::Dir(dir) => dir.meta = Some(meta),
                    Slot::File(..) => {
                        return Err(Error::MergeConflict { what: "file with directory", name: name.clone() });
                    }
                }
            }
            Action::Stored(id, size) => put_file(names, name.clone(), id, size)?,
            Action::Link(target, _) => {
                if let Some((id, size)) = linked {
                    put_file(names, name.clone(), id, size)?;
                    if let Some((name, parents)) = target.split_last() {
                        let names = self.dir(parents)?.open(objects)?;
                        put_file(names, name.clone(), id, size)?;
                    }
                }
                self.links.push((path, target));
            }
            Action::File(..) => unreachable!("it was stored before"),
        }
        Ok(())
    }

    /// As in OSTree: where one is missing, those that are there get new attributes as well.
    fn ensure_parents(&mut self, parents: &[EntryName], uid: u32, gid: u32) -> Result<()> {
        if !self.autocreate || self.find(parents)?.is_some() {
            return Ok(());
        }
        let objects = self.objects;
        self.tree.meta = Some(self.implied_dir(uid, gid, "/")?);
        let mut metas = Vec::with_capacity(parents.len());
        let mut path = String::new();
        for name in parents {
            path = path + "/" + name.as_str();
            metas.push(self.implied_dir(uid, gid, &path)?);
        }
        let mut here = &mut *self.tree;
        for (name, meta) in parents.iter().zip(metas) {
            let slot = here.open(objects)?.entry(name.clone());
            match slot.or_insert_with(|| Slot::Dir(Box::new(Branch::new()))) {
                Slot::Dir(dir) => {
                    dir.meta = Some(meta);
                    here = dir;
                }
                Slot::File(..) => {
                    return Err(Error::MergeConflict { what: "file with directory", name: name.clone() });
                }
            }
        }
        Ok(())
    }

    /// Stores the attributes of a directory that the archive has in its paths only.
    fn implied_dir(&self, uid: u32, gid: u32, path: &str) -> Result<Id<DirMeta>> {
        Ok(self.objects.put(&self.rules.implied_dir(uid, gid, || path.to_owned())?)?)
    }

    /// The directory at a path; `None` if nothing is there.
    fn find(&mut self, path: &[EntryName]) -> Result<Option<&mut Branch>> {
        let objects = self.objects;
        let mut here = &mut *self.tree;
        for name in path {
            here = match here.open(objects)?.get_mut(name) {
                Some(Slot::Dir(dir)) => dir,
                Some(Slot::File(..)) => return Err(refused(name.as_str(), "Not a directory")),
                None => return Ok(None),
            };
        }
        Ok(Some(here))
    }

    fn dir(&mut self, path: &[EntryName]) -> Result<&mut Branch> {
        let shown = path.last().map(ToString::to_string).unwrap_or_default();
        self.find(path)?.ok_or_else(|| {
            refused(&shown, "No such file or directory: the archive does not have it before what is in it")
        })
    }

    fn place_links(&mut self) -> Result<()> {
        let objects = self.objects;
        for (path, target) in std::mem::take(&mut self.links) {
            let shown = target.iter().fold(String::new(), |text, name| format!("{text}/{name}"));
            let found = match target.split_last() {
                Some((name, parents)) => match self.find(parents)? {
                    Some(dir) => dir.open(objects)?.get(name),
                    None => None,
                },
                None => None,
            };
            let (id, size) = match found {
                Some(Slot::File(id, size)) => (*id, *size),
                Some(Slot::Dir(_)) => return Err(refused(&shown, "a hard link to a directory")),
                None => return Err(refused(&shown, "No such file or directory: a hard link leads there")),
            };
            if let Some((name, parents)) = path.split_last() {
                put_file(self.dir(parents)?.open(objects)?, name.clone(), id, size)?;
            }
        }
        Ok(())
    }
}

/// Stores the content of a step; what a link brings is returned beside it.
fn store(objects: &objstore::Transaction<'_>, step: Step) -> Result<(Step, Option<StoredFile>)> {
    let put = |header: &FileHeader, content: &[u8]| {
        let size = content.len() as u64;
        let id = objects.put_file(header, size, &mut &*content).map_err(|error| {
            let shown = step.path.iter().fold(String::new(), |text, name| format!("{text}/{name}"));
            content_error(&shown, error)
        });
        id.map(|id| (id, size))
    };
    match &step.action {
        Action::File(header, content) => {
            let (id, size) = put(header, content)?;
            Ok((Step { action: Action::Stored(id, size), ..step }, None))
        }
        Action::Link(_, Some((header, content))) => {
            let linked = put(header, content)?;
            Ok((step, Some(linked)))
        }
        _ => Ok((step, None)),
    }
}

fn content_error(shown: &str, error: objstore::Error) -> Error {
    match error {
        objstore::Error::Source(error) => broken(shown, &error.into()),
        objstore::Error::Unsupported { mode, what } => {
            refused(shown, format!("a {mode} repository cannot hold {what}"))
        }
        other => other.into(),
    }
}
