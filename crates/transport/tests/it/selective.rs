//! Pulls of less than everything, with help from local caches, or only of what is acceptable.

use crate::world::*;
use sapwood_objstore::{Format, Id, Mode, ObjectName};
use sapwood_repo::{CommitOptions, ImportOptions, Modifiers, WalkEntry};
use sapwood_transport::{Age, FileModes, PullError, PullOptions, Subpath, plan_pull, pull, pull_local};

#[test]
fn a_subpath_brings_itself_and_the_directories_above_it_and_a_later_pull_the_rest() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let commit = source.commit(BRANCH, &small_tree("1"));
        let server = served(source.path());
        let everything = verified_objects(&source.repo, commit).len() as u64;
        for over_http in [true, false] {
            let machine = Place::new(format, Mode::BareUser);
            let pull = |options: &PullOptions| {
                if over_http {
                    pull_quietly(&machine.repo, http(&server.url), options)
                } else {
                    pull_local(&machine.repo, &source.repo, options, &|_| {})
                }
            };
            let paths = ["/usr/bin", "/etc/version", "/no/such/path"];
            let subpaths = paths.iter().map(|path| Subpath::parse(path).unwrap()).collect();
            let outcome = pull(&PullOptions { subpaths, ..want(BRANCH) }).unwrap();
            assert_eq!(outcome.files_fetched, 3, "bin/tool, bin/copy and etc/version");
            // The commit; the trees of the root, usr, usr/bin and etc; and the one metadata of directories.
            assert_eq!(outcome.meta_fetched, 6);
            assert!(machine.repo.is_partial(commit).unwrap());

            let outcome = pull(&want(BRANCH)).unwrap();
            assert_eq!(outcome.objects_fetched(), everything - 9);
            assert!(!machine.repo.is_partial(commit).unwrap());
            verified_objects(&machine.repo, commit);
        }
    }
}

#[test]
fn a_plan_counts_what_the_pull_after_it_fetches() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        source.commit(BRANCH, &small_tree("1"));
        let machine = Place::new(format, Mode::BareUser);
        let server = served(source.path());
        pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
        let mut tree = small_tree("1");
        tree.file("etc/version", "twelve bytes");
        tree.file("usr/new", noise(5000));
        let second = source.commit(BRANCH, &tree);
        let before = machine.repo.ref_target(&local(BRANCH)).unwrap();
        let server = served(source.path());
        let options = want(BRANCH);
        let plan = plan_pull(runtime().handle(), &machine.repo, http(&server.url), &[], &options, &|_| {});
        let plan = plan.unwrap();
        assert!(server.delivered().iter().all(|path| !path.contains(".filez")));
        assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), before);
        assert_eq!(plan.refs[0].new, second);
        // Directories of the native format tell sizes, those of the other do not.
        let known = format == Format::Native;
        assert_eq!(plan.files.number, 2);
        assert_eq!(plan.files.content_bytes, if known { 5012 } else { 0 });
        assert_eq!(plan.files.of_unknown_size, if known { 0 } else { 2 });
        let outcome = pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
        assert_eq!(
            (outcome.files_fetched, outcome.meta_fetched),
            (2, 1),
            "all metadata but the commit was kept"
        );
        verified_objects(&machine.repo, second);
        assert!(!machine.repo.is_partial(second).unwrap());
    }
}

