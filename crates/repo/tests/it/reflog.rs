//! The log of refs: what is written of each move, what is read of what is there, and where a ref was.

use crate::commit_fixture::{Lab, branch, on};
use crate::maintain::{commit, history};
use proptest::prelude::*;
use sapwood_fsio::fault::{self, Failure};
use sapwood_objstore::{Commit, Format, Id, Mode, ObjectId};
use sapwood_repo::{CollectionId, Error, Expected, RefEdit, RefMove, RefName, Refspec, RemoteName, Repo};
use std::io::Write as _;
use std::path::PathBuf;

fn log(lab: &Lab) -> PathBuf {
    lab.path("repo/extensions/sapwood/reflog")
}

fn id(n: u8) -> Id<Commit> {
    Id::new(ObjectId::from_bytes([n; 32]))
}

fn set(name: &Refspec, target: Id<Commit>) -> RefEdit {
    RefEdit::Set { name: name.clone(), expected: Expected::Any, target }
}

fn delete(name: &Refspec) -> RefEdit {
    RefEdit::Delete { name: name.clone(), expected: Expected::Any }
}

/// Where a ref was, and where it is since.
type Move = (Option<Id<Commit>>, Option<Id<Commit>>);

/// The moves of a ref, newest first.
fn moves(repo: &Repo, name: &Refspec) -> Vec<Move> {
    let all = repo.ref_moves().unwrap().into_iter();
    all.filter(|moved| moved.name == *name).map(|moved| (moved.old, moved.new)).collect()
}

#[test]
fn every_move_has_a_line_and_a_ref_is_found_where_it_was() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let ids = history(&lab, &repo);
    let main = branch("main");
    repo.edit_refs(vec![set(&main, ids[0])]).unwrap();
    repo.edit_refs(vec![set(&main, ids[0])]).unwrap();
    repo.edit_refs(vec![delete(&main), delete(&branch("other"))]).unwrap();
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| Some(ids[n]));
    let expected = [(a, None), (d, a), (c, d), (b, c), (a, b), (None, a)];
    assert_eq!(moves(&repo, &main), expected, "a move to where it is already is none");
    assert_eq!(moves(&repo, &branch("other")), [(Some(ids[4]), None), (None, Some(ids[4]))]);

    repo.edit_refs(vec![set(&main, ids[2])]).unwrap();
    for (revision, commit) in [
        ("main@{0}", ids[2]),
        ("main@{2}", ids[0]),
        ("main@{3}", ids[3]),
        ("main@{3}^^", ids[1]),
        ("other@{1}", ids[4]),
    ] {
        assert_eq!(repo.resolve(revision).unwrap(), commit, "{revision}");
    }
    for revision in [
        "main@{1}",
        "main@{7}",
        "main@{8}",
        "main@{-1}",
        "main@{}",
        "main@{99999999999999999999}",
        "no@{1}",
        "@{1}",
    ] {
        assert!(matches!(repo.resolve(revision), Err(Error::UnknownRevision { .. })), "{revision}");
    }
}

#[test]
fn refs_of_remotes_of_collections_and_aliases_are_told_apart() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let ids = history(&lab, &repo);
    let name = RefName::new("main").unwrap();
    let remote = Refspec::of_remote(RemoteName::new("r").unwrap(), name.clone());
    let mirror = Refspec::mirrored(CollectionId::new("org.example.Os").unwrap(), name.clone());
    repo.edit_refs(vec![set(&remote, ids[1]), set(&mirror, ids[2])]).unwrap();
    repo.edit_refs(vec![RefEdit::Alias { name: RefName::new("alias").unwrap(), of: name }]).unwrap();
    assert_eq!(moves(&repo, &remote), [(None, Some(ids[1]))]);
    assert_eq!(moves(&repo, &mirror), [(None, Some(ids[2]))]);
    assert_eq!(moves(&repo, &branch("alias")), [(None, Some(ids[3]))]);
    repo.edit_refs(vec![set(&remote, ids[0])]).unwrap();
    assert_eq!(repo.resolve("r:main@{1}").unwrap(), ids[1]);
}

#[test]
fn torn_and_foreign_lines_are_passed_over_and_the_next_move_begins_a_line() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let ids = history(&lab, &repo);
    let before = moves(&repo, &branch("main"));
    let mut file = std::fs::OpenOptions::new().append(true).open(log(&lab)).unwrap();
    file.write_all(b"\n\xff\xfe\nhello\n12 - - x heads/main\n1700000000 - 00").unwrap();
    repo.edit_refs(vec![set(&branch("main"), ids[0])]).unwrap();
    let mut expected = vec![(Some(ids[3]), Some(ids[0]))];
    expected.extend(before);
    assert_eq!(moves(&repo, &branch("main")), expected);
}

