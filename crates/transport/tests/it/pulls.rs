//! Pulls that go well.

use crate::world::*;
use sapwood_objstore::{Format, Metadata, Mode, Trust, Value};
use sapwood_repo::{Expected, RefEdit, RefName, Refspec, RemoteName};
use sapwood_transport::{
    Bindings, DirRemote, PullError, PullEvent, PullOptions, RefsInto, Scope, SplitRemote, Wanted, pull,
    pull_local,
};
use std::sync::{Arc, Mutex};

#[test]
fn every_mode_of_both_formats_gets_all_of_a_commit_over_http() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let commit = source.commit(BRANCH, &small_tree("1"));
        let server = served(source.path());
        for mode in modes() {
            let machine = Place::new(format, mode);
            let origin = RefsInto::Remote(RemoteName::new("origin").unwrap());
            let options = PullOptions { into: origin.clone(), ..want(BRANCH) };
            let outcome = pull_quietly(&machine.repo, http(&server.url), &options).unwrap();

            let repo = machine.reopen();
            let name = Refspec::parse(&format!("origin:{BRANCH}")).unwrap();
            assert_eq!(repo.ref_target(&name).unwrap(), Some(commit));
            assert_eq!((outcome.refs[0].old, outcome.refs[0].new), (None, commit));
            let objects = verified_objects(&repo, commit);
            assert_eq!(objects, verified_objects(&source.repo, commit), "{format:?} {mode:?}");
            assert_eq!(outcome.objects_fetched(), objects.len() as u64);
            assert!(!repo.is_partial(commit).unwrap());
        }
    }
}

#[test]
fn a_second_pull_fetches_nothing_but_what_changed() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let first = source.commit(BRANCH, &small_tree("1"));
        let server = served(source.path());
        let machine = Place::new(format, Mode::BareUser);
        pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();

        let outcome = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
        assert_eq!(outcome.objects_fetched(), 0);
        assert_eq!(outcome.refs[0].old, Some(first));

        let mut tree = small_tree("1");
        tree.file("etc/version", "2");
        let second = source.commit(BRANCH, &tree);
        server.log.lock().unwrap().clear();
        let outcome = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
        // The commit, the root, /etc, and the file.
        assert_eq!((outcome.meta_fetched, outcome.files_fetched), (3, 1));
        assert_eq!(server.delivered().iter().filter(|path| path.starts_with("/objects/")).count(), 4);
        verified_objects(&machine.repo, second);
    }
}

#[test]
fn history_comes_as_deep_as_asked_for_and_as_far_as_there_is_any() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let commits: Vec<_> = (0..4).map(|n| source.commit(BRANCH, &small_tree(&n.to_string()))).collect();
    let server = served(source.path());
    for (depth, expected) in [(Some(0), 1), (Some(1), 2), (Some(2), 3), (Some(9), 4), (None, 4)] {
        let machine = Place::new(Format::Ostree, Mode::Archive);
        pull_quietly(&machine.repo, http(&server.url), &PullOptions { depth, ..want(BRANCH) }).unwrap();
        for (age, commit) in commits.iter().rev().enumerate() {
            let here = machine.repo.store().contains(commit.name()).unwrap();
            assert_eq!(here, age < expected, "depth {depth:?}, age {age}");
            if here {
                verified_objects(&machine.repo, *commit);
            }
        }
    }
    // A machine that has a part of the history deepens it.
    let machine = Place::new(Format::Ostree, Mode::Archive);
    pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
    pull_quietly(&machine.repo, http(&server.url), &PullOptions { depth: Some(2), ..want(BRANCH) }).unwrap();
    verified_objects(&machine.repo, commits[1]);
    assert!(!machine.repo.store().contains(commits[0].name()).unwrap());
}

