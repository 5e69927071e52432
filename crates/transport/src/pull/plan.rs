//! What a pull would fetch: its metadata is fetched, and kept for the pull; files and parts of deltas are counted alone.

use super::before::Before;
use super::deltas;
use super::driver::Wire;
use super::events::{PullEvent, RefUpdate};
use super::meta::Places;
use super::net::{Net, of_disk};
use super::options::PullOptions;
use super::parts::PartCounts;
use super::queue::Queue;
use super::resolve::{Resolved, resolve};
use super::scratch::Scratch;
use super::worker::Local;
use super::{Pull, Traffic, check_caches};
use crate::{PullError, Remote};
use sapwood_objstore::{Commit, Id, ObjectId, ObjectKind, ObjectName};
use sapwood_repo::{DeltaName, Error as RepoError, Repo, Superblock, part_is_here, recorded_sizes};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::runtime::Handle;

/// What a pull would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullPlan {
    /// The refs that it would set.
    pub refs: Vec<RefUpdate>,
    /// The deltas that it would use; what they hold is not counted otherwise.
    pub deltas: Vec<DeltaPlan>,
    /// Files that it would fetch one by one.
    pub files: FilesPlan,
    /// Metadata objects that were fetched to find that out; they are kept for the pull.
    pub meta_fetched: u64,
    /// Bytes received for it.
    pub bytes_received: u64,
    /// Files asked for.
    pub requests: u64,
}

/// Files to be fetched, and what is known of their sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilesPlan {
    /// Their number.
    pub number: u64,
    /// Of those whose size as the remote stores them is recorded in the commit, or in its closure: how many bytes they are.
    pub exact_bytes: u64,
    /// Of those of which only the size of their content is known: the bytes of that. Compressed they are fewer.
    pub content_bytes: u64,
    /// Those of which nothing is known.
    pub of_unknown_size: u64,
}

/// What a delta would bring. All of it is as its superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaPlan {
    /// Which.
    pub name: DeltaName,
    /// Its parts.
    pub parts: u64,
    /// Those of them whose objects are here already.
    pub parts_here: u64,
    /// Bytes of its parts, as fetched.
    pub bytes: u64,
    /// Bytes of the parts that are here already.
    pub bytes_here: u64,
    /// Bytes of content in its parts.
    pub content_bytes: u64,
    /// Objects to be fetched one by one.
    pub fallbacks: u64,
    /// Their bytes, as the remote stores them.
    pub fallback_bytes: u64,
}