#[test]
fn the_log_stays_bounded_and_keeps_the_newest() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let ids = history(&lab, &repo);
    let line = RefMove { name: branch("old"), old: None, new: Some(id(1)), at: 1, command: "x".into() };
    std::fs::write(log(&lab), format!("{line}\n").repeat((1 << 20) / (line.to_string().len() + 1))).unwrap();
    for target in [ids[0], ids[1], ids[2]] {
        repo.edit_refs(vec![set(&branch("main"), target)]).unwrap();
    }
    let size = std::fs::metadata(log(&lab)).unwrap().len();
    assert!(size > 500_000 && size < 530_000, "{size}");
    let all = repo.ref_moves().unwrap();
    assert_eq!(all.len() as u64, std::fs::read_to_string(log(&lab)).unwrap().lines().count() as u64);
    assert_eq!(all[..3].iter().map(|moved| moved.new).collect::<Vec<_>>(), [2, 1, 0].map(|n| Some(ids[n])));
}

#[test]
fn a_log_that_cannot_be_written_keeps_no_ref_from_moving() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let first = commit(&repo, &lab, "first", &on("main"));
    std::fs::remove_file(log(&lab)).unwrap();
    std::fs::create_dir(log(&lab)).unwrap();
    let second = commit(&repo, &lab, "second", &on("main"));
    assert_eq!(repo.resolve("main").unwrap(), second);
    assert!(repo.ref_moves().is_err());
    std::fs::remove_dir(log(&lab)).unwrap();
    // Of all writes of a move, exactly those of the log fail unnoticed: creating it, its mode and adding to it; where it is there,
    // adding to it alone.
    for (is_there, expected) in [(false, 3), (true, 1)] {
        let mut unnoticed = 0;
        for step in 1.. {
            if !is_there {
                drop(std::fs::remove_file(log(&lab)));
            }
            let target = if repo.resolve("main").unwrap() == first { second } else { first };
            let edits = vec![set(&branch("main"), target)];
            let run = fault::fail_at(step, Failure::NoSpace, || repo.edit_refs(edits));
            if !run.fired {
                break;
            }
            if run.value.is_ok() {
                unnoticed += 1;
                assert_eq!(repo.resolve("main").unwrap(), target);
            }
        }
        assert_eq!(unnoticed, expected);
    }
}

#[test]
fn two_writers_leave_whole_lines() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let ids = history(&lab, &repo);
    std::fs::remove_file(log(&lab)).unwrap();
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let (lab, ids) = (&lab, &ids);
            scope.spawn(move || {
                let repo = Repo::open(&lab.dir("repo")).unwrap();
                for n in 0..20 {
                    repo.edit_refs(vec![set(&branch(name), ids[n % 2])]).unwrap();
                }
            });
        }
    });
    assert_eq!(repo.ref_moves().unwrap().len(), 40);
    for name in ["one", "two"] {
        let found = moves(&repo, &branch(name));
        assert_eq!(found.len(), 20);
        assert!(
            found.windows(2).all(|pair| pair[0].0 == pair[1].1),
            "each begins where the one before ended"
        );
    }
}

fn names() -> impl Strategy<Value = Refspec> {
    let name = "[a-z0-9_][a-z0-9_.-]{0,8}(/[a-z0-9_][a-z0-9_.-]{0,8}){0,2}";
    let name = name.prop_filter_map("a name", |text| RefName::new(&text).ok()).boxed();
    let remote = "[a-z][a-z0-9-]{0,8}".prop_filter_map("a remote", |text| RemoteName::new(&text).ok());
    prop_oneof![
        name.clone().prop_map(Refspec::local),
        (remote, name.clone()).prop_map(|(remote, name)| Refspec::of_remote(remote, name)),
        name.prop_map(|name| Refspec::mirrored(CollectionId::new("org.example.Os").unwrap(), name)),
    ]
}

proptest! {
    #[test]
    fn a_line_that_is_written_is_read_as_it_was(
        name in names(),
        old in prop::option::of(any::<u8>().prop_map(id)),
        new in any::<u8>().prop_map(id),
        is_deleted: bool,
        at: u64,
        command in "[a-z]{1,10}(-[a-z]{1,10})?",
    ) {
        let new = (!is_deleted || old.is_none()).then_some(new);
        let moved = RefMove { name, old, new, at, command };
        let line = moved.to_string();
        prop_assert_eq!(RefMove::parse(&line), Some(moved));
        // A name that is cut off may be another name; whatever else is torn is nothing.
        let name_at = line.rfind(' ').unwrap_or(0);
        for end in 0..=name_at {
            prop_assert_eq!(RefMove::parse(&line[..end]), None);
        }
    }

    #[test]
    fn whatever_is_in_the_log_a_line_is_read_as_one_move_or_none(line in ".*", command in ".*") {
        if let Some(moved) = RefMove::parse(&line) {
            prop_assert_eq!(RefMove::parse(&moved.to_string()), Some(moved));
        }
        let moved = RefMove { name: branch("b"), old: None, new: Some(id(3)), at: 5, command };
        prop_assert!(RefMove::parse(&moved.to_string()).is_some());
    }
}
