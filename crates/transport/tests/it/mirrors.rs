//! Pulls from several mirrors, some of which are not what they should be.

use crate::liar::{Answer, Asked, Liar};
use crate::world::*;
use sapwood_objstore::Mode;
use sapwood_transport::{FetchError, HttpOptions, MirrorRemote, MirrorSource, PullError, Remote};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[expect(clippy::disallowed_methods, reason = "tests lay out and damage what servers give by its paths")]
mod disk {
    use std::path::Path;

    pub(super) fn write(path: &Path, bytes: &[u8]) {
        drop(std::fs::remove_file(path));
        std::fs::write(path, bytes).unwrap();
    }

    pub(super) fn remove(path: &Path) {
        std::fs::remove_file(path).unwrap();
    }
}

/// Files of a kind in a repository, sorted.
fn objects(place: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = walkdir(&place.join("objects"));
    found.retain(|path| path.extension().is_some_and(|is| is == extension));
    found.sort();
    found
}

fn walkdir(at: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    shards.flat_map(|shard| std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path())).collect()
}

fn mirrors(url: String, source: MirrorSource) -> Arc<dyn Remote> {
    Arc::new(MirrorRemote::new(url, source, HttpOptions { retries: 0, ..quick() }))
}

#[test]
fn an_object_that_a_mirror_lacks_or_has_wrong_comes_from_another_for_one_request_more() {
    for format in FORMATS {
        let places: Vec<_> = (0..3).map(|_| Place::new(format, Mode::Archive)).collect();
        let commits: Vec<_> = places.iter().map(|place| place.commit(BRANCH, &small_tree("1"))).collect();
        assert!(commits.iter().all(|commit| *commit == commits[0]), "mirrors have the same");
        let lacking = &objects(places[0].path(), "filez")[3];
        let path = lacking.strip_prefix(places[0].path()).unwrap();
        disk::remove(lacking);
        // The next one has that very object, but wrong; and of another kind, the first has a wrong one.
        disk::write(&places[1].path().join(path), b"not what it should be");
        disk::write(&objects(places[0].path(), "dirtree")[0], b"nor is this");
        let servers: Vec<_> = places.iter().map(|place| served(place.path())).collect();

        let dead = "http://127.0.0.1:1/nobody";
        let list = format!(
            "# mirrors\n\n{dead}\n{}/no/such/repo\n{}\n",
            servers[2].url,
            servers.iter().map(|server| server.url.as_str()).collect::<Vec<_>>().join("\n")
        );
        disk::write(&places[2].path().join("refs/list"), list.as_bytes());
        let machine = Place::new(format, Mode::BareUser);
        let remote = mirrors(format!("{}/refs/list", servers[2].url), MirrorSource::List);
        let outcome = pull_quietly(&machine.repo, remote, &want(BRANCH)).unwrap();
        let all = verified_objects(&machine.repo, commits[0]);
        assert_eq!(outcome.objects_fetched(), all.len() as u64);
        let asked = |server: usize| {
            servers[server].log.lock().unwrap().iter().filter(|a| a.path.starts_with("/objects/")).count()
        };
        assert!(asked(0) >= all.len() - 1, "the first that works gives what it can");
        assert!(asked(1) <= 2 && asked(2) <= 3, "{} and {}", asked(1), asked(2));
    }
}