/// Finds out what [`pull`](super::pull) would fetch, and moves no ref.
///
/// Metadata has to be fetched for that, unless a delta brings it; it is kept as that of a pull that was cut short. Blocks as
/// `pull` does.
///
/// # Errors
/// See [`PullError`].
pub fn plan_pull(
    runtime: &Handle,
    repo: &Repo,
    remote: Arc<dyn Remote>,
    caches: &[&Repo],
    options: &PullOptions,
    on_event: &(dyn Fn(PullEvent<'_>) + Sync),
) -> Result<PullPlan, PullError> {
    check_caches(repo, caches)?;
    let source = remote.describe();
    let traffic = Traffic::within(options.max_bytes_per_second);
    let before = Before::of(repo, options)?;
    let resolving = resolve(&*remote, &traffic, repo.store().format(), options);
    let Resolved { targets, commit_bytes, deltas, .. } = runtime.block_on(resolving)?;
    let mut pull = Pull::begin(repo, options, &source, &before, targets, on_event)?;
    let choosing = deltas::choose(&*remote, &traffic, repo, options, pull.asked(), &deltas);
    let deltas = runtime.block_on(choosing)?;
    let mut plan = PullPlan { refs: pull.outcome.refs.clone(), ..PullPlan::default() };
    for delta in &deltas {
        plan.deltas.push(delta_plan(&pull, delta)?);
    }
    // What comes by a delta needs no metadata of its own.
    pull.targets.retain(|target| deltas.iter().all(|delta| delta.name.to != target.commit));
    let scratch = Arc::new(Scratch::of(pull.txn.objects()).map_err(of_disk)?);
    let queue = Arc::new(Queue::default());
    let channel = mpsc::channel();
    let net = Arc::new(Net {
        remote,
        format: repo.store().format(),
        limits: options.limits,
        places: Places::new(),
        commit_bytes,
        scratch: Arc::clone(&scratch),
        traffic,
        queue: Arc::clone(&queue),
        news: channel.0.clone(),
        file_bytes: Mutex::default(),
    });
    if !pull.targets.is_empty() {
        let roots = pull.roots_here()?;
        let wire = Wire {
            runtime,
            net: Arc::clone(&net),
            roots,
            deltas: Vec::new(),
            parts: PartCounts::default(),
            metadata_only: true,
        };
        let missing = pull.run(Local::Caches(caches), Some(&scratch), &queue, Some(wire), channel)?;
        let served = std::mem::take(&mut *net.file_bytes.lock().unwrap_or_else(PoisonError::into_inner));
        plan.files = files_plan(&pull, missing, served)?;
        plan.meta_fetched = pull.outcome.meta_fetched;
    }
    plan.bytes_received = net.traffic.received_bytes.load(Ordering::Relaxed);
    plan.requests = net.traffic.requests.load(Ordering::Relaxed);
    Ok(plan)
}

fn delta_plan(pull: &Pull<'_>, delta: &Superblock) -> Result<DeltaPlan, PullError> {
    let mut plan = DeltaPlan {
        name: delta.name,
        parts: delta.parts.len() as u64,
        parts_here: 0,
        bytes: 0,
        bytes_here: 0,
        content_bytes: 0,
        fallbacks: 0,
        fallback_bytes: 0,
    };
    for part in &delta.parts {
        plan.bytes = plan.bytes.saturating_add(part.bytes);
        plan.content_bytes = plan.content_bytes.saturating_add(part.content_bytes);
        if part_is_here(pull.txn.objects(), part)? {
            plan.parts_here += 1;
            plan.bytes_here = plan.bytes_here.saturating_add(part.bytes);
        }
    }
    for fallback in &delta.fallbacks {
        if !pull.txn.objects().contains(fallback.name).map_err(RepoError::from)? {
            plan.fallbacks += 1;
            plan.fallback_bytes = plan.fallback_bytes.saturating_add(fallback.stored_bytes);
        }
    }
    Ok(plan)
}

/// `recorded`: the sizes that closures tell.
fn files_plan(
    pull: &Pull<'_>,
    missing: Vec<(ObjectName, Option<u64>)>,
    mut recorded: HashMap<ObjectId, u64>,
) -> Result<FilesPlan, PullError> {
    if !missing.is_empty() {
        for target in &pull.targets {
            recorded.extend(file_sizes(pull, target.commit)?);
        }
    }
    let mut plan = FilesPlan { number: missing.len() as u64, ..FilesPlan::default() };
    for (name, content) in missing {
        match (recorded.get(&name.id), content) {
            (Some(stored), _) => plan.exact_bytes = plan.exact_bytes.saturating_add(*stored),
            (None, Some(content)) => plan.content_bytes = plan.content_bytes.saturating_add(content),
            (None, None) => plan.of_unknown_size += 1,
        }
    }
    Ok(plan)
}

/// The sizes of files, as stored, that a commit records. Where they make no sense they are not known.
fn file_sizes(pull: &Pull<'_>, commit: Id<Commit>) -> Result<Vec<(ObjectId, u64)>, PullError> {
    let commit: Commit = pull.txn.objects().load(commit).map_err(RepoError::from)?;
    let sizes = recorded_sizes(&commit).unwrap_or_else(|error| {
        tracing::warn!(%error, "the sizes that a commit records are of no use");
        Vec::new()
    });
    let files = sizes.into_iter().filter(|size| size.name.kind == ObjectKind::File);
    Ok(files.map(|size| (size.name.id, size.stored_bytes)).collect())
}