#[test]
fn commits_alone_stay_incomplete_until_the_rest_is_pulled() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let options = PullOptions { scope: Scope::CommitsOnly, ..want(BRANCH) };
    let outcome = pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
    assert_eq!(outcome.objects_fetched(), 1);
    assert!(machine.repo.is_partial(commit).unwrap());

    pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
    assert!(!machine.repo.is_partial(commit).unwrap());
    verified_objects(&machine.repo, commit);
}

#[test]
fn a_ref_can_be_pinned_and_a_commit_pulled_without_a_ref() {
    let source = Place::new(Format::Native, Mode::Archive);
    let old = source.commit(BRANCH, &small_tree("1"));
    let new = source.commit(BRANCH, &small_tree("2"));
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    pull_quietly(&machine.repo, http(&server.url), &want(&format!("{BRANCH}@{old}"))).unwrap();
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(old));

    let outcome = pull_quietly(&machine.repo, http(&server.url), &want(&new.to_hex())).unwrap();
    assert_eq!(outcome.commits, [new]);
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(old));
    verified_objects(&machine.repo, new);
}

#[test]
fn a_mirror_has_all_refs_and_the_summary_as_it_is() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let one = source.commit("os/one", &small_tree("1"));
        let two = source.commit("os/two", &small_tree("2"));
        let server = served(source.path());
        let machine = Place::new(format, Mode::Archive);
        let options = PullOptions { copy_summary: true, ..Default::default() };
        let error = pull_quietly(&machine.repo, http(&server.url), &options).unwrap_err();
        assert!(matches!(error, PullError::NoSummary { .. }), "{error}");

        source.repo.update_summary().unwrap();
        pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
        assert_eq!(machine.repo.ref_target(&local("os/one")).unwrap(), Some(one));
        assert_eq!(machine.repo.ref_target(&local("os/two")).unwrap(), Some(two));
        let read = |place: &Place| sapwood_fsio::read(place.repo.dir(), "summary", 1 << 20).unwrap();
        assert_eq!(read(&machine), read(&source));
    }
}

#[test]
fn a_ref_that_a_stale_summary_lacks_is_found_all_the_same() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    source.commit("os/old", &small_tree("1"));
    source.repo.update_summary().unwrap();
    let commit = source.commit(BRANCH, &small_tree("2"));
    let server = served(source.path());
    let machine = Place::new(Format::Ostree, Mode::Archive);
    pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
}

#[test]
fn a_ref_that_only_the_summary_of_a_directory_lists_is_found() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let commit = source.commit(BRANCH, &small_tree("1"));
        source.repo.update_summary().unwrap();
        let delete = RefEdit::Delete { name: local(BRANCH), expected: Expected::Any };
        source.repo.edit_refs(vec![delete]).unwrap();
        let machine = Place::new(format, Mode::BareUser);
        pull_local(&machine.repo, &source.repo, &want(BRANCH), &|_| {}).unwrap();
        assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
        let error = pull_local(&machine.repo, &source.repo, &want("other"), &|_| {}).unwrap_err();
        assert!(matches!(error, PullError::UnknownRef { has_summary: true, .. }), "{error}");
    }
}

#[test]
fn another_format_is_refused_by_name() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let error = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap_err().to_string();
    assert!(error.contains("is of the ostree format, this repository of the native format"), "{error}");
    let error = pull_local(&machine.repo, &source.repo, &want(BRANCH), &|_| {}).unwrap_err();
    assert!(matches!(error, PullError::FormatMismatch { .. }), "{error}");
}

#[test]
fn a_repository_that_is_no_archive_is_refused_by_its_mode() {
    let source = Place::new(Format::Ostree, Mode::BareUser);
    source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    let error = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap_err().to_string();
    assert!(error.contains("mode bare-user;"), "{error}");
}

#[test]
fn an_unknown_ref_and_an_empty_server_are_told_apart_from_broken_ones() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let server = served(source.path());
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    let error = pull_quietly(&machine.repo, http(&server.url), &want("no/such")).unwrap_err();
    assert!(matches!(error, PullError::UnknownRef { .. }), "{error}");
}

