//! A repository at several places at once: a list of mirrors, or a metalink.
//!
//! One of the mirrors, the first that works, gives the configuration, the refs and the summary, so that these agree; where it
//! fails to answer, the next one does from then on. Objects and deltas come from it too, and from the others where it lacks one
//! or fails; an object also where it gave a wrong one: that costs this object a request more, and nobody else anything. A mirror
//! that failed to answer, or to go on with an answer, is asked last for a while; then a single request tries it, and the while is
//! doubled until one comes to its end. One that gave an object wrong is asked for that one again after all others.
//!
//! What is private of a remote goes to the server that lists the mirrors, and to a mirror only if the remote's owner named
//! that too: whoever can write the list could else collect it.

use super::metalink::{self, Metalink};
use super::{HttpOptions, HttpRemote, NamedBy};
use crate::remote::Body;
use crate::{FetchError, Limits, Range, Remote, Response, wire};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Largest list of mirrors, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 20;
/// Mirrors more than these are not looked at.
const MAX_MIRRORS: usize = 64;
/// How long a mirror that failed for the first time is asked last.
const REST: Duration = Duration::from_mins(1);
/// The longest such time.
const LONGEST_REST: Duration = Duration::from_hours(1);
/// How many of the latest answers are remembered by who gave them: more than can be under way.
const REMEMBERED: usize = 4096;

/// What says where the mirrors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorSource {
    /// A text with an address in each line; empty lines and those that begin with `#` are passed over.
    List,
    /// A metalink of the summary.
    Metalink,
}

/// A repository that several servers have. Where they are is asked when the first file is.
#[derive(Debug)]
pub struct MirrorRemote {
    url: String,
    source: MirrorSource,
    options: HttpOptions,
    found: OnceCell<Found>,
    hasher: RandomState,
    /// Who gave which of the latest objects.
    given: Mutex<VecDeque<(u64, usize)>>,
}

#[derive(Debug)]
struct Found {
    mirrors: Vec<Mirror>,
    /// The one whose refs count.
    chosen: AtomicUsize,
    /// The verified summary, where the source promises one.
    summary: Option<Bytes>,
}

#[derive(Debug)]
struct Mirror {
    remote: HttpRemote,
    failed: Arc<Failed>,
}

/// Whether a mirror failed, and is not known to work again.
#[derive(Debug, Default)]
struct Failed(Mutex<Option<Resting>>);

#[derive(Debug, Clone, Copy)]
struct Resting {
    since: Instant,
    lasts: Duration,
}

impl MirrorRemote {
    /// The repository whose mirrors the file at `url` lists.
    ///
    /// Each mirror is tried with fewer repetitions than a remote that is alone: see [`HttpOptions::retries`].
    pub fn new(url: impl Into<String>, source: MirrorSource, mut options: HttpOptions) -> Self {
        let url = url.into();
        options.origins.push(url.clone());
        let (found, given) = (OnceCell::new(), Mutex::default());
        Self { url, source, options, found, hasher: RandomState::new(), given }
    }

    async fn found(&self) -> Result<&Found, FetchError> {
        self.found
            .get_or_try_init(|| async {
                match self.source {
                    MirrorSource::List => self.read_list().await,
                    MirrorSource::Metalink => self.read_metalink().await,
                }
            })
            .await
    }

