//! Pulling: refs and all they reach, from a remote or from another repository of this machine.
//!
//! The thread that calls owns the [frontier](frontier), which knows what is needed. Threads look objects up, verify and
//! store them; tasks on the runtime fetch. An object that arrived is hashed before it gets its name; a commit is marked
//! as incomplete, durably, before it is taken in, and the mark goes and refs move when all objects are durable.

mod before;
mod closure;
mod deltas;
mod driver;
mod events;
mod fresh;
mod frontier;
mod meta;
mod net;
mod options;
mod parts;
mod plan;
mod queue;
mod resolve;
mod scratch;
mod subpath;
mod summary;
mod throttle;
mod vouch;
mod window;
mod worker;

pub use events::{Progress, PullEvent, PullOutcome, RefUpdate};
pub use fresh::Freshness;
pub use options::{Age, Bindings, Deltas, FileModes, PullLimits, PullOptions, RefsInto, Scope, Wanted};
pub use plan::{DeltaPlan, FilesPlan, PullPlan, plan_pull};
pub use subpath::{Subpath, SubpathError};
pub use summary::{OnMismatch, RemoteSummary, SummaryCache, remote_refs, remote_summary};

use crate::{PullError, Remote, wire};
use before::Before;
use bytes::Bytes;
use driver::Wire;
use frontier::{Excess, Frontier};
use meta::Places;
use net::{Net, OnEvent, Traffic, of_disk};
use parts::PartCounts;
use queue::Queue;
use resolve::{Resolved, SummaryFiles, Target};
use sapwood_objstore::{Commit, Format, Id, Mode, ObjectId, ObjectName};
use sapwood_repo::statement::Seen;
use sapwood_repo::{
    Expected, Namespace, RefEdit, RefName, Refspec, RemoteName, Repo, Summary, SummaryCopy, SummaryState,
    Transaction,
};
use scratch::Scratch;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use subpath::{Part, Selection};
use summary::{Demands, Listing, Offered};
use tokio::runtime::Handle;
use worker::{Floor, Local, Workshop};