#[test]
fn a_commit_is_taken_only_for_the_refs_it_was_made_for() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let heads = source.path().join("refs/heads");
    std::os::unix::fs::symlink(BRANCH, heads.join("alias")).unwrap();
    let server = served(source.path());
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    let error = pull_quietly(&machine.repo, http(&server.url), &want("alias")).unwrap_err();
    assert!(matches!(&error, PullError::NotBound { bound_to, .. } if bound_to == &[BRANCH]), "{error}");
    assert!(stored(&machine.repo).is_empty());

    let options = PullOptions { bindings: Bindings::Ignore, ..want("alias") };
    pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
    assert_eq!(machine.repo.ref_target(&local("alias")).unwrap(), Some(commit));
}

#[test]
fn a_repository_that_is_copied_whole_is_not_believed_in_what_its_refs_are_either() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let set = RefEdit::Set { name: local("other"), expected: Expected::Any, target: commit };
    source.repo.edit_refs(vec![set]).unwrap();
    source.repo.update_summary().unwrap();
    let server = served(source.path());
    let remote = RefsInto::Remote(RemoteName::new("o").unwrap());
    for into in [RefsInto::Heads, RefsInto::Mirror, remote] {
        for over_http in [true, false] {
            let machine = Place::new(Format::Ostree, Mode::BareUser);
            let pull = |bindings| {
                let options = PullOptions { into: into.clone(), bindings, ..PullOptions::default() };
                if over_http {
                    pull_quietly(&machine.repo, http(&server.url), &options)
                } else {
                    pull_local(&machine.repo, &source.repo, &options, &|_| {})
                }
            };
            let error = pull(Bindings::Check).unwrap_err();
            assert!(
                matches!(&error, PullError::NotBound { name, .. } if name.as_str() == "other"),
                "{error}"
            );
            assert!(stored(&machine.repo).is_empty() && machine.repo.refs().unwrap().is_empty());
            assert_eq!(pull(Bindings::Ignore).unwrap().refs.len(), 2);
        }
    }
}

#[test]
fn metadata_beside_a_commit_comes_along_and_is_renewed() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let commit = source.commit(BRANCH, &small_tree("1"));
        let server = served(source.path());
        let machine = Place::new(format, Mode::BareUser);
        for note in ["first", "second"] {
            let mut beside = Metadata::default();
            beside.set("note", Value::Str(note.to_owned()));
            source.repo.store().set_detached(commit, Some(&beside)).unwrap();
            pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
            assert_eq!(machine.repo.store().detached(commit).unwrap(), Some(beside));
        }
    }
}

#[test]
fn objects_may_be_elsewhere() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let content = tempfile::tempdir().unwrap();
    std::process::Command::new("mv")
        .args([source.path().join("objects"), content.path().join("objects")])
        .status()
        .unwrap();
    let (meta, content) = (served(source.path()), served(content.path()));
    let remote = SplitRemote { meta: http(&meta.url), content: http(&content.url) };
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, Arc::new(remote), &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
}

