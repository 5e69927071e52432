//! Laying an archive over a tree.
//!
//! An archive is one stream, so it is read by one thread; meanwhile the others hash and compress what was read before.
//! Files are held in memory by the batch, and the large ones go through without.

mod filter;
mod place;
mod read;

use super::build::TreeBuilder;
use crate::archive::{Archive, ArchiveError, decompressed};
use crate::{Error, Result, pool};
pub use filter::PathFilter;
use place::Placer;
use read::Reader;
use sapwood_objstore::{self as objstore, DirMeta, EntryName, FileHeader, Id, Mode, kind};
use std::io::Read;

/// How an archive is laid over a tree.
#[derive(Debug, Clone, Default)]
pub struct TarOptions {
    /// Whether parents that are missing are made: mode 0755, owner and group of the entry. Default: no, they are an error.
    pub autocreate_parents: bool,
    /// How paths, and targets of hard links, are changed. Default: not at all.
    pub filter: Option<PathFilter>,
}

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

fn content_error(shown: &str, error: objstore::Error) -> Error {
    match error {
        objstore::Error::Source(error) => broken(shown, &error.into()),
        objstore::Error::Unsupported { mode, what } => {
            refused(shown, format!("a {mode} repository cannot hold {what}"))
        }
        other => other.into(),
    }
}
