//! Slow lines and broken ones, as our client sees them.

use crate::liar::{Answer, Liar};
use crate::world::*;
use sapwood_transport::{FetchError, HttpOptions, HttpRemote, Limits, Remote};
use std::path::Path;
use std::time::Duration;

const LIMITS: Limits = Limits { max_bytes: u64::MAX };
/// At least 500 bytes a second, and nothing is tried twice.
const WINDOW: Duration = Duration::from_secs(1);

fn strict(liar: &Liar) -> HttpRemote {
    let options = HttpOptions { retries: 0, stall_window: WINDOW, min_bytes_per_second: 500, ..quick() };
    HttpRemote::new(&liar.url, options).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a fixture")]
fn file(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

async fn whole(remote: &HttpRemote, path: &str) -> Result<Vec<u8>, FetchError> {
    let response = remote.get(path, None, LIMITS).await?.unwrap();
    response.bytes().await.map(|bytes| bytes.to_vec())
}

/// The outcome of so many transfers at once, each of 100 bytes a second.
fn together(transfers: usize) -> Vec<Result<Vec<u8>, FetchError>> {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "config", &noise(400));
    let liar = Liar::new(root.path(), |_| Answer::Slow(20, Duration::from_millis(200)));
    let remote = strict(&liar);
    let all: Vec<_> = (0..transfers)
        .map(|_| {
            let remote = remote.clone();
            runtime().spawn(async move { whole(&remote, "config").await })
        })
        .collect();
    all.into_iter().map(|one| runtime().block_on(one).unwrap()).collect()
}

#[test]
fn transfers_share_what_a_slow_line_carries() {
    for result in together(16) {
        assert_eq!(result.unwrap(), noise(400));
    }
}

#[test]
fn transfers_that_are_too_slow_together_are_given_up() {
    for result in together(2) {
        assert!(matches!(result, Err(FetchError::TooSlow { .. })), "{result:?}");
    }
}

#[test]
fn a_transfer_that_stopped_is_given_up_while_others_go_on() {
    let root = tempfile::tempdir().unwrap();
    let liar =
        Liar::new(root.path(), |asked| if asked.path == "/config" { Answer::Stall } else { Answer::Endless });
    let remote = strict(&liar);
    runtime().block_on(async {
        let mut endless = remote.get("summary", None, LIMITS).await.unwrap().unwrap();
        let others = async { while endless.chunk().await.unwrap().is_some() {} };
        let result = tokio::select! { () = others => panic!("it has no end"), result = whole(&remote, "config") => result };
        assert!(matches!(result, Err(FetchError::TooSlow { .. })), "{result:?}");
    });
}

#[test]
fn who_reads_late_does_not_make_a_server_slow() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "config", &noise(20));
    let liar = Liar::new(root.path(), |_| Answer::Slow(10, Duration::from_millis(100)));
    let remote = strict(&liar);
    runtime().block_on(async {
        let mut response = remote.get("config", None, LIMITS).await.unwrap().unwrap();
        let mut came = response.chunk().await.unwrap().unwrap().to_vec();
        tokio::time::sleep(2 * WINDOW).await;
        came.extend(response.bytes().await.unwrap());
        assert_eq!(came, noise(20));
    });
}

#[test]
fn objects_are_continued_whatever_tag_the_next_server_gives_them() {
    let root = tempfile::tempdir().unwrap();
    let object = "objects/00/00000000000000000000000000000000000000000000000000000000000000.filez";
    for path in [object, "summary"] {
        file(root.path(), path, &noise(300_000));
    }
    let liar = Liar::new(root.path(), |asked| match asked.before {
        0 | 1 => Answer::CutTagged(100_000),
        _ => Answer::CutTagged(usize::MAX),
    });
    let remote = HttpRemote::new(&liar.url, quick()).unwrap();
    assert_eq!(runtime().block_on(whole(&remote, object)).unwrap(), noise(300_000));
    assert_eq!(liar.asked_for(&format!("/{object}")), [None, Some(100_000), Some(200_000)]);
    let changed = runtime().block_on(whole(&remote, "summary"));
    assert!(matches!(changed, Err(FetchError::Changed { .. })), "{changed:?}");
}
