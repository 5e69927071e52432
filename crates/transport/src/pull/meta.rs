//! Fetching metadata, within a bound on memory that does not depend on the number of requests under way.
//!
//! Metadata is verified as a whole, so it is in memory as a whole, and a remote need not say beforehand how much it is. Nearly
//! all of it is small; what is not needs one of a few [places](Place) until it is stored. A body without one is given up and asked
//! for again when there is a place, not left to wait: on a shared connection, bodies that wait take the room of those that go on.

use super::net::{Net, Traffic};
use crate::{FetchError, Limits, Remote, Response};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// What is larger needs a place.
const MAX_SMALL_BYTES: usize = 256 << 10;
/// So many fetches of large metadata at once.
const PLACES: usize = 2;
/// How often a file that changes while it is read is begun again.
const FRESH_STARTS: u32 = 3;

/// The places of a pull.
#[derive(Debug)]
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }

    /// For one fetch, that may turn out to be large.
    pub(super) fn claim(&self) -> Place {
        Place { places: Arc::clone(&self.0), taken: OnceCell::new() }
    }
}

/// Allows what one object needs to be large, once taken and until dropped.
///
/// A commit and the metadata beside it share one: else each could wait for a place that the other's like has.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Semaphore>,
    taken: OnceCell<Option<OwnedSemaphorePermit>>,
}

impl Place {
    /// Whether it is taken, now at the latest.
    fn try_take(&self) -> bool {
        if !self.taken.initialized()
            && let Ok(permit) = Arc::clone(&self.places).try_acquire_owned()
        {
            // Where the other half of this fetch is waiting for one, that gets its own.
            drop(self.taken.set(Some(permit)));
        }
        self.taken.initialized()
    }

    async fn take(&self) {
        // Nobody closes the semaphore.
        self.taken.get_or_init(async || Arc::clone(&self.places).acquire_owned().await.ok()).await;
    }
}

impl Net {
    /// Fetches a metadata object, or what is beside a commit; `None` if it is not there. `elsewhere`: it came wrong before.
    pub(super) async fn metadata(
        &self,
        path: &str,
        elsewhere: bool,
        max_bytes: u64,
        place: &Place,
    ) -> Result<Option<Bytes>, FetchError> {
        let (remote, traffic) = (&*self.remote, &self.traffic);
        if elsewhere {
            other(remote, traffic, path, max_bytes, place).await
        } else {
            bounded(remote, traffic, path, max_bytes, Some(place)).await
        }
    }
}

/// Reads what came wrong before, from another place if there is one.
async fn other(
    remote: &dyn Remote,
    traffic: &Traffic,
    path: &str,
    max_bytes: u64,
    place: &Place,
) -> Result<Option<Bytes>, FetchError> {
    loop {
        traffic.sent();
        let Some(response) = remote.get_elsewhere(path, Limits { max_bytes }).await? else { return Ok(None) };
        if let Some(bytes) = whole(traffic, response, Some(place)).await? {
            return Ok(Some(bytes));
        }
        // Whoever would give it is to be asked again: the next one may be who had it wrong.
        remote.left_unread(path);
        place.take().await;
    }
}

/// Reads one small file whole, from the start again where it changed on the way; `None` if it is not there.
pub(super) async fn small(
    remote: &dyn Remote,
    traffic: &Traffic,
    path: &str,
    max_bytes: u64,
) -> Result<Option<Bytes>, FetchError> {
    bounded(remote, traffic, path, max_bytes, None).await
}

/// As [`small`]; with a place, that is waited for when it is needed.
async fn bounded(
    remote: &dyn Remote,
    traffic: &Traffic,
    path: &str,
    max_bytes: u64,
    place: Option<&Place>,
) -> Result<Option<Bytes>, FetchError> {
    let mut starts = 0;
    loop {
        let limits = Limits { max_bytes };
        let Some(response) = traffic.get(remote, path, None, limits).await? else { return Ok(None) };
        match (whole(traffic, response, place).await, place) {
            (Ok(None), Some(place)) => {
                tracing::debug!(path, "large metadata waits for other such");
                place.take().await;
            }
            (
                Err(FetchError::Changed { .. } | FetchError::Broken { .. } | FetchError::Truncated { .. }),
                _,
            ) if starts + 1 < FRESH_STARTS => {
                starts += 1;
            }
            (result, _) => return result,
        }
    }
}

