//! Joins the frontier, the threads and the fetches, with a bounded number of each under way.

use super::events::PullEvent;
use super::frontier::{Excess, Frontier, Item};
use super::net::{Net, OnEvent};
use super::options::PullOptions;
use super::parts::PartCounts;
use super::queue::{Job, Queue};
use super::throttle::requests_within;
use super::window::{Seen, Window};
use super::worker::{Found, News, Workshop};
use crate::{FetchError, PullError};
use sapwood_objstore::{Commit, Error, Id, Mode, ObjectName, Transaction};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Objects looked up by one thread at once.
const LOOK_BATCH: usize = 128;
/// Batches under way for each thread.
const BATCHES_PER_THREAD: usize = 2;
/// Closures under way at once: each is in memory whole, compressed and decompressed.
const CLOSURES_AT_ONCE: usize = 2;

/// Where what is not here comes from over the network.
pub(super) struct Wire<'a> {
    pub(super) runtime: &'a Handle,
    pub(super) net: Arc<Net>,
    /// Commits that are here, whose metadata beside them is still to be asked for.
    pub(super) roots: Vec<Id<Commit>>,
    /// Deltas to commits that are wanted.
    pub(super) deltas: Vec<sapwood_repo::Superblock>,
    /// What has been applied of them.
    pub(super) parts: PartCounts,
    /// Whether files are not fetched.
    pub(super) metadata_only: bool,
}

/// Everything under way.
struct Driver<'a> {
    frontier: Frontier,
    options: &'a PullOptions,
    source: &'a str,
    queue: &'a Queue,
    /// Where content takes as much room as it has bytes, so that what cannot fit need not be fetched to find that out.
    roomy: Option<&'a Transaction<'a>>,
    wire: Option<Wire<'a>>,
    fetches: JoinSet<()>,
    /// How many may be under way.
    window: Window,
    /// Fetches that are not stored yet, and other answers waited for.
    in_flight: usize,
    /// Those of them that are hints, for which the pull does not wait.
    hints_in_flight: usize,
    /// Closures that are asked for. Only a survey, which learns sizes from them, waits for these.
    closures_in_flight: usize,
    /// Since when nothing but closures is waited for.
    waiting_since: Option<Instant>,
    batches: usize,
    /// How often objects came wrong.
    retried: HashMap<ObjectName, u32>,
    /// How often there was no room for one beside the others.
    refused: u64,
    on_event: OnEvent<'a>,
    last_tick: Instant,
}

/// Runs until the frontier is done; returns it.
pub(super) fn drive(
    frontier: Frontier,
    options: &PullOptions,
    workshop: &Workshop<'_>,
    queue: &Queue,
    wire: Option<Wire<'_>>,
    channel: (Sender<News>, Receiver<News>),
    on_event: OnEvent<'_>,
) -> Result<Frontier, PullError> {
    let (sender, receiver) = channel;
    let threads = options.threads.max(1);
    let context = sapwood_fsio::fault::context();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (context, sender) = (context.clone(), sender.clone());
            scope.spawn(move || {
                let _in = context.enter();
                workshop.work(queue, threads, &sender);
            });
        }
        let mut driver = Driver {
            frontier,
            options,
            source: workshop.source,
            queue,
            roomy: (workshop.repo.store().mode() != Mode::Archive).then_some(workshop.objects),
            wire,
            fetches: JoinSet::new(),
            window: Window::new(requests_within(options.max_bytes_per_second, options.requests)),
            in_flight: 0,
            hints_in_flight: 0,
            closures_in_flight: 0,
            waiting_since: None,
            batches: 0,
            retried: HashMap::new(),
            refused: 0,
            on_event,
            last_tick: Instant::now(),
        };
        let result = driver.run(&receiver, threads);
        // Ends the threads, whatever came of it; fetches end with the driver.
        queue.close();
        result.map(|()| driver.frontier)
    })
}

