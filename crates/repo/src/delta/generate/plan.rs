//! What goes into a delta, in which part, and what each changed file is made of.

use super::{DeltaOptions, DeltaStats};
use crate::delta::{DeltaName, Fallback};
use crate::ids::Spill;
use crate::reach::{OnBad, Reachable};
use crate::{Repo, Result, Walk, WalkEntry};
use sapwood_objstore::{FileHeader, Id, ObjectName, kind};
use std::collections::{HashMap, HashSet};

/// Names of files in which a small change changes everything after it: nothing of an older one can be used.
const COMPRESSED: [&str; 6] = [".xz", ".bz2", ".gz", ".zst", ".lz4", ".zip"];
/// How much longer or shorter, in hundredths, a file of the same name elsewhere may be to be taken for an older one.
const SIMILAR_PERCENT: u64 = 30;
/// What an object needs in a part beside its content, roughly, in bytes.
const OVERHEAD_BYTES: u64 = 64;

/// An object that a part makes.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: ObjectName,
    /// Bytes of content; 0 for links.
    pub(super) size: u64,
    /// A file of the source commit that is patched.
    pub(super) source: Option<Id<kind::File>>,
}

/// What a delta will be made of.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The objects of each part; there is one part at least.
    pub(super) parts: Vec<Vec<Item>>,
    pub(super) fallbacks: Vec<Fallback>,
}

/// A new file.
struct NewFile {
    path: String,
    id: Id<kind::File>,
    header: FileHeader,
    size: u64,
}

/// Finds the new objects and puts them in order: directories, patched files, other files, links; each in the order of
/// the tree.
pub(super) fn plan(
    repo: &Repo,
    name: &DeltaName,
    options: &DeltaOptions,
    stats: &mut DeltaStats,
) -> Result<Plan> {
    let old = Reachable::new(&Spill::never());
    if let Some(from) = name.from {
        old.add(repo.store(), &[repo.root(from)?], options.threads, OnBad::Fail)?;
    }
    let (metas, files) = new_objects(repo, name, &old)?;
    let sources = match name.from {
        Some(from) => Sources::find(repo.walk(repo.root(from)?), &files)?,
        None => Sources::default(),
    };
    let mut plan = Plan::default();
    let mut items = Vec::new();
    for name in metas {
        items.push(Item { name, size: repo.store().load_bytes(name)?.len() as u64, source: None });
    }
    stats.new_metadata = items.len() as u64 + 1;
    let (mut patched, mut whole, mut links) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let mut item = Item { name: file.id.name(), size: file.size, source: None };
        if !file.header.is_regular() {
            links.push(item);
            continue;
        }
        stats.new_files += 1;
        let source = sources.of(repo, &file)?;
        stats.modified += u64::from(source.is_some());
        let fits =
            |(_, size): &(Id<kind::File>, u64)| size.saturating_add(file.size) <= options.max_bsdiff_bytes;
        if let Some((id, _)) = source.filter(fits) {
            item.source = Some(id);
            patched.push(item);
        } else if options.min_fallback_bytes != 0 && file.size > options.min_fallback_bytes {
            let stored_bytes = repo.store().stored_size(item.name)?;
            plan.fallbacks.push(Fallback { name: item.name, stored_bytes, content_bytes: file.size });
        } else {
            whole.push(item);
        }
    }
    stats.new_links = links.len() as u64;
    let (mut part, mut part_bytes) = (Vec::new(), 0);
    for item in items.into_iter().chain(patched).chain(whole).chain(links) {
        let bytes = item.size + OVERHEAD_BYTES;
        if part_bytes > 0 && part_bytes + bytes > options.max_chunk_bytes {
            plan.parts.push(std::mem::take(&mut part));
            part_bytes = 0;
        }
        part_bytes += bytes;
        part.push(item);
    }
    plan.parts.push(part);
    Ok(plan)
}

/// The metadata objects and the files that the target has and the source has not, each once, in the order of the tree.
fn new_objects(repo: &Repo, name: &DeltaName, old: &Reachable) -> Result<(Vec<ObjectName>, Vec<NewFile>)> {
    let (mut seen, mut metas, mut files) = (HashSet::<ObjectName>::new(), Vec::new(), Vec::new());
    let root = repo.root(name.to)?;
    let mut add_meta = |seen: &mut HashSet<ObjectName>, name: ObjectName| -> Result<()> {
        if !old.contains(&name)? && seen.insert(name) {
            metas.push(name);
        }
        Ok(())
    };
    for name in [root.meta.name(), root.tree.name()] {
        add_meta(&mut seen, name)?;
    }
    for entry in repo.walk(root) {
        match entry? {
            WalkEntry::Dir { entry, .. } => {
                for name in [entry.meta.name(), entry.tree.name()] {
                    add_meta(&mut seen, name)?;
                }
            }
            WalkEntry::File { path, entry } => {
                let name = entry.id.name();
                if !old.contains(&name)? && seen.insert(name) {
                    let object = repo.store().open_file(entry.id)?;
                    files.push(NewFile { path, id: entry.id, header: object.header, size: object.size });
                }
            }
        }
    }
    Ok((metas, files))
}

/// Files of the source commit that may be what new files were before.
#[derive(Default)]
struct Sources {
    by_path: HashMap<String, Id<kind::File>>,
    by_name: HashMap<String, Vec<Id<kind::File>>>,
}

impl Sources {
    fn find(walk: Walk<'_>, files: &[NewFile]) -> Result<Self> {
        let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let names: HashSet<&str> = files.iter().map(|file| base_name(&file.path)).collect();
        let mut found = Self::default();
        for entry in walk {
            let WalkEntry::File { path, entry } = entry? else { continue };
            if names.contains(base_name(&path)) {
                found.by_name.entry(base_name(&path).to_owned()).or_default().push(entry.id);
            }
            if paths.contains(path.as_str()) {
                found.by_path.insert(path, entry.id);
            }
        }
        Ok(found)
    }

    /// The file at the same path, else the one of the same name whose size is nearest; and its size.
    fn of(&self, repo: &Repo, file: &NewFile) -> Result<Option<(Id<kind::File>, u64)>> {
        if file.size == 0 || COMPRESSED.iter().any(|end| file.path.ends_with(end)) {
            return Ok(None);
        }
        if let Some(id) = self.by_path.get(&file.path)
            && let Some(size) = usable(repo, *id)?
        {
            return Ok(Some((*id, size)));
        }
        let mut best: Option<(Id<kind::File>, u64)> = None;
        for id in self.by_name.get(base_name(&file.path)).into_iter().flatten() {
            let Some(size) = usable(repo, *id)? else { continue };
            let distance = size.abs_diff(file.size);
            let nearer = best.is_none_or(|(_, best)| distance < best.abs_diff(file.size));
            if nearer && distance.saturating_mul(100) <= file.size.saturating_mul(SIMILAR_PERCENT) {
                best = Some((*id, size));
            }
        }
        Ok(best)
    }
}

/// The size of a file that can be patched: a regular one that everybody may read, as not only root applies deltas.
fn usable(repo: &Repo, id: Id<kind::File>) -> Result<Option<u64>> {
    let object = repo.store().open_file(id)?;
    let readable = object.header.is_regular() && object.header.mode & 0o004 != 0 && object.size > 0;
    Ok(readable.then_some(object.size))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