/// Pulls from a remote.
///
/// Blocks; must not be called from a task of `runtime`, which does the networking, must be a multi-threaded one, and needs
/// timers and I/O enabled. Refs move last, when all they reach is durable. After an error or a kill at any moment no ref
/// has moved, and the next pull takes up what had arrived.
///
/// Objects other than commits are taken from `caches`, repositories of this machine, where one has them; each is verified.
/// What one of them has wrong or cannot read is fetched.
///
/// # Errors
/// See [`PullError`].
pub fn pull(
    runtime: &Handle,
    repo: &Repo,
    remote: Arc<dyn Remote>,
    caches: &[&Repo],
    options: &PullOptions,
    on_event: &(dyn Fn(PullEvent<'_>) + Sync),
) -> Result<PullOutcome, PullError> {
    check_caches(repo, caches)?;
    let source = remote.describe();
    let ours = repo.store().format();
    let traffic = Traffic::within(options.max_bytes_per_second);
    let before = Before::of(repo, options)?;
    let summary_before = options.copy_summary.then(|| repo.summary_state()).transpose()?;
    let resolving = resolve::resolve(&*remote, &traffic, ours, options);
    let Resolved { targets, commit_bytes, deltas, summary, statement } = runtime.block_on(resolving)?;
    if let Some(files) = &summary {
        repo.check_summary_copy(&files.as_copy())?;
    }
    // Before anything that it led to is here: a crash forgets nothing of it.
    let believed = fresh::remember(repo, &source, options, statement.as_deref())?;
    let mut pull = Pull::begin(repo, options, &source, &before, targets, on_event)?;
    let choosing = deltas::choose(&*remote, &traffic, repo, options, pull.asked(), &deltas);
    let deltas = runtime.block_on(choosing)?;
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
    let roots = pull.roots_here()?;
    let wire = Wire {
        runtime,
        net: Arc::clone(&net),
        roots,
        deltas,
        parts: PartCounts::default(),
        metadata_only: false,
    };
    pull.run(Local::Caches(caches), Some(&scratch), &queue, Some(wire), channel)?;
    let copy = summary.as_ref().map(SummaryFiles::as_copy);
    let mut outcome = pull.commit(believed, copy.as_ref().zip(summary_before.as_ref()))?;
    outcome.bytes_received = net.traffic.received_bytes.load(Ordering::Relaxed);
    outcome.requests = net.traffic.requests.load(Ordering::Relaxed);
    Ok(outcome)
}

/// Refuses caches of another format than the repository's.
fn check_caches(repo: &Repo, caches: &[&Repo]) -> Result<(), PullError> {
    let ours = repo.store().format();
    match caches.iter().map(|cache| cache.store().format()).find(|theirs| *theirs != ours) {
        Some(theirs) => Err(PullError::FormatMismatch { remote: "a local cache".into(), theirs, ours }),
        None => Ok(()),
    }
}

/// Pulls from another repository of this machine, of the same format and any mode.
///
/// Blocks. Files are hardlinked or reflinked where both modes, owners and `options.trust` allow. Refs move last, as in
/// [`pull`]. With nothing wanted in particular, all refs of `from` itself are pulled. Its summary is looked at only where
/// the policy asks for a signed one, or for the newest, or it is to be kept; then no ref is believed that it does not list.
/// `options.requests` means nothing here.
///
/// # Errors
/// See [`PullError`].
pub fn pull_local(
    repo: &Repo,
    from: &Repo,
    options: &PullOptions,
    on_event: &(dyn Fn(PullEvent<'_>) + Sync),
) -> Result<PullOutcome, PullError> {
    let source = "the other repository";
    let (ours, theirs) = (repo.store().format(), from.store().format());
    if ours != theirs {
        return Err(PullError::FormatMismatch { remote: source.into(), theirs, ours });
    }
    let before = Before::of(repo, options)?;
    let summary_before = options.copy_summary.then(|| repo.summary_state()).transpose()?;
    let Listing { summary: listed, bytes, signatures, statement } = local_listing(from, source, options)?;
    let files = bytes.filter(|_| options.copy_summary);
    let files = files.map(|summary| SummaryFiles { summary, signatures, statement: statement.clone() });
    let copy = files.as_ref().map(SummaryFiles::as_copy);
    if let Some(copy) = &copy {
        repo.check_summary_copy(copy)?;
    }
    let believed = fresh::remember(repo, source, options, statement.as_deref())?;
    let targets = local_targets(from, source, options, listed.as_ref())?;
    let mut pull = Pull::begin(repo, options, source, &before, targets, on_event)?;
    pull.run(Local::Source(from, options.trust), None, &Queue::default(), None, mpsc::channel())?;
    pull.commit(believed, copy.as_ref().zip(summary_before.as_ref()))
}

/// The summary of the other repository, where the policy says that it is to be signed, or that it is to be the newest, or a
/// copy is to be kept: then it alone says what refs are. And what is beside it.
fn local_listing(from: &Repo, source: &str, options: &PullOptions) -> Result<Listing, PullError> {
    let demands = Demands::of(options, from.store().format());
    if !demands.is_summary_believed_alone() && !demands.whole {
        return Ok(Listing::default());
    }
    match read_listing(from, source, &demands) {
        // It was being replaced when it was read, file by file.
        Err(error) if error.is_mixed() => read_listing(from, source, &demands),
        other => other,
    }
}

fn read_listing(from: &Repo, source: &str, demands: &Demands<'_>) -> Result<Listing, PullError> {
    let read = |name| {
        let bytes = sapwood_fsio::read_optional(from.dir(), name, demands.max_bytes)?;
        Ok::<_, sapwood_fsio::Error>(bytes.map(Bytes::from))
    };
    let (bytes, signatures) = (read(wire::SUMMARY)?, read(wire::SUMMARY_SIG)?);
    let is_stated = demands.whole || demands.freshness.is_some();
    let statement = is_stated.then(|| read(wire::STATEMENT)).transpose()?.flatten();
    let checked = demands.freshness.map(|fresh| fresh.check(source, statement.as_deref())).transpose()?;
    let listing = demands.checked(source, bytes, Offered { signatures, statement, checked })?;
    if demands.whole && listing.summary.is_none() {
        return Err(PullError::NoSummary { remote: source.into() });
    }
    Ok(listing)
}

fn local_targets(
    from: &Repo,
    source: &str,
    options: &PullOptions,
    listed: Option<&Summary>,
) -> Result<Vec<Target>, PullError> {
    let collection = options.collection.as_ref().or(from.config().collection_id.as_ref());
    let own = |name: Option<RefName>, commit| {
        let collection = collection.cloned();
        Target { name, commit, collection, carried: false }
    };
    let with_mirrored = options.into == RefsInto::Mirror;
    if let (true, Some(summary)) = (options.wanted.is_empty(), listed) {
        let mut targets: Vec<_> =
            summary.refs.iter().map(|listed| own(Some(listed.name.clone()), listed.target)).collect();
        targets.extend(if with_mirrored { resolve::mirrored(source, summary)? } else { Vec::new() });
        return Ok(targets);
    }
    if options.wanted.is_empty() {
        let mut targets = Vec::new();
        for entry in from.refs()?.into_iter().filter(|entry| entry.name.is_local()) {
            targets.push(own(Some(entry.name.name), entry.target));
        }
        for entry in if with_mirrored { from.mirrored_refs()? } else { Vec::new() } {
            let Namespace::Mirror(collection) = entry.name.namespace else { continue };
            let (name, commit) = (Some(entry.name.name), entry.target);
            targets.push(Target { name, commit, collection: Some(collection), carried: true });
        }
        return Ok(targets);
    }
    let resolve = |wanted: &Wanted| match wanted {
        Wanted::Commit(commit) => Ok(own(None, *commit)),
        Wanted::RefAt(name, commit) => Ok(own(Some(name.clone()), *commit)),
        Wanted::Ref(name) => Ok(own(Some(name.clone()), local_target(from, source, options, name, listed)?)),
    };
    options.wanted.iter().map(resolve).collect()
}

/// What a ref of the other repository points to: where its summary is not believed alone, one that is only listed counts, too.
fn local_target(
    from: &Repo,
    source: &str,
    options: &PullOptions,
    name: &RefName,
    believed: Option<&Summary>,
) -> Result<Id<Commit>, PullError> {
    let mut read = None;
    if believed.is_none() {
        if let Some(commit) = from.ref_target(&Refspec::local(name.clone()))? {
            return Ok(commit);
        }
        let limit = options.limits.max_meta_bytes;
        let bytes = sapwood_fsio::read_optional(from.dir(), wire::SUMMARY, limit)?;
        read = bytes.map(|bytes| summary::decode(source, from.store().format(), &bytes)).transpose()?;
    }
    let summary = believed.or(read.as_ref());
    let listed = summary.and_then(|summary| summary.get(name.as_str()));
    listed.map(|listed| listed.target).ok_or_else(|| PullError::UnknownRef {
        remote: source.into(),
        name: name.clone(),
        has_summary: summary.is_some(),
    })
}

/// A pull from the moment its commits are known.
struct Pull<'a> {
    repo: &'a Repo,
    options: &'a PullOptions,
    source: &'a str,
    txn: Transaction<'a>,
    targets: Vec<Target>,
    /// What deltas are looked for.
    asked: Vec<deltas::Asked>,
    outcome: PullOutcome,
    on_event: OnEvent<'a>,
}

impl<'a> Pull<'a> {
    fn begin(
        repo: &'a Repo,
        options: &'a PullOptions,
        source: &'a str,
        before: &Before,
        mut targets: Vec<Target>,
        on_event: OnEvent<'a>,
    ) -> Result<Self, PullError> {
        let mut outcome = PullOutcome::default();
        // Nobody else has a say in what our own refs are, whatever he carries on for whom.
        let ours = repo.config().collection_id.as_ref();
        targets.retain(|target| !target.carried || target.collection.as_ref() != ours);
        let mut asked = Vec::new();
        for target in &targets {
            let name = destination(repo, options, target);
            on_event(PullEvent::Resolved { name: name.as_ref(), commit: target.commit });
            let old = name.as_ref().map_or(Ok(None), |name| before.target(repo, name))?;
            asked.push(deltas::Asked { commit: target.commit, name: target.name.clone(), old });
            match name {
                Some(name) => outcome.refs.push(RefUpdate { name, old, new: target.commit }),
                None => outcome.commits.push(target.commit),
            }
        }
        let mut txn = repo.begin()?;
        txn.replace(options.replace.iter().copied());
        Ok(Self { repo, options, source, txn, targets, asked, outcome, on_event })
    }

    /// What deltas are looked for; to be called once.
    fn asked(&mut self) -> Vec<deltas::Asked> {
        std::mem::take(&mut self.asked)
    }

    /// Commits asked for that are here already: they are not fetched, but what is beside them may be new.
    fn roots_here(&self) -> Result<Vec<Id<Commit>>, PullError> {
        let unique: HashSet<_> = self.targets.iter().map(|target| target.commit).collect();
        let mut here = Vec::new();
        for commit in unique {
            if self.txn.objects().contains(commit.name()).map_err(sapwood_repo::Error::from)? {
                here.push(commit);
            }
        }
        Ok(here)
    }

    /// Commits asked for whose closure is of use: whose trees are walked, given those that are here.
    fn closures(&self, here: &HashSet<ObjectId>) -> Result<Vec<Id<Commit>>, PullError> {
        let options = self.options;
        let is_used = self.repo.store().format() == Format::Native
            && options.scope == Scope::Everything
            && options.subpaths.is_empty();
        let unique: HashSet<_> =
            self.targets.iter().filter(|_| is_used).map(|target| target.commit).collect();
        let mut closures = Vec::new();
        for commit in unique {
            if !here.contains(&commit.raw()) || self.repo.is_partial(commit)? {
                closures.push(commit);
            }
        }
        Ok(closures)
    }

    /// What each wanted commit must not be older than.
    fn floors(&self) -> Result<HashMap<ObjectId, Floor>, PullError> {
        let mut floors: HashMap<ObjectId, Floor> = HashMap::new();
        let mut add = |commit: Id<Commit>, than: Id<Commit>| {
            let loaded = self.repo.store().load(than).map_err(sapwood_repo::Error::from)?;
            let floor = Floor { commit: than, timestamp: loaded.timestamp };
            let known = floors.entry(commit.raw()).or_insert(floor);
            if known.timestamp < floor.timestamp {
                *known = floor;
            }
            Ok::<_, PullError>(())
        };
        let is_pinned = |update: &RefUpdate| {
            let wanted = self.options.wanted.iter();
            wanted.clone().any(|wanted| matches!(wanted, Wanted::RefAt(name, _) if *name == update.name.name))
        };
        match self.options.age {
            Age::Any => {}
            age @ (Age::NotBeforeRef | Age::Forward) => {
                let is_checked = |update: &&RefUpdate| age == Age::NotBeforeRef || !is_pinned(update);
                for update in self.outcome.refs.iter().filter(is_checked) {
                    update.old.map_or(Ok(()), |old| add(update.new, old))?;
                }
            }
            Age::NotBefore(than) => {
                self.targets.iter().try_for_each(|target| add(target.commit, than))?;
            }
        }
        Ok(floors)
    }

    /// Fetches what is wanted, or, where that is all that was asked for, its metadata; then gives the files that are
    /// missing, with the size of their content where it is known.
    fn run(
        &mut self,
        local: Local<'_>,
        scratch: Option<&Scratch>,
        queue: &Queue,
        mut wire: Option<Wire<'_>>,
        channel: (mpsc::Sender<worker::News>, mpsc::Receiver<worker::News>),
    ) -> Result<Vec<(ObjectName, Option<u64>)>, PullError> {
        let options = self.options;
        let mut bound: HashMap<_, Vec<_>> = HashMap::new();
        let local_source = matches!(local, Local::Source(..));
        let copied_whole = options.wanted.is_empty();
        let selection = Selection::new(&options.subpaths);
        let part = selection.is_some().then_some(Part::ROOT);
        let mut frontier =
            Frontier::new(options.scope, part, options.limits.max_objects, options.limits.max_depth);
        for target in &self.targets {
            frontier.want(target.commit, options.depth).map_err(|excess: Excess| {
                tracing::debug!(?excess, "too many refs");
                PullError::TooManyObjects { limit: options.limits.max_objects }
            })?;
            if let Some(name) = &target.name {
                // Whoever carries a ref on for a collection must be sure of it, whoever says so. A remote that is copied whole may
                // say itself of what collection its own refs are.
                let is_carried = target.carried || options.into == RefsInto::Mirror && !copied_whole;
                let is_sure = options.collection.is_some() || local_source || is_carried;
                let collection = target.collection.clone().filter(|_| is_sure);
                bound.entry(target.commit.raw()).or_default().push((name.clone(), collection));
            }
        }
        let roots = wire.iter().flat_map(|wire| &wire.roots).map(Id::raw).collect();
        if wire.is_some() {
            frontier.expect_closures(self.closures(&roots)?);
        }
        let workshop = Workshop {
            repo: self.repo,
            objects: self.txn.objects(),
            local,
            scratch,
            source: self.source,
            bound: &bound,
            bindings: options.bindings,
            floors: &self.floors()?,
            // A store that cannot keep other modes says so for each file before it is read.
            file_modes: match self.repo.store().mode() {
                Mode::BareUserOnly => FileModes::Plain,
                _ => options.file_modes,
            },
            scope: options.scope,
            selection,
            policy: &options.policy,
            roots: &roots,
        };
        let over_the_wire = wire.is_some();
        if let Some(wire) = &mut wire {
            wire.parts =
                parts::apply(&workshop, &wire.net, wire.runtime, &wire.deltas, options, self.on_event)?;
            self.outcome.delta_parts = wire.parts.applied;
        }
        let frontier = driver::drive(frontier, options, &workshop, queue, wire, channel, self.on_event)?;
        let progress = frontier.progress();
        if over_the_wire {
            self.outcome.meta_cached = progress.meta_local;
            self.outcome.files_cached = progress.files_local;
        }
        self.outcome.meta_fetched = progress.meta_done - self.outcome.meta_cached;
        self.outcome.files_fetched = progress.files_done - self.outcome.files_cached;
        self.txn.check_announced(&frontier.entered().collect())?;
        for commit in frontier.walked() {
            self.txn.complete(commit);
        }
        Ok(frontier.files_left().collect())
    }

    /// Refs move from where they were, and a summary replaces the one that was there, when this began: so of pulls beside each
    /// other none takes back what another brings from then on.
    fn commit(
        mut self,
        believed: Option<(RemoteName, Seen)>,
        copy: Option<(&SummaryCopy<'_>, &SummaryState)>,
    ) -> Result<PullOutcome, PullError> {
        (self.on_event)(PullEvent::Syncing);
        for update in self.outcome.refs.iter().filter(|update| update.old != Some(update.new)) {
            let (name, target) = (update.name.clone(), update.new);
            self.txn.edit_ref(RefEdit::Set { name, expected: Expected::Still(update.old), target });
        }
        if let Some((remote, seen)) = believed {
            self.txn.believe(remote, seen);
        }
        let source = self.source;
        let committed = match copy {
            Some((copy, before)) => self.txn.commit_with_summary(copy, before),
            None => self.txn.commit(),
        };
        self.outcome.published = committed.map_err(|error| fresh::of_repo(source, error))?;
        Ok(self.outcome)
    }
}

/// The ref that is set.
fn destination(repo: &Repo, options: &PullOptions, target: &Target) -> Option<Refspec> {
    let name = target.name.clone()?;
    Some(match (&options.into, &target.collection) {
        (RefsInto::Remote(remote), _) => Refspec::of_remote(remote.clone(), name),
        (RefsInto::Mirror, Some(collection)) if repo.config().collection_id.as_ref() != Some(collection) => {
            Refspec::mirrored(collection.clone(), name)
        }
        (RefsInto::Heads | RefsInto::Mirror, _) => Refspec::local(name),
    })
}