#[test]
fn totals_are_honest() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let tree = small_tree("1");
        let commit = source.commit(BRANCH, &tree);
        let machine = Place::new(format, Mode::BareUser);
        let seen = Mutex::new(Vec::new());
        let remote = Arc::new(DirRemote::new(open_dir(source.path()), "source"));
        let outcome =
            pull(runtime().handle(), &machine.repo, remote, &[], &want(BRANCH), &|event| match event {
                PullEvent::Progress(progress) => seen.lock().unwrap().push(progress),
                PullEvent::Resolved { name, commit: resolved } => {
                    assert_eq!((name, resolved), (Some(&local(BRANCH)), commit));
                }
                _ => {}
            })
            .unwrap();
        let seen = seen.into_inner().unwrap();
        let last = *seen.last().unwrap();
        assert!(last.totals_final);
        assert_eq!((last.meta_known, last.files_known), (last.meta_done, last.files_done));
        assert_eq!((last.meta_done, last.files_done), (outcome.meta_fetched, outcome.files_fetched));
        // usr/bin/copy and usr/share/copy are one object.
        let contents: std::collections::BTreeSet<_> = tree
            .nodes
            .values()
            .filter_map(|node| match &node.kind {
                sapwood_testkit::Kind::File(content) => Some((content.clone(), node.mode)),
                _ => None,
            })
            .collect();
        let bytes: u64 = contents.iter().map(|(content, _)| content.len() as u64).sum();
        let expected = format.records_sizes().then_some(bytes);
        assert_eq!((last.content_bytes_known, last.content_bytes_done), (expected, expected));
        for pair in seen.windows(2) {
            assert!(pair[0].files_done <= pair[1].files_done && pair[0].meta_known <= pair[1].meta_known);
        }
    }
}

#[test]
fn local_repositories_exchange_commits_in_every_pair_of_modes() {
    for format in FORMATS {
        for from in modes() {
            let source = Place::new(format, from);
            let mut tree = small_tree("1");
            tree.file("usr/lib/large", noise(200 << 10));
            let commit = source.commit(BRANCH, &tree);
            for to in modes() {
                for trust in [Trust::Trusted, Trust::Untrusted] {
                    let machine = Place::new(format, to);
                    let options = PullOptions { trust, ..Default::default() };
                    let outcome = pull_local(&machine.repo, &source.repo, &options, &|_| {}).unwrap();
                    assert_eq!(outcome.refs.len(), 1, "all refs are pulled if none is named");
                    let repo = machine.reopen();
                    assert_eq!(repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
                    let objects = verified_objects(&repo, commit);
                    assert_eq!(outcome.objects_fetched(), objects.len() as u64, "{from:?} to {to:?}");
                    assert!(!repo.is_partial(commit).unwrap());
                }
            }
        }
    }
}

#[test]
fn a_local_pull_ends_where_history_does_and_names_what_is_missing_elsewhere() {
    let source = Place::new(Format::Native, Mode::BareUser);
    let first = source.commit(BRANCH, &small_tree("1"));
    let second = source.commit(BRANCH, &small_tree("2"));
    source.repo.store().remove(first.name()).unwrap();
    let machine = Place::new(Format::Native, Mode::BareUser);
    pull_local(&machine.repo, &source.repo, &PullOptions { depth: None, ..want(BRANCH) }, &|_| {}).unwrap();
    verified_objects(&machine.repo, second);

    let third = source.commit(BRANCH, &small_tree("3"));
    let gone = source.repo.root(third).unwrap().meta.name();
    source.repo.store().remove(gone).unwrap();
    let machine = Place::new(Format::Native, Mode::BareUser);
    let error = pull_local(&machine.repo, &source.repo, &want(BRANCH), &|_| {}).unwrap_err();
    assert!(matches!(error, PullError::NotThere { object, .. } if object == gone), "{error}");
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), None);
}

#[test]
fn what_to_pull_is_read_as_ref_pinned_ref_or_commit() {
    let id = "a".repeat(64);
    let name = || RefName::new("os/x").unwrap();
    let commit = sapwood_objstore::Id::new(sapwood_objstore::ObjectId::from_hex(&id).unwrap());
    assert_eq!(Wanted::parse("os/x").unwrap(), Wanted::Ref(name()));
    assert_eq!(Wanted::parse(&format!("os/x@{id}")).unwrap(), Wanted::RefAt(name(), commit));
    assert_eq!(Wanted::parse(&id).unwrap(), Wanted::Commit(commit));
    for bad in ["", "../x", "os/x@", "os/x@abc", "@"] {
        assert!(Wanted::parse(bad).is_err(), "{bad}");
    }
}
