//! Whatever a server does instead of answering, with whichever file: the pull succeeds or says what is wrong, in time;
//! nothing unverified is here then, no ref has moved early, and the next pull from an honest server succeeds.

use crate::liar::{Answer, Asked, Liar};
use crate::world::*;
use sapwood_objstore::{Commit, Format, Id, Mode, OnDamaged};
use sapwood_repo::{Expected, RefEdit};
use sapwood_testkit::Tree;
use sapwood_transport::{Age, HttpOptions, HttpRemote, PullError, PullLimits, PullOptions};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// What comes instead of a file, given its bytes.
type Misdeed = fn(&Asked, &[u8]) -> Answer;

const MISDEEDS: [(&str, Misdeed); 25] = [
    ("no answer", |_, _| Answer::Close),
    ("nothing after the head", |_, _| Answer::Cut(0)),
    ("one byte", |_, _| Answer::Cut(1)),
    ("half of it", |_, file| Answer::Cut(file.len() / 2)),
    ("all but a byte", |_, file| Answer::Cut(file.len().saturating_sub(1))),
    ("silence", |_, _| Answer::Stall),
    ("an error", |_, _| Answer::Status(500, "")),
    ("too many requests", |_, _| Answer::Status(429, "Retry-After: 0\r\n")),
    ("forbidden", |_, _| Answer::Status(403, "")),
    ("not found", |_, _| Answer::Status(404, "")),
    ("a status that there is not", |_, _| Answer::Status(799, "")),
    ("an empty file", |_, _| Answer::Bytes(Vec::new())),
    ("a page that says sorry", |_, _| Answer::Bytes(b"<html>Sorry!</html>".to_vec())),
    ("a flipped bit", |_, file| Answer::Bytes(flipped(file))),
    ("more than there is", |_, file| Answer::Bytes([file, b"and more"].concat())),
    ("a length that is too small", |_, file| raw(&format!("content-length: {}", file.len() / 2), file)),
    ("a length that is too large", |_, file| raw(&format!("content-length: {}", file.len() + 9), file)),
    ("two lengths", |_, file| raw("content-length: 1\r\ncontent-length: 2", file)),
    ("chunks that end early", |_, _| raw("transfer-encoding: chunked", b"ff\r\nonly this")),
    ("chunks that are none", |_, _| raw("transfer-encoding: chunked", b"what\r\n")),
    ("half of a compressed file", |_, _| {
        raw("content-encoding: gzip\r\ncontent-length: 9", b"\x1f\x8b\x08\0\0\0\0\0\0")
    }),
    ("no end", |_, _| Answer::Endless),
    ("10^18 bytes", |_, _| Answer::Huge),
    ("no HTTP", |_, _| Answer::Garbage),
    ("a redirect to itself", |asked, _| {
        Answer::Raw(
            format!("HTTP/1.1 302 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", asked.path).into_bytes(),
        )
    }),
];

fn flipped(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let middle = file.len() / 2;
    if let Some(byte) = file.get_mut(middle) {
        *byte ^= 1;
    }
    file
}

fn raw(headers: &str, body: &[u8]) -> Answer {
    Answer::Raw(
        [format!("HTTP/1.1 200 OK\r\n{headers}\r\nconnection: close\r\n\r\n").as_bytes(), body].concat(),
    )
}

/// A file of a repository, by how its path begins and ends.
const FILES: [(&str, &str); 9] = [
    ("/config", ""),
    ("/summary", "summary"),
    ("/refs/heads/", ""),
    ("/objects/", ".commit"),
    ("/objects/", ".commitmeta"),
    ("/objects/", ".dirtree"),
    ("/objects/", ".dirmeta"),
    ("/objects/", ".filez"),
    ("/closures/", ""),
];

fn small() -> Tree {
    let mut tree = Tree::default();
    tree.file("etc/version", "1");
    tree.file("usr/tool", "#!/bin/sh\n").mode(0o755);
    tree
}