#[test]
fn a_metalink_promises_a_summary_and_what_differs_from_it_is_not_believed() {
    let format = FORMATS[1];
    let place = Place::new(format, Mode::Archive);
    let commit = place.commit(BRANCH, &small_tree("1"));
    place.repo.update_summary().unwrap();
    let server = served(place.path());
    let summary = sapwood_fsio::read(place.repo.dir(), "summary", 1 << 20).unwrap();
    let metalink = |size: usize, digest: &str| {
        format!(
            "<metalink><files><file name=\"summary\"><size>{size}</size><verification><hash type=\"sha256\">{digest}\
             </hash></verification><resources><url preference=\"9\">{0}/config</url><url>{0}/summary</url>\
             </resources></file></files></metalink>",
            server.url
        )
    };
    let pull = |text: String| {
        disk::write(&place.path().join("refs/metalink"), text.as_bytes());
        let machine = Place::new(format, Mode::BareUser);
        let remote = mirrors(format!("{}/refs/metalink", server.url), MirrorSource::Metalink);
        pull_quietly(&machine.repo, remote, &want(BRANCH)).map(|_| verified_objects(&machine.repo, commit))
    };
    let digest = sapwood_objstore::Format::Ostree.id_of(sapwood_objstore::ObjectKind::DirMeta, &summary);
    pull(metalink(summary.len(), &digest.to_hex())).unwrap();
    for (size, digest) in [(summary.len() + 1, digest.to_hex()), (summary.len(), "0".repeat(64))] {
        match pull(metalink(size, &digest)) {
            Err(PullError::Fetch { source, .. }) if matches!(*source, FetchError::Mirrors { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn is_file(path: &str) -> bool {
    path.contains(".filez")
}

/// A remote of two mirrors that have what the place has, and of one that is gone; files of objects are answered by a rule each.
fn two(place: &Place, rules: [fn(&Asked) -> Answer; 2]) -> (Arc<dyn Remote>, [Liar; 2], Served) {
    let liars = rules.map(|rule| {
        Liar::new(place.path(), move |asked| if is_file(&asked.path) { rule(asked) } else { Answer::Honest })
    });
    let list = liars.each_ref().map(|liar| liar.url.as_str()).join("\n") + "\nhttp://127.0.0.1:1/nobody\n";
    disk::write(&place.path().join("refs/list"), list.as_bytes());
    let server = served(place.path());
    let remote = mirrors(format!("{}/refs/list", server.url), MirrorSource::List);
    (remote, liars, server)
}

#[test]
fn who_gave_an_object_wrong_is_asked_for_it_last_whoever_else_had_trouble() {
    let place = Place::new(FORMATS[1], Mode::Archive);
    let commit = place.commit(BRANCH, &small_tree("1"));
    let lies: fn(&Asked) -> Answer = |_| Answer::Bytes(b"not what it should be".to_vec());
    let falters: fn(&Asked) -> Answer =
        |asked| if asked.before == 0 { Answer::Status(503, "") } else { Answer::Honest };
    let (remote, _liars, _server) = two(&place, [lies, falters]);
    let machine = Place::new(FORMATS[1], Mode::BareUser);
    pull_quietly(&machine.repo, remote, &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
}

#[test]
fn who_falls_silent_in_its_answers_is_asked_last_for_a_while() {
    let place = Place::new(FORMATS[1], Mode::Archive);
    let mut tree = small_tree("1");
    for n in 0..200 {
        tree.file(&format!("usr/more/{n}"), format!("file {n}\n"));
    }
    let commit = place.commit(BRANCH, &tree);
    let (remote, liars, _server) = two(&place, [|_| Answer::Stall, |_| Answer::Honest]);
    let machine = Place::new(FORMATS[1], Mode::BareUser);
    pull_quietly(&machine.repo, remote, &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
    let asked = liars[0].paths().iter().filter(|path| is_file(path)).count();
    assert!((1..=128).contains(&asked), "{asked} files were waited for");
}

#[test]
fn what_one_mirror_is_asked_for_alone_comes_from_the_next_where_it_fails() {
    for broken in ["/summary", ".commitmeta", "/refs/heads"] {
        let place = Place::new(FORMATS[1], Mode::Archive);
        let commit = place.commit(BRANCH, &small_tree("1"));
        if broken != "/refs/heads" {
            place.repo.update_summary().unwrap();
        }
        let fails = move |asked: &Asked| asked.path.starts_with(broken) || asked.path.ends_with(broken);
        let bad =
            Liar::new(
                place.path(),
                move |asked| {
                    if fails(asked) { Answer::Status(500, "") } else { Answer::Honest }
                },
            );
        let good = served(place.path());
        disk::write(&place.path().join("refs/list"), format!("{}\n{}\n", bad.url, good.url).as_bytes());
        let machine = Place::new(FORMATS[1], Mode::BareUser);
        let remote = mirrors(format!("{}/refs/list", good.url), MirrorSource::List);
        pull_quietly(&machine.repo, remote, &want(BRANCH)).unwrap();
        verified_objects(&machine.repo, commit);
    }
}
