//! Broken lines, as our client sees them.

use crate::liar::{Answer, Liar};
use crate::world::*;
use sapwood_transport::{FetchError, HttpRemote, Limits, Remote};
use std::path::Path;

const LIMITS: Limits = Limits { max_bytes: u64::MAX };

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