/// A repository, with a summary unless its refs are to be asked for.
fn source(format: Format, with_summary: bool) -> (Place, Id<Commit>) {
    let source = Place::new(format, Mode::Archive);
    let commit = source.commit(BRANCH, &small());
    if with_summary {
        source.repo.update_summary().unwrap();
    }
    (source, commit)
}

fn read(root: &Path, path: &str) -> Vec<u8> {
    let read = sapwood_fsio::read_optional(&open_dir(root), path.trim_start_matches('/'), 1 << 20);
    read.ok().flatten().unwrap_or_default()
}

/// Pulls within a minute: a client that waits for such a server for ever fails the test instead of hanging it.
fn pulled(machine: &Place, url: &str) -> Result<Id<Commit>, PullError> {
    let (sender, receiver) = mpsc::channel();
    let (repo, url) = (machine.reopen(), url.to_owned());
    std::thread::spawn(move || {
        let quick = HttpOptions { retries: 1, stall_window: Duration::from_millis(250), ..quick() };
        let limits = PullLimits { max_meta_bytes: 1 << 20, max_file_bytes: 1 << 20, ..Default::default() };
        let options = PullOptions { limits, ..want(BRANCH) };
        let outcome = pull_quietly(&repo, Arc::new(HttpRemote::new(&url, quick).unwrap()), &options);
        // The test may have given up.
        drop(sender.send(outcome.map(|outcome| outcome.refs[0].new)));
    });
    receiver.recv_timeout(Duration::from_mins(1)).expect("it hangs")
}

/// What must hold after any pull, and that the next one from an honest server brings all.
fn check(machine: &Place, outcome: &Result<Id<Commit>, PullError>, commit: Id<Commit>, honest: &Served) {
    let repo = machine.reopen();
    let at = repo.ref_target(&local(BRANCH)).unwrap();
    if let Ok(pulled) = outcome {
        assert_eq!((*pulled, at), (commit, Some(commit)));
        verified_objects(&repo, commit);
        return;
    }
    assert_eq!(at, None);
    assert!(stored(&repo).is_empty());
    let leftovers = repo.store().leftovers(OnDamaged::Leave).unwrap();
    assert!(leftovers.iter().all(|leftover| leftover.damaged.is_empty()), "{leftovers:?}");
    pull_quietly(&repo, http(&honest.url), &want(BRANCH)).unwrap();
    verified_objects(&repo, commit);
    assert!(!repo.is_partial(commit).unwrap());
    assert_eq!(repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
}

/// Whether a pull failed as it should.
type Reason = fn(&PullError) -> bool;

/// Tries each misdeed with each file, for as often as the file is asked for; or once, after which all must go well.
fn each(format: Format, files: &'static [(&str, &str)], once: bool) {
    for (begin, end) in files {
        let (source, commit) = source(format, !begin.starts_with("/refs"));
        let honest = served(source.path());
        for (what, misdeed) in MISDEEDS {
            let root = source.path().to_owned();
            let liar = Liar::new(source.path(), move |asked| {
                let is_it = asked.path.starts_with(begin) && asked.path.ends_with(end);
                if !is_it || (once && asked.before > 0) {
                    return Answer::Honest;
                }
                misdeed(asked, &read(&root, &asked.path))
            });
            let machine = Place::new(format, Mode::BareUser);
            let outcome = pulled(&machine, &liar.url);
            // Who says that there is no such file is believed; redirects lead where they lead; and what is far too large is not
            // asked for again where there is nobody else to ask.
            let is_final = [
                "forbidden",
                "not found",
                "a status that there is not",
                "a redirect to itself",
                "no end",
                "10^18 bytes",
            ]
            .contains(&what);
            assert!(!once || is_final || outcome.is_ok(), "{begin}…{end}, once {what}: {outcome:?}");
            assert!(*begin != "/closures/" || outcome.is_ok(), "{begin}…{end}, {what}: {outcome:?}");
            check(&machine, &outcome, commit, &honest);
        }
    }
}

#[test]
fn nothing_that_a_server_of_the_native_format_does_gets_in_or_in_the_way_of_the_next_pull() {
    each(Format::Native, &FILES, false);
}

#[test]
fn nothing_that_a_server_of_ostrees_format_does_gets_in_or_in_the_way_of_the_next_pull() {
    each(Format::Ostree, &FILES[3..8], false);
}

#[test]
fn what_a_server_does_once_to_an_object_is_made_up_for() {
    each(Format::Native, &FILES[5..6], true);
    each(Format::Ostree, &FILES[7..8], true);
}

/// An archived file whose header says that it is larger than any disk.
fn enormous(format: Format, file: &[u8]) -> Vec<u8> {
    let archive = format.read_archive_header(&mut &*file).unwrap().unwrap();
    [&format.encode_archive_header(&archive.header, 1 << 60), &file[archive.encoded_len..]].concat()
}

#[test]
fn a_size_that_cannot_be_is_the_fault_of_who_says_it_and_no_want_of_space() {
    for (format, mode) in [(Format::Native, Mode::BareUser), (Format::Ostree, Mode::Archive)] {
        let source = Place::new(format, Mode::Archive);
        let mut tree = Tree::default();
        // As it comes in memory, and by way of the disk.
        tree.file("zeros", vec![0; 3 << 20]);
        tree.file("noise", noise(600_000));
        let commit = source.commit(BRANCH, &tree);
        for times in [1, usize::MAX] {
            let root = source.path().to_owned();
            let liar = Liar::new(source.path(), move |asked| {
                if !asked.path.contains(".filez") || asked.before >= times {
                    return Answer::Honest;
                }
                Answer::Bytes(enormous(format, &read(&root, &asked.path)))
            });
            let machine = Place::new(format, mode);
            let outcome = pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH));
            if times == 1 {
                outcome.unwrap();
                verified_objects(&machine.repo, commit);
            } else {
                assert!(matches!(outcome, Err(PullError::BadObject { .. })), "{outcome:?}");
            }
        }
    }
}

