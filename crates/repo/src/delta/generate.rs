//! Making deltas.
//!
//! Which object goes into which part is planned from sizes alone; so parts are made side by side, and the same commits
//! always give the same bytes.

mod build;
mod plan;

use super::signed::seal;
use super::{ByteOrder, DELTAS, DeltaError, DeltaName, PartInfo, SUPERBLOCK, Superblock, names_of};
use crate::sign::Signer;
use crate::write::TMP;
use crate::{Repo, Result, pool};
use plan::{Item, Plan};
use rayon::prelude::*;
use sapwood_fsio::{self as fsio, At as _, Dir, Kind, Staged};
use sapwood_objstore::Format;
use std::io::Write as _;

/// How a delta is made.
#[derive(Debug, Clone)]
pub struct DeltaOptions {
    /// Whether the parts are in the superblock, or files beside it. Default: beside it.
    pub inline: bool,
    /// The byte order of sizes. Default: little.
    pub order: ByteOrder,
    /// A file of more bytes that is not patched is left to be fetched by itself; 0 is none. Default: 4 000 000.
    pub min_fallback_bytes: u64,
    /// Old and new file may have so many bytes together for the new one to be stored as a patch; 0 is no patches.
    /// Default: 128 000 000.
    pub max_bsdiff_bytes: u64,
    /// A new part is begun before one has more bytes of content. Default: 32 000 000.
    pub max_chunk_bytes: u64,
    /// Threads that make parts; each needs memory of some 10 times the content of a part. Default: one for each core.
    pub threads: usize,
}

impl Default for DeltaOptions {
    fn default() -> Self {
        Self {
            inline: false,
            order: ByteOrder::Little,
            min_fallback_bytes: 4_000_000,
            max_bsdiff_bytes: 128_000_000,
            max_chunk_bytes: 32_000_000,
            threads: pool::default_threads(),
        }
    }
}

/// What a delta is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeltaStats {
    /// Files that are another version of one that the source commit has.
    pub modified: u64,
    /// New metadata objects, the commit among them.
    pub new_metadata: u64,
    /// New files, modified ones among them.
    pub new_files: u64,
    /// New links.
    pub new_links: u64,
    /// Files that are patches.
    pub patched: u64,
    /// What the superblock says of the parts; without inline bytes.
    pub parts: Vec<PartInfo>,
    /// Objects that are to be fetched by themselves.
    pub fallbacks: Vec<super::Fallback>,
    /// Bytes that fetching the objects of the parts one by one would take, as the repository stores them.
    pub loose_bytes: u64,
}

impl Repo {
    /// Makes a delta, signed by each of `signers`, and puts it into the repository, in place of the one of that name. Indexes
    /// and summary are left as they are.
    ///
    /// The same commits, options and version of this program give the same bytes; the time in it is the target commit's.
    /// While it is put in place, and after a crash in that moment, there is no delta of that name. Each part keeps a file
    /// open until then.
    ///
    /// # Errors
    /// [`DeltaError::NotOstree`]; [`Error::NewerFormat`](crate::Error::NewerFormat) where the repository can only be
    /// read; [`Error::Sign`](crate::Error::Sign), [`Error::Lock`](crate::Error::Lock), [`Error::Store`](crate::Error::Store),
    /// [`Error::Io`](crate::Error::Io): then the old delta is still there,
    /// unless the disk failed in the last step.
    pub fn generate_delta(
        &self,
        name: &DeltaName,
        options: &DeltaOptions,
        signers: &[Box<dyn Signer>],
    ) -> Result<DeltaStats> {
        self.config().check_writable()?;
        let tmp = fsio::ensure_dir(self.dir(), TMP, 0o775)?;
        let (parts, superblock, stats) = self.stage_delta(name, options, signers, &tmp)?;
        let path = name.path();
        let _lock = self.lock_refs()?;
        let dir = fsio::ensure_dir(self.dir(), &path, 0o755)?;
        // Others' parts must never be taken for those of this superblock, nor this one's for theirs.
        fsio::remove_file_optional(&dir, SUPERBLOCK)?;
        for stale in names_of(&dir, Kind::File)? {
            fsio::remove_file_optional(&dir, stale)?;
        }
        publish(parts, superblock, &dir, SUPERBLOCK)?;
        if self.config().fsync {
            let parent = path.rsplit_once('/').map_or(DELTAS, |(parent, _)| parent);
            for path in [path.as_str(), parent, DELTAS] {
                fsio::sync_dir(&fsio::open_dir(self.dir(), path)?)?;
            }
        }
        Ok(stats)
    }

    /// Makes a delta and writes it to `dir`: the superblock as `file`, the parts as `0`, `1`, …, replacing what is there.
    ///
    /// # Errors
    /// As [`generate_delta`](Self::generate_delta).
    pub fn export_delta(
        &self,
        name: &DeltaName,
        options: &DeltaOptions,
        signers: &[Box<dyn Signer>],
        dir: &Dir,
        file: &str,
    ) -> Result<DeltaStats> {
        let (parts, superblock, stats) = self.stage_delta(name, options, signers, dir)?;
        publish(parts, superblock, dir, file)?;
        Ok(stats)
    }

    /// Makes the files of a delta, nameless, in `dir`.
    fn stage_delta(
        &self,
        name: &DeltaName,
        options: &DeltaOptions,
        signers: &[Box<dyn Signer>],
        dir: &Dir,
    ) -> Result<(Vec<Staged>, Staged, DeltaStats)> {
        if self.config().format != Format::Ostree {
            return Err(DeltaError::NotOstree.into());
        }
        let mut stats = DeltaStats::default();
        let target = self.store().load(name.to)?;
        let Plan { parts, fallbacks } = plan::plan(self, name, options, &mut stats)?;
        let fsync = self.config().fsync;
        let make = |items: &Vec<Item>| {
            let (mut info, bytes) = build::build(self, items)?;
            if options.inline {
                info.inline = Some(bytes);
                return Ok((info, None));
            }
            Ok((info, Some(stage(dir, &bytes, fsync)?)))
        };
        let files = pool::run(options.threads, |_| parts.par_iter().map(make).collect::<Result<Vec<_>>>())??;
        let (infos, files): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        for item in parts.iter().flatten() {
            stats.loose_bytes += self.store().stored_size(item.name)?;
            stats.patched += u64::from(item.source.is_some());
        }
        let superblock = Superblock {
            order: options.order,
            order_guessed: false,
            timestamp: target.timestamp,
            name: *name,
            commit: self.store().load_bytes(name.to.name())?,
            detached: self.store().detached(name.to)?,
            parts: infos,
            fallbacks,
        };
        let staged = stage(dir, &seal(superblock.encode(), signers)?, fsync)?;
        stats.parts = superblock.parts;
        stats.parts.iter_mut().for_each(|part| part.inline = None);
        stats.fallbacks = superblock.fallbacks;
        Ok((files.into_iter().flatten().collect(), staged, stats))
    }
}

fn stage(dir: &Dir, bytes: &[u8], fsync: bool) -> Result<Staged> {
    let mut staged = Staged::create(dir)?;
    staged.write_all(bytes).at("write", "a delta")?;
    fsio::set_mode(staged.file(), 0o644)?;
    if fsync {
        staged.sync()?;
    }
    Ok(staged)
}

fn publish(parts: Vec<Staged>, superblock: Staged, dir: &Dir, file: &str) -> Result<()> {
    for (index, part) in parts.into_iter().enumerate() {
        part.publish(dir, index.to_string())?;
    }
    Ok(superblock.publish(dir, file)?)
}