/// Reads a body to its end; `None` if it needs the place and cannot have it now.
async fn whole(
    traffic: &Traffic,
    mut response: Response,
    place: Option<&Place>,
) -> Result<Option<Bytes>, FetchError> {
    let announced = response.length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let fits = |bytes: usize| announced.max(bytes) <= MAX_SMALL_BYTES || place.is_none_or(Place::try_take);
    if !fits(0) {
        return Ok(None);
    }
    let Some(first) = traffic.chunk(&mut response).await? else { return Ok(Some(Bytes::new())) };
    let mut all = None::<BytesMut>;
    while let Some(more) = traffic.chunk(&mut response).await? {
        // Most comes in one piece, which then need not be copied.
        let all = all.get_or_insert_with(|| first.as_ref().into());
        if !fits(all.len() + more.len()) {
            return Ok(None);
        }
        all.extend_from_slice(&more);
    }
    Ok(Some(all.map_or(first, BytesMut::freeze)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Range;
    use crate::remote::Body;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    const CHUNK: usize = 64 << 10;

    /// Announces nothing and sends chunks; counts the bodies that more was taken of than is small, and those left unread.
    #[derive(Debug, Default)]
    struct Far {
        large: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        unread: AtomicUsize,
    }

    struct Chunks {
        left: usize,
        taken: usize,
        large: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl Body for Chunks {
        async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
            tokio::task::yield_now().await;
            let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
            (self.left, self.taken) = (left, self.taken + CHUNK);
            if self.taken == MAX_SMALL_BYTES + 2 * CHUNK {
                self.most.fetch_max(self.large.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            Ok(Some(Bytes::from(vec![b'x'; CHUNK])))
        }

        fn url(&self) -> Box<str> {
            "far".into()
        }
    }

    impl Drop for Chunks {
        fn drop(&mut self) {
            if self.taken >= MAX_SMALL_BYTES + 2 * CHUNK {
                self.large.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    #[async_trait]
    impl Remote for Far {
        /// The path is the number of chunks.
        async fn get(
            &self,
            path: &str,
            _: Option<Range>,
            limits: Limits,
        ) -> Result<Option<Response>, FetchError> {
            let (large, most) = (Arc::clone(&self.large), Arc::clone(&self.most));
            let body = Chunks { left: path.parse().expect("a number"), taken: 0, large, most };
            Response::new(0, None, None, Box::new(body), limits).map(Some)
        }

        fn left_unread(&self, _: &str) {
            self.unread.fetch_add(1, Ordering::SeqCst);
        }

        fn describe(&self) -> String {
            "far".to_owned()
        }
    }

    #[tokio::test]
    async fn few_large_bodies_are_read_at_once_and_none_is_waited_for_in_vain() {
        let far = Arc::new(Far::default());
        let (places, traffic) = (Places::new(), Arc::new(Traffic::within(None)));
        let mut fetches = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (far, traffic, place) = (Arc::clone(&far), Arc::clone(&traffic), places.claim());
            fetches.spawn(async move {
                // A commit and what is beside it.
                let fetch = |path| bounded(&*far, &traffic, path, u64::MAX, Some(&place));
                let (one, other) = tokio::join!(fetch("40"), fetch("30"));
                tokio::time::sleep(Duration::from_millis(1)).await;
                (one.expect("reads"), other.expect("reads"))
            });
        }
        let all =
            tokio::time::timeout(Duration::from_mins(1), fetches.join_all()).await.expect("no deadlock");
        for (one, other) in all {
            assert_eq!(one.expect("there").len(), 40 * CHUNK);
            assert_eq!(other.expect("there").len(), 30 * CHUNK);
        }
        let most = far.most.load(Ordering::SeqCst);
        assert!((1..=2 * PLACES).contains(&most), "{most} large bodies at once");
    }

    #[tokio::test]
    async fn small_bodies_need_no_place() {
        let (far, places, traffic) = (Far::default(), Places::new(), Traffic::within(None));
        let others = [places.claim(), places.claim()];
        assert!(others.iter().all(Place::try_take));
        let place = places.claim();
        for path in ["0", "1", "4"] {
            let got = bounded(&far, &traffic, path, u64::MAX, Some(&place)).await.expect("reads");
            assert_eq!(got.expect("there").len(), path.parse::<usize>().expect("a number") * CHUNK);
        }
        assert!(!place.try_take());
        drop(others);
        assert!(place.try_take());
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_needs_a_place_only_if_it_is_large_and_is_then_asked_for_there_again() {
        let (far, places, traffic) = (Far::default(), Places::new(), Traffic::within(None));
        let others = [places.claim(), places.claim()];
        assert!(others.iter().all(Place::try_take));
        let place = places.claim();
        let fetch = |path| other(&far, &traffic, path, u64::MAX, &place);
        assert_eq!(fetch("4").await.expect("reads").expect("there").len(), 4 * CHUNK);
        let waits = tokio::time::timeout(Duration::from_millis(50), fetch("40")).await;
        assert!(waits.is_err(), "it has no place");
        assert_eq!(far.unread.load(Ordering::SeqCst), 1);
        drop(others);
        assert_eq!(fetch("40").await.expect("reads").expect("there").len(), 40 * CHUNK);
        assert_eq!(far.unread.load(Ordering::SeqCst), 1);
    }
}
