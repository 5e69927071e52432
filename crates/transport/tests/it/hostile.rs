//! Pulls from servers that fail or lie: nothing unverified enters, nothing moves, and the error says what is wrong.

use crate::liar::{Answer, Asked, Liar};
use crate::world::*;
use sapwood_objstore::{
    Commit, DirEntry, DirMeta, DirTree, EntryName, FileHeader, FileType, Format, Id, Mode, ObjectKind,
    Totals, Xattrs,
};
use sapwood_testkit::Tree;
use sapwood_transport::{
    FetchError, HttpOptions, HttpRemote, PullError, PullEvent, PullLimits, PullOptions, pull,
};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn source(format: Format) -> (Place, Id<Commit>) {
    let source = Place::new(format, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    (source, commit)
}

/// Pulls from a liar, which must fail and leave neither a ref nor a bad object.
fn failure(format: Format, liar: &Liar) -> PullError {
    let machine = Place::new(format, Mode::BareUser);
    let remote = HttpRemote::new(&liar.url, HttpOptions { retries: 1, ..quick() }).unwrap();
    let error = pull_quietly(&machine.repo, Arc::new(remote), &want(BRANCH)).unwrap_err();
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), None);
    assert!(stored(&machine.repo).is_empty());
    error
}

fn fetch_error(error: &PullError) -> &FetchError {
    match error {
        PullError::Fetch { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

fn is_kind(asked: &Asked, extension: &str) -> bool {
    asked.path.starts_with("/objects/") && asked.path.ends_with(extension)
}

fn lie_if(condition: bool, lie: Answer) -> Answer {
    if condition { lie } else { Answer::Honest }
}

/// The first file of a commit, and its path on the wire.
fn some_file(place: &Place, commit: Id<Commit>) -> (sapwood_objstore::ObjectName, String) {
    let objects = verified_objects(&place.repo, commit);
    let name = *objects.iter().find(|name| name.kind == ObjectKind::File).unwrap();
    let hex = name.id.to_hex();
    (name, format!("/objects/{}/{}.filez", &hex[..2], &hex[2..]))
}

#[test]
fn passing_failures_are_ridden_out() {
    for format in FORMATS {
        let (source, commit) = source(format);
        let liar = Liar::new(source.path(), |asked| match asked.before {
            0 => Answer::Status(503, "Retry-After: 0\r\n"),
            1 => Answer::Close,
            2 => Answer::Cut(1),
            3 => Answer::Status(500, ""),
            _ => Answer::Honest,
        });
        let machine = Place::new(format, Mode::BareUser);
        pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap();
        verified_objects(&machine.repo, commit);
    }
}

#[test]
fn a_lasting_failure_names_status_and_address_but_no_credentials() {
    let (source, _) = source(Format::Ostree);
    let liar = Liar::new(source.path(), |asked| lie_if(is_kind(asked, "dirmeta"), Answer::Status(502, "")));
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    let url = liar.url.replace("http://", "http://user:secret@");
    let error = pull_quietly(&machine.repo, http(&url), &want(BRANCH)).unwrap_err();
    let inner = fetch_error(&error);
    assert!(matches!(inner, FetchError::Status { status: 502, .. }), "{inner:?}");
    let text = format!("{error}: {inner} {error:?}");
    assert!(text.contains(".dirmeta") && text.contains(&liar.url), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn wrong_bytes_of_any_object_are_asked_for_twice_and_refused_by_name() {
    for format in FORMATS {
        for extension in [".commit", ".dirtree", ".dirmeta", ".filez"] {
            let (source, _) = source(format);
            // In the OSTree format that is a valid dirtree, but another one.
            let other = vec![0];
            let liar = Liar::new(source.path(), move |asked| {
                lie_if(is_kind(asked, extension), Answer::Bytes(other.clone()))
            });
            let error = failure(format, &liar);
            let PullError::BadObject { object, .. } = &error else { panic!("{error:?}") };
            let hex = object.id.to_hex();
            let path = format!("/objects/{}/{}{extension}", &hex[..2], &hex[2..]);
            assert_eq!(liar.asked_for(&path).len(), 2, "{error}");
        }
    }
}

#[test]
fn what_came_wrong_once_is_fetched_again() {
    for format in FORMATS {
        let (source, commit) = source(format);
        // Detached metadata has no id that could tell: it is not there, rather than wrong.
        let liar = Liar::new(source.path(), move |asked| match asked.path.ends_with("commitmeta") {
            true => Answer::Status(404, ""),
            false if asked.path.starts_with("/objects/") && asked.before == 0 => Answer::Bytes(vec![7; 40]),
            false => Answer::Honest,
        });
        let machine = Place::new(format, Mode::BareUser);
        pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap();
        verified_objects(&machine.repo, commit);
    }
}

#[test]
fn an_object_that_is_not_there_is_named_and_the_rest_is_kept_for_the_next_pull() {
    for format in FORMATS {
        let (source, commit) = source(format);
        let (name, path) = some_file(&source, commit);
        let gone = path.clone();
        let liar = Liar::new(source.path(), move |asked| lie_if(asked.path == gone, Answer::Status(404, "")));
        let machine = Place::new(format, Mode::BareUser);
        let error = pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap_err();
        assert!(matches!(&error, PullError::NotThere { object, .. } if *object == name), "{error:?}");

        let server = served(source.path());
        let outcome = pull_quietly(&machine.reopen(), http(&server.url), &want(BRANCH)).unwrap();
        let all = verified_objects(&machine.repo, commit).len() as u64;
        assert!(outcome.objects_fetched() < all, "nothing of the first pull was kept");
        assert_eq!(server.delivered().iter().filter(|delivered| **delivered == path).count(), 1);
        assert!(!machine.repo.is_partial(commit).unwrap());
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let (source, _) = source(Format::Ostree);
    for extension in [".dirtree", ".filez"] {
        let liar = Liar::new(source.path(), move |asked| lie_if(is_kind(asked, extension), Answer::Stall));
        let began = Instant::now();
        let error = failure(Format::Ostree, &liar);
        assert!(matches!(fetch_error(&error), FetchError::TooSlow { .. }), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

type Lie = fn(&Asked) -> bool;

#[test]
fn answers_beyond_their_limit_are_not_taken() {
    let (source, _) = source(Format::Ostree);
    source.repo.update_summary().unwrap();
    let lies: [(&str, Lie); 6] = [
        ("config", |asked| asked.path == "/config"),
        ("summary", |asked| asked.path == "/summary"),
        // The summary says how large it is.
        ("commit", |asked| is_kind(asked, ".commit")),
        ("commitmeta", |asked| is_kind(asked, ".commitmeta")),
        ("dirtree", |asked| is_kind(asked, ".dirtree")),
        ("filez", |asked| is_kind(asked, ".filez")),
    ];
    for (what, lie) in lies {
        for endless in [true, false] {
            let liar = Liar::new(source.path(), move |asked| match (lie(asked), endless) {
                (true, true) => Answer::Endless,
                (true, false) => Answer::Huge,
                (false, _) => Answer::Honest,
            });
            let machine = Place::new(Format::Ostree, Mode::BareUser);
            let limits =
                PullLimits { max_meta_bytes: 4 << 20, max_file_bytes: 4 << 20, ..Default::default() };
            let options = PullOptions { limits, ..want(BRANCH) };
            let error = pull_quietly(&machine.repo, http(&liar.url), &options).unwrap_err();
            if what == "filez" && endless {
                // A file is known for none by its beginning.
                assert!(matches!(&error, PullError::BadObject { .. }), "{error:?}");
            } else {
                assert!(matches!(fetch_error(&error), FetchError::TooLarge { .. }), "{what}: {error:?}");
            }
            assert!(stored(&machine.repo).is_empty());
        }
    }
}

#[test]
fn a_commit_larger_than_the_summary_says_is_refused() {
    let (source, commit) = source(Format::Ostree);
    source.repo.update_summary().unwrap();
    let real = source.repo.store().load_bytes(commit.name()).unwrap();
    let liar = Liar::new(source.path(), move |asked| {
        lie_if(is_kind(asked, ".commit"), Answer::Bytes([real.as_slice(), b"x"].concat()))
    });
    let error = failure(Format::Ostree, &liar);
    assert!(matches!(fetch_error(&error), FetchError::TooLarge { .. }), "{error:?}");
}

#[test]
fn files_at_the_top_that_make_no_sense_are_named() {
    for format in FORMATS {
        let (source, _) = source(format);
        for (path, file) in [("/config", "config"), ("/summary", "summary")] {
            let liar = Liar::new(source.path(), move |asked| {
                lie_if(asked.path == path, Answer::Bytes(b"<html>It works!</html>".to_vec()))
            });
            let error = failure(format, &liar);
            assert!(
                matches!(&error, PullError::Malformed { file: named, .. } if *named == file),
                "{error:?}"
            );
        }
        let liar = Liar::new(source.path(), |asked| {
            lie_if(asked.path.starts_with("/refs/"), Answer::Bytes(b"../../etc/passwd\n".to_vec()))
        });
        let error = failure(format, &liar);
        assert!(matches!(&error, PullError::MalformedRef { .. }), "{error:?}");
        let liar = Liar::new(source.path(), |asked| {
            lie_if(
                asked.path == "/config",
                Answer::Bytes(b"[core]\nrepo_version=99\nmode=archive-z2\n".to_vec()),
            )
        });
        let error = failure(format, &liar);
        assert!(matches!(&error, PullError::NewerFormat { .. }), "{error:?}");
    }
}

#[test]
fn a_remote_without_configuration_is_no_repository() {
    for format in FORMATS {
        let (source, _) = source(format);
        for status in [403, 404] {
            let liar = Liar::new(source.path(), move |asked| {
                lie_if(asked.path == "/config", Answer::Status(status, ""))
            });
            let error = failure(format, &liar);
            assert!(matches!(&error, PullError::NotARepo { .. }), "{error:?}");
        }
    }
}

#[test]
fn redirects_are_followed_but_not_in_circles_nor_to_other_protocols() {
    let (source, commit) = source(Format::Ostree);
    let server = served(source.path());
    let target: &'static str = Box::leak(format!("Location: {}/config\r\n", server.url).into_boxed_str());
    let liar =
        Liar::new(source.path(), move |asked| lie_if(asked.path == "/config", Answer::Status(302, target)));
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
    assert_eq!(server.delivered(), ["/config"]);

    for location in [
        "Location: /config\r\n",
        "Location: ftp://127.0.0.1/config\r\n",
        "Location: file:///etc/passwd\r\n",
        "",
    ] {
        let liar = Liar::new(source.path(), move |asked| {
            lie_if(asked.path == "/config", Answer::Status(301, location))
        });
        let error = failure(Format::Ostree, &liar);
        assert!(matches!(fetch_error(&error), FetchError::Redirect { .. }), "{error:?}");
        assert!(liar.requests() < 20);
    }
}

#[test]
fn what_is_no_http_or_has_no_end_of_headers_is_refused() {
    let (source, _) = source(Format::Ostree);
    for garbage in [true, false] {
        let liar = Liar::new(source.path(), move |asked| match (is_kind(asked, ".dirmeta"), garbage) {
            (true, true) => Answer::Garbage,
            (true, false) => Answer::EndlessHead,
            (false, _) => Answer::Honest,
        });
        let error = failure(Format::Ostree, &liar);
        assert!(matches!(fetch_error(&error), FetchError::Broken { .. }), "{error:?}");
    }
}

#[test]
fn nobody_listening_is_said_soon() {
    let (source, _) = source(Format::Ostree);
    let url = {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", port.local_addr().unwrap())
    };
    let began = Instant::now();
    let error = pull_quietly(&source.repo, http(&url), &want(BRANCH)).unwrap_err();
    assert!(matches!(fetch_error(&error), FetchError::Connect { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

const LARGE: usize = 6 << 20;

/// A commit with one large file; the path of that on the wire, and its size there.
fn large_source(format: Format) -> (Place, Id<Commit>, String, usize) {
    let source = Place::new(format, Mode::Archive);
    let mut tree = Tree::default();
    tree.file("large", noise(LARGE));
    let commit = source.commit(BRANCH, &tree);
    let (name, path) = some_file(&source, commit);
    let size = usize::try_from(source.repo.store().stored_size(name).unwrap()).unwrap();
    (source, commit, path, size)
}

#[test]
fn a_large_object_goes_on_where_the_connection_broke() {
    for format in FORMATS {
        let (source, commit, path, size) = large_source(format);
        let liar = Liar::new(source.path(), |asked| lie_if(is_kind(asked, ".filez"), Answer::Cut(1 << 20)));
        let machine = Place::new(format, Mode::BareUser);
        let outcome = pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap();
        verified_objects(&machine.repo, commit);
        let ranges: Vec<_> = liar.asked_for(&path).iter().map(|from| from.unwrap_or(0)).collect();
        assert_eq!(ranges, (0..=size >> 20).map(|part| part << 20).collect::<Vec<_>>());
        assert!(outcome.bytes_received < size as u64 + 10_000, "no byte came twice");
    }
}

#[test]
fn no_more_comes_of_a_file_than_its_header_says_and_nothing_of_that_stays() {
    for format in FORMATS {
        let (source, _, path, size) = large_source(format);
        let file = sapwood_fsio::read(source.repo.dir(), path.trim_start_matches('/'), 1 << 30).unwrap();
        let swollen = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), file, vec![0; 16 * size]].concat();
        let liar = Liar::new(source.path(), move |asked| {
            lie_if(is_kind(asked, ".filez"), Answer::Raw(swollen.clone()))
        });
        let machine = Place::new(format, Mode::BareUser);
        let error = pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap_err();
        assert!(matches!(fetch_error(&error), FetchError::TooLarge { .. }), "{error:?}");
        assert_eq!(walk_for(machine.path(), ".0"), None, "no part is left");
    }
}

#[test]
fn what_does_not_begin_as_a_file_is_not_read_to_its_end() {
    for format in FORMATS {
        let (source, ..) = large_source(format);
        let large = || [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0xff; 64 << 20]].concat();
        let liar = Liar::new(source.path(), move |asked| {
            if is_kind(asked, ".filez") { Answer::Raw(large()) } else { Answer::Honest }
        });
        let machine = Place::new(format, Mode::BareUser);
        let received = AtomicU64::new(0);
        let on_event = |event: PullEvent<'_>| {
            if let PullEvent::Progress(now) = event {
                received.fetch_max(now.bytes_received, Ordering::Relaxed);
            }
        };
        let options = PullOptions { progress_interval: Duration::from_millis(5), ..want(BRANCH) };
        let pulled = pull(runtime().handle(), &machine.repo, http(&liar.url), &[], &options, &on_event);
        assert!(matches!(pulled, Err(PullError::BadObject { .. })), "{pulled:?}");
        assert!(received.into_inner() < 8 << 20);
        assert_eq!(walk_for(machine.path(), ".0"), None, "no part is left");
    }
}

#[test]
fn a_server_without_ranges_is_read_again_up_to_where_it_broke() {
    let (source, commit, path, _) = large_source(Format::Ostree);
    let liar = Liar::new(source.path(), |asked| match (is_kind(asked, ".filez"), asked.before) {
        (true, 0) => Answer::CutWhole(1 << 20),
        (true, 1) => Answer::CutWhole(3 << 20),
        (true, _) => Answer::Whole,
        _ => Answer::Honest,
    });
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
    assert_eq!(liar.asked_for(&path).len(), 3);
}

#[test]
fn the_next_pull_goes_on_in_the_middle_of_a_large_object() {
    for format in FORMATS {
        let (source, commit, path, size) = large_source(format);
        let liar = Liar::new(source.path(), |asked| match (is_kind(asked, ".filez"), asked.from) {
            (true, None) => Answer::Cut(2 << 20),
            (true, Some(_)) => Answer::Status(500, ""),
            _ => Answer::Honest,
        });
        let machine = Place::new(format, Mode::BareUser);
        pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap_err();

        let liar = Liar::new(source.path(), |_| Answer::Honest);
        let outcome = pull_quietly(&machine.reopen(), http(&liar.url), &want(BRANCH)).unwrap();
        assert_eq!(liar.asked_for(&path), [Some(2 << 20)]);
        assert!(outcome.bytes_received < (size - (2 << 20)) as u64 + 10_000);
        verified_objects(&machine.repo, commit);
    }
}

#[test]
fn a_half_whose_rest_cannot_be_had_is_fetched_again_as_a_whole() {
    let (source, commit, path, size) = large_source(Format::Ostree);
    let rests: [fn(usize) -> String; 2] = [
        // A part of what was asked for, and another part.
        |size| format!("content-range: bytes {}-{}/{size}\r\ncontent-length: 1", 2 << 20, 2 << 20),
        |size| format!("content-range: bytes {}-{}/{size}\r\ncontent-length: 1", size - 1, size - 1),
    ];
    for rest in rests {
        let machine = Place::new(Format::Ostree, Mode::BareUser);
        let liar = Liar::new(source.path(), |asked| match (is_kind(asked, ".filez"), asked.from) {
            (true, None) => Answer::Cut(2 << 20),
            (true, Some(_)) => Answer::Status(500, ""),
            _ => Answer::Honest,
        });
        pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap_err();
        let head = format!("HTTP/1.1 206 Partial\r\n{}\r\nconnection: close\r\n\r\nx", rest(size));
        let liar = Liar::new(source.path(), move |asked| match (is_kind(asked, ".filez"), asked.from) {
            (true, Some(_)) => Answer::Raw(head.clone().into_bytes()),
            _ => Answer::Honest,
        });
        pull_quietly(&machine.reopen(), http(&liar.url), &want(BRANCH)).unwrap();
        assert_eq!(liar.asked_for(&path), [Some(2 << 20), None]);
        verified_objects(&machine.repo, commit);
    }
}

#[test]
fn a_half_that_does_not_fit_the_rest_is_fetched_again_as_a_whole() {
    let (source, commit, path, _) = large_source(Format::Ostree);
    let liar = Liar::new(source.path(), |asked| match (is_kind(asked, ".filez"), asked.from) {
        (true, None) => Answer::Bytes(vec![9; 3 << 20]),
        (true, Some(_)) => Answer::Status(500, ""),
        _ => Answer::Honest,
    });
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap_err();
    // A lie that is cut leaves a wrong beginning behind.
    let liar = Liar::new(source.path(), |asked| match (is_kind(asked, ".filez"), asked.before) {
        (true, 0) => Answer::Cut(2 << 20),
        (true, 1..=6) => Answer::Status(500, ""),
        _ => Answer::Honest,
    });
    pull_quietly(&machine.reopen(), http(&liar.url), &want(BRANCH)).unwrap_err();
    let scratch = walk_for(machine.path(), ".0").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(scratch).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"flipped", 5000).unwrap();
    let liar = Liar::new(source.path(), |_| Answer::Honest);
    pull_quietly(&machine.reopen(), http(&liar.url), &want(BRANCH)).unwrap();
    assert_eq!(liar.asked_for(&path), [Some(2 << 20), None]);
    verified_objects(&machine.repo, commit);
}

/// A file below `root` whose name ends so.
fn walk_for(root: &std::path::Path, end: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(root).ok()? {
        let path = entry.ok()?.path();
        let found = if path.is_dir() {
            walk_for(&path, end)
        } else {
            path.to_string_lossy().ends_with(end).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[test]
fn a_decompression_bomb_does_not_go_off() {
    for format in FORMATS {
        let (source, _) = source(format);
        let header = FileHeader {
            uid: 0,
            gid: 0,
            mode: 0o644,
            file_type: FileType::Regular,
            xattrs: Xattrs::default(),
        };
        for claimed in [10, u64::MAX] {
            let mut bomb = format.encode_archive_header(&header, claimed);
            let mut compressor = format.compressor(Box::new(&mut bomb), None).unwrap();
            for _ in 0..256 {
                compressor.write_all(&vec![0; 1 << 20]).unwrap();
            }
            compressor.finish().unwrap();
            let liar = Liar::new(source.path(), move |asked| {
                lie_if(is_kind(asked, ".filez"), Answer::Bytes(bomb.clone()))
            });
            let error = failure(format, &liar);
            assert!(
                matches!(&error, PullError::BadObject { .. } | PullError::Store { .. }),
                "{claimed}: {error:?}"
            );
        }
    }
}

#[test]
fn a_tree_that_is_too_deep_or_too_large_is_refused() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let mut txn = source.repo.begin().unwrap();
        let objects = txn.objects();
        let meta = DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() };
        let meta = objects.put(&meta).unwrap();
        let mut tree = objects.put(&DirTree::new(Vec::new(), Vec::new()).unwrap()).unwrap();
        for _ in 0..60 {
            let below = DirEntry { name: EntryName::new("d").unwrap(), tree, meta };
            tree = objects.put(&DirTree::new(Vec::new(), vec![below]).unwrap()).unwrap();
        }
        let totals = Totals { files: 0, dirs: 61, bytes: 0 };
        let totals = format.records_sizes().then_some(totals);
        let target = objects.put(&bare_commit(tree, meta, totals)).unwrap();
        let expected = sapwood_repo::Expected::Any;
        txn.edit_ref(sapwood_repo::RefEdit::Set { name: local(BRANCH), expected, target });
        txn.commit().unwrap();

        let server = served(source.path());
        let pull_with = |limits| {
            let machine = Place::new(format, Mode::BareUser);
            pull_quietly(&machine.repo, http(&server.url), &PullOptions { limits, ..want(BRANCH) })
        };
        let error = pull_with(PullLimits { max_depth: 59, ..Default::default() }).unwrap_err();
        assert!(matches!(error, PullError::TooDeep { limit: 59, .. }), "{error:?}");
        let error = pull_with(PullLimits { max_objects: 60, ..Default::default() }).unwrap_err();
        assert!(matches!(error, PullError::TooManyObjects { limit: 60 }), "{error:?}");
        pull_with(PullLimits { max_depth: 60, max_objects: 63, ..Default::default() }).unwrap();
    }
}
