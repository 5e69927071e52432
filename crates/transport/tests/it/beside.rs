//! Pulls beside each other: what another brings while one waits for its remote is not taken back.

use crate::liar::{Answer, Liar};
use crate::world::*;
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{Error, Expected, RefEdit, Repo};
use sapwood_transport::{PullError, PullOptions};

#[test]
fn what_was_heard_of_a_ref_long_ago_does_not_replace_what_came_meanwhile() {
    let source = Place::new(Format::Native, Mode::Archive);
    let [first, second, third] = ["1", "2", "3"].map(|version| source.commit(BRANCH, &small_tree(version)));
    source.repo.update_summary().unwrap();
    let honest = served(source.path());
    let all = PullOptions::default();
    for (path, options) in [("/summary", &all), ("/summary", &want(BRANCH)), ("/refs/heads/", &want(BRANCH))]
    {
        let machine = Place::new(Format::Native, Mode::Archive);
        for commit in [third, first] {
            let pinned = want(&format!("{BRANCH}@{commit}"));
            pull_quietly(&machine.repo, http(&honest.url), &pinned).unwrap();
        }
        // It says where the ref is, and before that arrives, another pull brings what is newer.
        let here = machine.path().to_owned();
        let move_to = move |target| {
            let edit = RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target };
            Repo::open(&open_dir(&here)).unwrap().edit_refs(vec![edit]).unwrap();
        };
        source
            .repo
            .edit_refs(vec![RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target: second }])
            .unwrap();
        source.repo.update_summary().unwrap();
        let has_summary = path == "/summary";
        let liar = Liar::new(source.path(), move |asked| {
            if asked.path.starts_with(path) {
                move_to(third);
            }
            if asked.path == "/summary" && !has_summary { Answer::Status(404, "") } else { Answer::Honest }
        });
        let outcome = pull_quietly(&machine.repo, http(&liar.url), options);
        assert!(matches!(outcome, Err(PullError::Repo(Error::RefMoved { .. }))), "{path}: {outcome:?}");
        assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(third), "{path}");
    }
}

fn summary(place: &Place) -> Vec<u8> {
    sapwood_fsio::read(place.repo.dir(), "summary", 1 << 20).unwrap()
}

#[test]
fn a_mirror_keeps_the_summary_that_another_brought_meanwhile() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    source.repo.update_summary().unwrap();
    for was_there in [true, false] {
        let machine = Place::new(Format::Native, Mode::Archive);
        let here = machine.path().to_owned();
        if was_there {
            machine.repo.update_summary().unwrap();
        }
        let liar = Liar::new(source.path(), move |asked| {
            if asked.path.starts_with("/objects/") {
                sapwood_fsio::replace(&open_dir(&here), "summary", 0o644, b"a newer one").unwrap();
            }
            Answer::Honest
        });
        let options = PullOptions { copy_summary: true, ..Default::default() };
        let outcome = pull_quietly(&machine.repo, http(&liar.url), &options);
        assert!(matches!(outcome, Err(PullError::Repo(Error::SummaryMoved))), "{outcome:?}");
        assert_eq!(summary(&machine), b"a newer one");
        assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(commit), "all else is done");
        // The next one looks at both anew.
        pull_quietly(&machine.repo, http(&liar.url), &options).unwrap();
        assert_eq!(summary(&machine), summary(&source));
    }
}

#[test]
fn a_mirror_that_renews_its_own_summary_keeps_the_copied_one() {
    let source = Place::new(Format::Native, Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    source.repo.update_summary().unwrap();
    let server = served(source.path());
    let mut machine = Place::new(Format::Native, Mode::Archive);
    machine.repo.edit_config(|keyfile| assert!(keyfile.set("core", "auto-update-summary", "true"))).unwrap();
    let options = PullOptions { copy_summary: true, ..Default::default() };
    pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
    assert_eq!(summary(&machine), summary(&source));
}