#[test]
fn a_summary_that_points_elsewhere_or_back_moves_no_ref() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let old = source.commit_at(BRANCH, &small(), 1_000);
        source.repo.update_summary().unwrap();
        let old_summary = read(source.path(), "summary");
        let new = source.commit_at(BRANCH, &small_tree("2"), 2_000);
        source.repo.update_summary().unwrap();
        let other = source.commit("other", &small_tree("3"));
        let honest = read(source.path(), "summary");
        let listing = |target| {
            let point = |target| RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target };
            source.repo.edit_refs(vec![point(target)]).unwrap();
            source.repo.update_summary().unwrap();
            source.repo.edit_refs(vec![point(new)]).unwrap();
            read(source.path(), "summary")
        };
        let gone = {
            let elsewhere = Place::new(format, Mode::Archive);
            elsewhere.commit(BRANCH, &small_tree("gone"));
            elsewhere.repo.update_summary().unwrap();
            read(elsewhere.path(), "summary")
        };
        let lies: [(Vec<u8>, Reason); 3] = [
            (old_summary, |error| matches!(error, PullError::Older { .. })),
            (listing(other), |error| matches!(error, PullError::NotBound { .. })),
            (gone, |error| matches!(error, PullError::NotThere { .. })),
        ];
        for (lie, is_reason) in lies {
            let machine = Place::new(format, Mode::BareUser);
            let server = Liar::new(source.path(), {
                let honest = honest.clone();
                move |asked| {
                    if asked.path == "/summary" { Answer::Bytes(honest.clone()) } else { Answer::Honest }
                }
            });
            let options = PullOptions { age: Age::NotBeforeRef, ..want(BRANCH) };
            pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
            let liar = Liar::new(source.path(), move |asked| {
                if asked.path == "/summary" { Answer::Bytes(lie.clone()) } else { Answer::Honest }
            });
            let before = stored(&machine.repo);
            let error = pull_quietly(&machine.repo, http(&liar.url), &options).unwrap_err();
            assert!(is_reason(&error), "{error:?}");
            assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(new));
            assert_eq!(stored(&machine.repo), before);
            pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
        }
        assert_ne!(old, new);
    }
}