#[test]
fn what_a_local_cache_has_is_not_fetched_and_what_it_has_wrong_is() {
    let source = Place::new(FORMATS[0], Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    let cache = Place::new(FORMATS[0], Mode::BareUser);
    pull_local(&cache.repo, &source.repo, &want(BRANCH), &|_| {}).unwrap();
    let mut tree = small_tree("1");
    tree.file("etc/version", "2");
    let second = source.commit(BRANCH, &tree);
    let server = served(source.path());
    let with_cache = |machine: &Place| {
        let (runtime, remote) = (runtime().handle(), http(&server.url));
        pull(runtime, &machine.repo, remote, &[&cache.repo], &want(BRANCH), &|_| {}).unwrap()
    };

    let machine = Place::new(FORMATS[0], Mode::Archive);
    let outcome = with_cache(&machine);
    // The commit, the root, /etc, and the file.
    assert_eq!((outcome.meta_fetched, outcome.files_fetched), (3, 1));
    let all = verified_objects(&machine.repo, second).len() as u64;
    assert_eq!(outcome.meta_cached + outcome.files_cached, all - 4);

    let damaged = cache.repo.root(cache.repo.resolve(BRANCH).unwrap()).unwrap();
    overwrite(&object(&cache, damaged.meta.name(), "dirmeta"), b"nonsense");
    let file = cache.repo.walk(damaged).find_map(|entry| match entry.unwrap() {
        WalkEntry::File { entry, path, .. } if path == "/etc/hosts" => Some(entry.id.name()),
        _ => None,
    });
    // In place, so that it keeps what stands for its owner and mode.
    let file = std::fs::OpenOptions::new().write(true).open(object(&cache, file.unwrap(), "file")).unwrap();
    file.set_len(3).unwrap();
    for mode in [Mode::Archive, Mode::BareUser] {
        let machine = Place::new(FORMATS[0], mode);
        let outcome = with_cache(&machine);
        assert_eq!((outcome.meta_fetched, outcome.files_fetched), (4, 2));
        verified_objects(&machine.repo, second);
    }
}

/// The file of an object.
fn object(place: &Place, name: ObjectName, extension: &str) -> std::path::PathBuf {
    let hex = name.id.to_hex();
    place.path().join(format!("objects/{}/{}.{extension}", &hex[..2], &hex[2..]))
}

#[expect(clippy::disallowed_methods, reason = "tests damage files by their paths")]
fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    drop(std::fs::remove_file(path));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_commit_older_than_it_may_be_is_refused_and_the_ref_stays() {
    let source = Place::new(FORMATS[1], Mode::Archive);
    let at = |timestamp| {
        let from = tempfile::tempdir().unwrap();
        let options = CommitOptions {
            branch: Some(local(BRANCH)),
            timestamp: Some(timestamp),
            ..CommitOptions::default()
        };
        let import = ImportOptions::default();
        source.repo.commit_dir(&open_dir(from.path()), &import, &options, &|_| {}).unwrap().commit
    };
    let (old, new) = (at(1000), at(2000));
    let older = at(500);
    let server = served(source.path());
    let machine = Place::new(FORMATS[1], Mode::BareUser);
    let pull = |commit: Id<_>, age| {
        let options = PullOptions { age, ..want(&format!("{BRANCH}@{commit}")) };
        pull_quietly(&machine.repo, http(&server.url), &options)
    };
    pull(old, Age::NotBeforeRef).unwrap();
    pull(new, Age::NotBeforeRef).unwrap();
    pull(new, Age::NotBeforeRef).unwrap();
    let refused = pull(old, Age::NotBeforeRef).unwrap_err();
    assert!(matches!(refused, PullError::Older { commit, current, .. } if commit == old && current == new));
    assert!(matches!(pull(older, Age::NotBefore(old)), Err(PullError::Older { .. })));
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(new));
    pull(old, Age::NotBefore(old)).unwrap();
}

#[test]
fn files_with_dangerous_modes_are_refused_where_plain_ones_are_asked_for() {
    let source = Place::new(FORMATS[1], Mode::Archive);
    let commit = |mode| {
        let from = tempfile::tempdir().unwrap();
        let mut tree = sapwood_testkit::Tree::default();
        tree.file("tool", format!("mode {mode}")).mode(mode);
        tree.write_to(from.path()).unwrap();
        let import = ImportOptions { modifiers: Modifiers::default(), ..Default::default() };
        let options = CommitOptions { branch: Some(local(BRANCH)), ..CommitOptions::default() };
        source.repo.commit_dir(&open_dir(from.path()), &import, &options, &|_| {}).unwrap();
    };
    let server = served(source.path());
    for (mode, bits) in [(0o755, None), (0o4755, Some(0o4000)), (0o777, Some(0o2))] {
        commit(mode);
        for over_http in [true, false] {
            let machine = Place::new(FORMATS[1], Mode::Archive);
            let options = PullOptions { file_modes: FileModes::Plain, ..want(BRANCH) };
            let outcome = if over_http {
                pull_quietly(&machine.repo, http(&server.url), &options)
            } else {
                pull_local(&machine.repo, &source.repo, &options, &|_| {})
            };
            match (outcome, bits) {
                (Ok(_), None) => {}
                (Err(PullError::FileMode { bits: found, .. }), Some(bits)) => assert_eq!(found, bits),
                (other, _) => panic!("mode {mode:o}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_pull_of_a_commit_does_not_look_at_the_summary() {
    let source = Place::new(FORMATS[1], Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    overwrite(&source.path().join("summary"), b"broken");
    let server = served(source.path());
    let machine = Place::new(FORMATS[1], Mode::BareUser);
    assert!(matches!(
        pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)),
        Err(PullError::Malformed { .. })
    ));
    pull_quietly(&machine.repo, http(&server.url), &want(&format!("{BRANCH}@{commit}"))).unwrap();
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
}
