//! What holds for every remote.

use crate::world::*;
use sapwood_objstore::{Format, Mode};
use sapwood_testkit::{Nginx, skipped};
use sapwood_transport::{DirRemote, FetchError, Limits, Range, Remote, SplitRemote};
use std::path::Path;
use std::sync::Arc;

const LIMITS: Limits = Limits { max_bytes: 1 << 20 };

fn whole(remote: &dyn Remote, path: &str, range: Option<Range>) -> Option<(u64, Vec<u8>)> {
    runtime().block_on(async {
        let response = remote.get(path, range, LIMITS).await.unwrap()?;
        let start = response.start;
        Some((start, response.bytes().await.unwrap().to_vec()))
    })
}

/// The promises of the trait.
fn keeps_its_promises(remote: &dyn Remote) {
    let size = 200_000;
    let content = noise(size);
    assert_eq!(whole(remote, "refs/heads/file", None), Some((0, content.clone())));
    assert_eq!(whole(remote, "refs/heads/empty", None), Some((0, Vec::new())));
    assert_eq!(whole(remote, "refs/heads/ü %", None), Some((0, b"odd".to_vec())));
    for absent in ["refs/heads/none", "refs/heads/file/below", "summary", "refs/heads/dangling"] {
        assert_eq!(whole(remote, absent, None), None, "{absent}");
    }

    let from = |start, if_tag: Option<&str>| Some(Range { start, if_tag: if_tag.map(str::to_owned) });
    let rest = Some((150_000, content[150_000..].to_vec()));
    assert_eq!(whole(remote, "refs/heads/file", from(150_000, None)), rest);
    let response = runtime().block_on(remote.get("refs/heads/file", None, LIMITS)).unwrap().unwrap();
    assert_eq!(response.length, Some(size as u64));
    if let Some(tag) = &response.tag {
        assert_eq!(whole(remote, "refs/heads/file", from(150_000, Some(tag))), rest);
    }
    let other = whole(remote, "refs/heads/file", from(150_000, Some("\"other\"")));
    assert_eq!(other, Some((0, content.clone())), "another tag is another file");
    let beyond = whole(remote, "refs/heads/file", from(size as u64 + 1, None));
    assert_eq!(beyond, Some((0, content)), "a range beyond the end is of another file");

    let tight = Limits { max_bytes: size as u64 - 1 };
    let error = runtime().block_on(remote.get("refs/heads/file", None, tight)).unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
}

/// What only those promise that resolve paths themselves.
fn stays_inside(remote: &dyn Remote) {
    for secret in [
        "../secret",
        "refs/../../secret",
        "/etc/passwd",
        "refs/heads/escape",
        "refs/heads/absolute",
        "refs/heads",
        "refs/heads/",
        "",
        ".",
        "tmp/private",
        ".lock",
        "objects/link",
        "refs/heads/fifo",
    ] {
        assert_eq!(whole(remote, secret, None), None, "{secret:?}");
    }
    assert_eq!(whole(remote, "refs/heads/alias", None), Some((0, b"odd".to_vec())));
}

#[expect(clippy::disallowed_methods, reason = "a fixture")]
fn fixture(root: &Path) {
    use std::os::unix::fs::symlink;
    std::fs::write(root.join("secret"), "secret").unwrap();
    let repo = root.join("repo");
    for dir in ["refs/heads", "objects", "tmp"] {
        std::fs::create_dir_all(repo.join(dir)).unwrap();
    }
    let heads = repo.join("refs/heads");
    std::fs::write(heads.join("file"), noise(200_000)).unwrap();
    std::fs::write(heads.join("empty"), "").unwrap();
    std::fs::write(heads.join("ü %"), "odd").unwrap();
    std::fs::write(repo.join("tmp/private"), "private").unwrap();
    std::fs::write(repo.join(".lock"), "").unwrap();
    symlink("../../../secret", heads.join("escape")).unwrap();
    symlink("/etc/passwd", heads.join("absolute")).unwrap();
    symlink("missing", heads.join("dangling")).unwrap();
    symlink("ü %", heads.join("alias")).unwrap();
    symlink("../refs/heads/file", repo.join("objects/link")).unwrap();
    drop(std::process::Command::new("mkfifo").arg(heads.join("fifo")).status());
}

#[test]
fn every_remote_keeps_the_promises_of_the_trait() {
    let folder = tempfile::tempdir().unwrap();
    fixture(folder.path());
    let repo = folder.path().join("repo");
    let local: Arc<dyn Remote> = Arc::new(DirRemote::new(open_dir(&repo), "a directory"));
    keeps_its_promises(&*local);
    stays_inside(&*local);
    let server = served(&repo);
    let remote = http(&server.url);
    keeps_its_promises(&*remote);
    stays_inside(&*remote);
    keeps_its_promises(&SplitRemote { meta: remote, content: local });
    let Some(nginx) = Nginx::serve(&repo).unwrap() else { return skipped("nginx is not installed") };
    keeps_its_promises(&*http(&nginx.url()));
}

#[test]
fn a_remote_says_what_it_is_called() {
    let source = Place::new(Format::Native, Mode::Archive);
    assert_eq!(DirRemote::new(open_dir(source.path()), "/srv/repo").describe(), "/srv/repo");
    assert_eq!(http("http://u:p@example.org:8080/repo").describe(), "http://example.org:8080/repo");
}
