//! Laying an archive over a tree.
//!
//! An archive is one stream, so it is read by one thread; meanwhile the others hash and compress what was read before.
//! Files are held in memory by the batch, and the large ones go through without. Names are held to the end, up to a limit.

mod filter;
mod place;
mod read;

use super::build::TreeBuilder;
use crate::archive::{Archive, ArchiveError, Remembered, decompressed};
use crate::{Error, Result, pool};
pub use filter::PathFilter;
use place::Placer;
use read::Reader;
use sapwood_objstore::{self as objstore, DirMeta, EntryName, FileHeader, FileType, Id, Mode, Xattrs, kind};
use std::io::Read;

/// How an archive is laid over a tree.
#[derive(Debug, Clone)]
pub struct TarOptions {
    /// Whether parents that are missing are made: mode 0755, owner and group of the entry. Default: no, they are an error.
    pub autocreate_parents: bool,
    /// How paths, and targets of hard links, are changed. Default: not at all.
    pub filter: Option<PathFilter>,
    /// Most memory, in bytes, for what has to be remembered of one archive to its end: its names and its hard links, with 128
    /// bytes for each name and path. Default: 1 GiB, which is some six million names.
    pub max_names_bytes: u64,
}

impl Default for TarOptions {
    fn default() -> Self {
        Self { autocreate_parents: false, filter: None, max_names_bytes: 1 << 30 }
    }
}

/// What an entry does to the tree; its content is held or stored, as `C` says.
struct Step<C> {
    path: Vec<EntryName>,
    /// As the archive has it: what missing parents get.
    uid: u32,
    gid: u32,
    action: Action<C>,
}

enum Action<C> {
    Dir(DirMeta),
    File(C),
    /// A link to what has this path. It may bring the content of both.
    Link(Vec<EntryName>, Option<C>),
}

/// A file as it was read.
enum Content {
    Held(FileHeader, Vec<u8>),
    Stored(StoredFile),
}

/// A file that is stored, and the size of its content.
type StoredFile = (Id<kind::File>, u64);

impl Step<Content> {
    /// What it takes in memory, about.
    fn bytes(&self) -> u64 {
        let action = match &self.action {
            Action::Dir(meta) => xattrs_bytes(&meta.xattrs),
            Action::File(content) => content.bytes(),
            Action::Link(target, content) => path_bytes(target) + content.as_ref().map_or(0, Content::bytes),
        };
        (path_bytes(&self.path) + action) as u64
    }
}

impl Content {
    fn bytes(&self) -> usize {
        match self {
            Self::Held(header, content) => {
                let target = if let FileType::Symlink(target) = &header.file_type { target.len() } else { 0 };
                content.len() + target + xattrs_bytes(&header.xattrs)
            }
            Self::Stored(_) => 0,
        }
    }
}

/// What an allocation takes beside its content, and what points to it.
const ALLOCATION_BYTES: usize = 48;

fn path_bytes(path: &[EntryName]) -> usize {
    path.iter().map(|name| name.as_str().len() + ALLOCATION_BYTES).sum()
}

fn xattrs_bytes(xattrs: &Xattrs) -> usize {
    xattrs.iter().map(|(name, value)| name.len() + value.len() + 2 * ALLOCATION_BYTES).sum()
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
    let remembered = Remembered::new(options.max_names_bytes);
    let mut reader = Reader {
        archive: Archive::new(stream, remembered.clone()),
        rules: &builder.rules,
        objects: builder.objects,
        options,
        keeps_xattrs,
        max_depth: builder.options.max_depth,
    };
    let mut placer = Placer {
        tree: &mut builder.tree,
        rules: &builder.rules,
        objects: builder.objects,
        remembered,
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

/// A path as lists have it; that of the root is empty here.
fn shown(path: &[EntryName]) -> String {
    let mut text = String::new();
    for name in path {
        text.push('/');
        text.push_str(name.as_str());
    }
    text
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

fn content_error(shown: &str, error: objstore::Error) -> Error {
    match error {
        objstore::Error::Source(error) => broken(shown, &error.into()),
        objstore::Error::Unsupported { mode, what } => {
            refused(shown, format!("a {mode} repository cannot hold {what}"))
        }
        other => other.into(),
    }
}
