//! A summary that follows the refs while they are served.

use crate::place::Place;
use std::fs;

/// Waits until clients see what they should; the test's own time limit ends it.
fn until(mut seen: impl FnMut() -> bool) {
    while !seen() {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn clients_that_ask_for_signatures_see_refs_that_move_whoever_writes_meanwhile() {
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/file"), "content").unwrap();
    let public = place.ok("trust new-key key").trim().rsplit(' ').next().unwrap().to_owned();
    place.ok("init --repo=r --mode=archive --format=ostree");
    place.ok("commit --repo=r -b first t");
    let server = place.serve_with("r", "--watch --sign-from-file=key");
    place.ok("init --repo=m --mode=bare-user --format=ostree");
    let verify = format!("--set=sign-verify-summary=ed25519 --set=verification-ed25519-key={public}");
    place.ok(&format!("remote add --repo=m --no-gpg-verify {verify} origin {}", server.url));
    place.ok("pull --repo=m origin first");

    // Others write commits, and summaries without a signature.
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let place = &place;
            scope.spawn(move || {
                for commit in 0..4 {
                    place.ok(&format!("commit --repo=r -b branch{writer} -s {commit} t"));
                    place.ok("summary --repo=r -u");
                }
            });
        }
    });
    for writer in 0..3 {
        let wanted = place.ok(&format!("rev-parse --repo=r branch{writer}"));
        until(|| {
            let pulled = place.run(&format!("pull --repo=m origin branch{writer}"));
            pulled.code == 0 && place.ok(&format!("rev-parse --repo=m origin:branch{writer}")) == wanted
        });
    }
    place.ok("refs --repo=r --delete first");
    until(|| {
        let seen = place.run("remote refs --repo=m origin");
        seen.code == 0 && !seen.out.contains("first")
    });
}

#[test]
fn a_summary_that_cannot_be_written_is_served_as_it_was_until_it_can() {
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    place.ok("init --repo=r --mode=archive --format=ostree");
    let first = place.ok("commit --repo=r -b main t");
    let server = place.serve_with("r", "--watch");
    place.ok("init --repo=m --mode=bare-user --format=ostree");
    place.ok(&format!("remote add --repo=m --no-gpg-verify origin {}", server.url));
    // A ref to a commit that is not here can be in no summary.
    let lost = "1".repeat(64);
    fs::write(place.path("r/refs/heads/lost"), format!("{lost}\n")).unwrap();
    fs::write(place.path("t/file"), "content").unwrap();
    let second = place.ok("commit --repo=r -b main t");
    let listed = |id: &str| place.ok("remote refs --repo=m -r origin").contains(id.trim());
    assert!(listed(&first));
    fs::remove_file(place.path("r/refs/heads/lost")).unwrap();
    until(|| listed(&second));

    let refused = place.run("serve --repo=r --port=0 --sign-from-file=key");
    assert!(refused.code == 1 && refused.err.contains("--watch"), "{}", refused.err);
}