    fn unusable(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FetchError {
        FetchError::Mirrors { url: super::url::without_credentials(&self.url).into(), source: why.into() }
    }

    async fn source(&self, max_bytes: u64) -> Result<Bytes, FetchError> {
        let file = super::whole_file(&self.url, NamedBy::Owner, self.options.clone(), max_bytes).await?;
        file.ok_or_else(|| FetchError::Status { url: self.describe().into(), status: 404 })
    }

    /// How one of several is asked.
    fn options_of_one(&self) -> HttpOptions {
        HttpOptions { retries: self.options.retries.min(1), ..self.options.clone() }
    }

    fn mirror(&self, url: &str) -> Option<Mirror> {
        match HttpRemote::named(url, NamedBy::Others, self.options_of_one()) {
            Ok(remote) => Some(Mirror { remote, failed: Arc::default() }),
            Err(error) => {
                tracing::warn!(%error, "a mirror that cannot be used");
                None
            }
        }
    }

    async fn read_list(&self) -> Result<Found, FetchError> {
        let text = self.source(MAX_LIST_BYTES).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mirrors: Vec<_> = addresses(&text).filter_map(|url| self.mirror(url)).take(MAX_MIRRORS).collect();
        let mut last = None;
        for (chosen, mirror) in mirrors.iter().enumerate() {
            let limits = Limits { max_bytes: sapwood_repo::Keyfile::MAX_BYTES as u64 };
            match mirror.remote.get(wire::CONFIG, None, limits).await {
                Ok(Some(_)) => return Ok(Found { mirrors, chosen: chosen.into(), summary: None }),
                Ok(None) => {}
                Err(error) => {
                    mirror.failed.note();
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| self.unusable("none of its mirrors has a repository")))
    }

    async fn read_metalink(&self) -> Result<Found, FetchError> {
        let document = self.source(metalink::MAX_BYTES).await?;
        let metalink = Metalink::parse(&document).map_err(|error| self.unusable(error))?;
        let mut last = self.unusable("none of its addresses has the summary");
        let mut verified = None;
        let options = self.options_of_one();
        for url in metalink.urls.iter().take(MAX_MIRRORS) {
            // One byte more, so that a longer file is not taken for it.
            let max_bytes = metalink.size.saturating_add(1);
            match super::whole_file(url, NamedBy::Others, options.clone(), max_bytes).await {
                Ok(None) => {}
                Ok(Some(bytes)) => match metalink.check(&bytes) {
                    Ok(()) => {
                        verified = Some((directory(url), bytes));
                        break;
                    }
                    Err(error) => last = self.unusable(error),
                },
                Err(error) => last = error,
            }
        }
        let Some((base, summary)) = verified else { return Err(last) };
        // The one whose summary is known to be right goes first.
        let mut bases = vec![base];
        for url in &metalink.urls {
            if !bases.contains(&directory(url)) {
                bases.push(directory(url));
            }
        }
        let mirrors = bases.into_iter().filter_map(|url| self.mirror(url)).take(MAX_MIRRORS).collect();
        Ok(Found { mirrors, chosen: 0.into(), summary: Some(summary) })
    }

    fn key(&self, path: &str) -> u64 {
        self.hasher.hash_one(path)
    }

    fn remember(&self, path: &str, at: usize) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= REMEMBERED {
            given.pop_front();
        }
        given.push_back((self.key(path), at));
    }

    /// Who gave a file, the latest last.
    fn givers(&self, path: &str) -> Vec<usize> {
        let (given, key) = (self.given.lock().unwrap_or_else(PoisonError::into_inner), self.key(path));
        given.iter().filter(|(known, _)| *known == key).map(|(_, at)| *at).collect()
    }

    /// Asks one mirror after the other for a file that is the same on all of them.
    async fn ask_each(
        &self,
        order: &[usize],
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let found = self.found().await?;
        let mut failure = None;
        for at in order {
            let Some(mirror) = found.mirrors.get(*at) else { continue };
            mirror.failed.is_asked();
            let asked = Instant::now();
            match mirror.remote.get(path, range.clone(), limits).await {
                Ok(Some(response)) => {
                    self.remember(path, *at);
                    let failed = Arc::clone(&mirror.failed);
                    return Ok(Some(response.around(|body| Box::new(Watched { body, failed, asked }))));
                }
                Ok(None) => tracing::debug!(mirror = %mirror.remote.describe(), path, "not on this mirror"),
                Err(error) => {
                    tracing::warn!(%error, "trying another mirror");
                    mirror.failed.note();
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

impl Failed {
    fn state(&self) -> MutexGuard<'_, Option<Resting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        let mut state = self.state();
        // What was sent before it rested says nothing new.
        if state.is_none_or(|resting| resting.is_over()) {
            *state = Some(Resting { since: Instant::now(), lasts: REST });
        }
    }

    /// What was asked for at that time came to its end.
    fn works(&self, asked: Instant) {
        let mut state = self.state();
        if state.is_some_and(|resting| resting.since <= asked) {
            *state = None;
        }
    }

    /// Whether it is asked after others.
    fn rests(&self) -> bool {
        self.state().is_some_and(|resting| !resting.is_over())
    }

    /// It is asked. After a rest that is a trial, for all others, who do not ask it meanwhile.
    fn is_asked(&self) {
        if let Some(resting) = self.state().as_mut().filter(|resting| resting.is_over()) {
            let lasts = resting.lasts.saturating_mul(2).min(LONGEST_REST);
            *resting = Resting { since: Instant::now(), lasts };
        }
    }
}

impl Resting {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= self.lasts
    }
}

impl Found {
    /// All mirrors, this one first.
    fn round(&self, first: usize) -> impl Iterator<Item = usize> {
        (first..self.mirrors.len()).chain(0..first)
    }

    /// In which order the mirrors are asked for what `givers` gave wrong, the latest of these last.
    fn order(&self, givers: &[usize]) -> Vec<usize> {
        let mut order: Vec<_> = self
            .round(self.chosen.load(Ordering::Relaxed))
            .map(|at| {
                let gave = givers.iter().rposition(|giver| *giver == at);
                (gave, self.mirrors.get(at).is_some_and(|mirror| mirror.failed.rests()), at)
            })
            .collect();
        order.sort_by_key(|(gave, rests, _)| (*gave, *rests));
        order.into_iter().map(|(.., at)| at).collect()
    }

    /// A file that may differ from one mirror to the other: all such come from one of them, unless it fails to answer.
    async fn of_one(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let mut failure = None;
        let chosen = self.chosen.load(Ordering::Relaxed);
        for at in self.round(chosen) {
            let Some(mirror) = self.mirrors.get(at) else { continue };
            match mirror.remote.get(path, range.clone(), limits).await {
                Ok(Some(response)) => {
                    // Unless another request has moved on meanwhile.
                    _ = self.chosen.compare_exchange(chosen, at, Ordering::Relaxed, Ordering::Relaxed);
                    return Ok(Some(response));
                }
                // Every repository has one: this is none.
                Ok(None) if path == wire::CONFIG => {}
                Ok(None) => return Ok(None),
                // Another one's may be smaller, but this one has it.
                Err(error @ FetchError::TooLarge { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "trying another mirror");
                    mirror.failed.note();
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

/// Whether it does not matter which mirror a file comes from: it is verified by what names it.
fn is_same_on_all(path: &str) -> bool {
    wire::is_immutable(path) || wire::is_of_delta(path)
}

#[async_trait]
impl Remote for MirrorRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let found = self.found().await?;
        if let Some(summary) = found.summary.as_ref().filter(|_| path == wire::SUMMARY) {
            let body =
                Whole { url: format!("{}/{path}", self.describe()).into(), bytes: Some(summary.clone()) };
            return Response::new(0, Some(summary.len() as u64), None, Box::new(body), limits).map(Some);
        }
        if !is_same_on_all(path) {
            return found.of_one(path, range, limits).await;
        }
        self.ask_each(&found.order(&[]), path, range, limits).await
    }

    async fn get_elsewhere(&self, path: &str, limits: Limits) -> Result<Option<Response>, FetchError> {
        let found = self.found().await?;
        self.ask_each(&found.order(&self.givers(path)), path, None, limits).await
    }

    fn left_unread(&self, path: &str) {
        let (mut given, key) = (self.given.lock().unwrap_or_else(PoisonError::into_inner), self.key(path));
        if let Some(at) = given.iter().rposition(|(known, _)| *known == key) {
            given.remove(at);
        }
    }

    fn places(&self) -> u32 {
        let found = self.found.get().map_or(1, |found| found.mirrors.len());
        u32::try_from(found).unwrap_or(u32::MAX)
    }

    fn troubles(&self) -> u64 {
        let mirrors = self.found.get().into_iter().flat_map(|found| &found.mirrors);
        mirrors.map(|mirror| mirror.remote.troubles()).sum()
    }

    fn describe(&self) -> String {
        super::url::without_credentials(&self.url)
    }
}

/// The addresses in a list of mirrors.
pub(crate) fn addresses(list: &str) -> impl Iterator<Item = &str> {
    list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The directory of a file's address.
fn directory(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit_once('/').map_or(path, |(directory, _)| directory)
}

/// What comes from a mirror, which works if that comes to its end, and else has failed.
struct Watched {
    body: Box<dyn Body>,
    failed: Arc<Failed>,
    asked: Instant,
}

#[async_trait]
impl Body for Watched {
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let next = self.body.next().await;
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.failed.works(self.asked),
            Err(_) => self.failed.note(),
        }
        next
    }

    fn url(&self) -> Box<str> {
        self.body.url()
    }
}

/// A file that is here already.
struct Whole {
    url: Box<str>,
    bytes: Option<Bytes>,
}

#[async_trait]
impl Body for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        Ok(self.bytes.take().filter(|bytes| !bytes.is_empty()))
    }

    fn url(&self) -> Box<str> {
        self.url.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_rests_is_asked_last_and_its_trial_is_not_used_up_by_asking_others() {
        let mirror = |host: &str| {
            let remote = HttpRemote::named(host, NamedBy::Others, HttpOptions::default()).expect("valid");
            Mirror { remote, failed: Arc::default() }
        };
        let mirrors = ["http://a/", "http://b/", "http://c/"].map(mirror);
        let found = Found { mirrors: mirrors.into(), chosen: 1.into(), summary: None };
        assert_eq!(found.order(&[]), [1, 2, 0]);
        assert_eq!(found.order(&[2, 1]), [0, 2, 1], "who gave it wrong comes last");
        let failed = &found.mirrors[2].failed;
        failed.note();
        assert_eq!(found.order(&[]), [1, 0, 2]);
        failed.state().as_mut().expect("it failed").lasts = Duration::ZERO;
        for _ in 0..3 {
            assert_eq!(found.order(&[]), [1, 2, 0], "it would be tried before the others");
        }
    }

    #[test]
    fn after_a_rest_one_request_tries_a_mirror_and_failing_again_it_rests_for_longer() {
        let failed = Failed::default();
        assert!(!failed.rests());
        failed.note();
        assert!(failed.rests() && failed.rests());
        let age = |by: Duration| {
            let mut state = failed.state();
            let resting = state.as_mut().expect("it failed");
            resting.since = resting.since.checked_sub(by).expect("the machine runs for longer");
        };
        let asked_before = Instant::now();
        age(REST);
        assert!(!failed.rests() && !failed.rests(), "whoever asks may try");
        failed.is_asked();
        assert!(failed.rests(), "others do not");
        failed.note();
        failed.works(asked_before);
        assert!(failed.rests(), "an answer from before the trial");
        age(REST);
        assert!(failed.rests(), "twice as long");
        age(REST);
        assert!(!failed.rests());
        failed.is_asked();
        failed.works(Instant::now());
        assert!(!failed.rests());
        failed.is_asked();
        assert!(!failed.rests(), "it works");
    }
}