impl Driver<'_> {
    fn run(&mut self, news: &Receiver<News>, threads: usize) -> Result<(), PullError> {
        loop {
            self.check_room()?;
            self.hand_out(threads);
            if self.is_done() && !self.is_waited_for() {
                break;
            }
            match news.recv_timeout(self.options.progress_interval) {
                Ok(news) => self.digest(news)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PullError::Stopped { why: "all threads ended" });
                }
            }
            while let Ok(news) = news.try_recv() {
                self.digest(news)?;
            }
            self.adapt();
            while let Some(ended) = self.fetches.try_join_next() {
                if ended.is_err() {
                    return Err(PullError::Stopped { why: "the runtime is shutting down" });
                }
            }
            if self.last_tick.elapsed() >= self.options.progress_interval {
                self.tell();
            }
        }
        self.tell();
        Ok(())
    }

    fn is_survey(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.metadata_only)
    }

    fn is_done(&self) -> bool {
        if self.is_survey() { self.frontier.is_surveyed() } else { self.frontier.is_done() }
    }

    /// Whether something is under way, or not begun, that is not the frontier's.
    fn is_waited_for(&mut self) -> bool {
        let is_idle = self.in_flight == self.hints_in_flight && self.batches == 0;
        let has_roots = self.wire.as_ref().is_some_and(|wire| !wire.roots.is_empty());
        !is_idle || has_roots || (self.is_survey() && self.waits_for_closures())
    }

    /// Asks for the metadata beside commits that are here.
    fn ask_for_metadata_of_roots(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        while self.in_flight < self.window.size() {
            let Some(root) = wire.roots.pop() else { break };
            self.fetches.spawn_on(Arc::clone(&wire.net).detached(root), wire.runtime);
            self.in_flight += 1;
        }
    }

    /// What they say makes the pull faster; it neither waits for them nor fails with them.
    fn ask_for_closures(&mut self) {
        let Some(wire) = &self.wire else { return };
        while self.closures_in_flight < CLOSURES_AT_ONCE {
            let Some(commit) = self.frontier.next_closure() else { break };
            let net = Arc::clone(&wire.net);
            self.fetches.spawn_on(net.closure(commit, wire.metadata_only), wire.runtime);
            self.closures_in_flight += 1;
        }
    }

    /// Whether a survey waits for what closures say of sizes; not for one that comes so slowly that all else is long here.
    fn waits_for_closures(&mut self) -> bool {
        if self.closures_in_flight == 0 && !self.frontier.has_closure() {
            return false;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.options.limits.max_closure_wait {
            return true;
        }
        tracing::warn!("the sizes that closures tell come too slowly, and are left out");
        false
    }

    /// Refuses what cannot fit, before any of it is fetched. What is on its way is looked at when it is written.
    fn check_room(&self) -> Result<(), PullError> {
        let bytes = self.frontier.queued_bytes();
        let Some(objects) = self.roomy.filter(|_| bytes > 0 && !self.is_survey()) else { return Ok(()) };
        objects.check_space(bytes).map_err(|error| sapwood_repo::Error::from(error).into())
    }

    fn hand_out(&mut self, threads: usize) {
        while self.batches < threads * BATCHES_PER_THREAD {
            let batch: Vec<_> = std::iter::from_fn(|| self.frontier.next_look()).take(LOOK_BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.batches += 1;
            self.queue.push(Job::Look(batch));
        }
        self.ask_for_closures();
        self.ask_for_metadata_of_roots();
        while self.in_flight < self.window.size() {
            let next = if self.is_survey() { self.frontier.next_meta() } else { self.frontier.next_fetch() };
            let Some(item) = next else { return };
            self.fetch(item, false);
        }
        self.window.is_full();
    }

    /// How many requests are worth it, by what came of those until now.
    fn adapt(&mut self) {
        let Some(wire) = &self.wire else { return };
        let waits = wire.net.traffic.waits();
        // What finds no room is fetched again, too.
        let troubles = wire.net.remote.troubles() + self.refused;
        self.window.judge(Seen { waits, troubles });
    }

    fn fetch(&mut self, item: Item, whole: bool) {
        let Some(wire) = &self.wire else { return };
        self.in_flight += 1;
        self.hints_in_flight += usize::from(item.is_hint());
        self.fetches.spawn_on(Arc::clone(&wire.net).object(item, whole), wire.runtime);
    }

    fn digest(&mut self, news: News) -> Result<(), PullError> {
        if let News::Stored(item, _)
        | News::Bad(item, _)
        | News::Broken(item, _)
        | News::NotThere(item)
        | News::NoRoom(item, _) = &news
        {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.hints_in_flight -= usize::from(item.is_hint());
            self.window.ended();
        }
        match news {
            News::Looked(looked) => {
                self.batches -= 1;
                for (item, found) in looked {
                    let added = match found {
                        Found::Here(contents) => self.frontier.here(item, contents),
                        Found::Taken(contents) => self.frontier.taken(item, contents),
                        Found::Absent => {
                            self.frontier.absent(item);
                            Ok(())
                        }
                        Found::Missing => {
                            let tolerated = self.frontier.nowhere(item);
                            self.ends(item, tolerated)?;
                            Ok(())
                        }
                    };
                    added.map_err(|excess| self.excess(excess))?;
                }
            }
            News::Stored(item, contents) => {
                self.frontier.arrived(item, contents).map_err(|excess| self.excess(excess))?;
            }
            News::Bad(item, _) | News::Broken(item, _) if item.is_hint() => drop(self.frontier.missing(item)),
            News::Bad(item, error) => self.bad(item, error)?,
            News::Broken(item, error) => self.broken(item, error)?,
            News::NotThere(item) => {
                let tolerated = self.frontier.missing(item);
                self.ends(item, tolerated)?;
            }
            News::NoRoom(item, error) => self.no_room(item, error)?,
            News::Several(several) => {
                for news in several {
                    self.digest(news)?;
                }
            }
            News::Detached => self.in_flight = self.in_flight.saturating_sub(1),
            News::Closure(commit, dirs) => self.frontier.hint(commit, dirs),
            News::ClosureEnds => {
                self.closures_in_flight = self.closures_in_flight.saturating_sub(1);
                self.waiting_since = None;
            }
            News::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// A proxy may have mangled it, or a part of it be from another time: it is fetched as a whole once more.
    fn bad(&mut self, item: Item, error: Error) -> Result<(), PullError> {
        if self.may_retry(item, 1) {
            tracing::warn!(object = %item.name, %error, "came wrong, fetching it again");
            self.fetch(item, true);
            return Ok(());
        }
        Err(PullError::BadObject { remote: self.source.into(), object: item.name, source: Box::new(error) })
    }

    /// What the remote tried to mend itself, without success: if there are other places, one of these may do better.
    fn broken(&mut self, item: Item, error: FetchError) -> Result<(), PullError> {
        let midway = matches!(
            error,
            FetchError::Broken { .. }
                | FetchError::Truncated { .. }
                | FetchError::TooSlow { .. }
                | FetchError::TooLarge { .. }
                | FetchError::Changed { .. }
        );
        // What has an id does not change: one of the answers was wrong.
        let at_least = u32::from(matches!(error, FetchError::Changed { .. }));
        if midway && self.may_retry(item, at_least) {
            tracing::warn!(object = %item.name, %error, "trying elsewhere");
            self.fetch(item, true);
            return Ok(());
        }
        let what = format!("object {}", item.name).into();
        Err(PullError::Fetch { what, source: Box::new(error) })
    }

    /// Others may be in its way, which it then waits for; or parts that nobody holds.
    fn no_room(&mut self, item: Item, error: PullError) -> Result<(), PullError> {
        self.refused += 1;
        if self.frontier.refused(item) {
            tracing::debug!(object = %item.name, %error, "waiting for room");
            return Ok(());
        }
        if self.wire.as_ref().is_some_and(|wire| wire.net.scratch.give_way()) {
            self.fetch(item, false);
            return Ok(());
        }
        Err(error)
    }

    /// Whether an object is worth another fetch: one for each other place, and at least so many.
    fn may_retry(&mut self, item: Item, at_least: u32) -> bool {
        let places = self.wire.as_ref().map_or(1, |wire| wire.net.remote.places());
        let times = self.retried.entry(item.name).or_default();
        *times += 1;
        *times <= at_least.max(places.saturating_sub(1))
    }

    fn ends(&self, item: Item, tolerated: bool) -> Result<(), PullError> {
        if tolerated {
            tracing::debug!(object = %item.name, "history ends here");
            return Ok(());
        }
        Err(PullError::NotThere { remote: self.source.into(), object: item.name })
    }

    fn excess(&self, excess: Excess) -> PullError {
        match excess {
            Excess::Objects => PullError::TooManyObjects { limit: self.options.limits.max_objects },
            Excess::Depth(object) => PullError::TooDeep { limit: self.options.limits.max_depth, object },
        }
    }

    fn tell(&mut self) {
        self.last_tick = Instant::now();
        let mut progress = self.frontier.progress();
        progress.requests_open = (self.in_flight + self.closures_in_flight) as u64;
        if let Some(wire) = &self.wire {
            progress.bytes_received = wire.net.traffic.received_bytes.load(Ordering::Relaxed);
            progress.requests = wire.net.traffic.requests.load(Ordering::Relaxed);
            wire.parts.add_to(&mut progress);
        }
        (self.on_event)(PullEvent::Progress(progress));
    }
}
