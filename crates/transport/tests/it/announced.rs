//! What directories and commits announce is held against what came.

use crate::world::*;
use sapwood_objstore::{DirTree, EntryName, FileEntry, Format, Id, Mode, Totals, kind};
use sapwood_repo::{Error, Expected, Problem, RefEdit};
use sapwood_testkit::Tree;
use sapwood_transport::{PullError, PullOptions, Subpath, pull_local};

/// A commit of one file of 6 bytes under each of these sizes.
fn announcing(source: &Place, sizes: &[u64], totals: Totals) -> (Id<DirTree>, Id<kind::File>) {
    let mut tree = Tree::default();
    tree.file("f", "hello\n");
    let honest = source.commit("honest", &tree);
    let root = source.repo.root(honest).unwrap();
    let file = source.repo.store().load(root.tree).unwrap().files()[0].id;
    let mut txn = source.repo.begin().unwrap();
    let entry = |(at, size): (usize, &u64)| {
        let name = EntryName::new(&format!("f{at}")).unwrap();
        FileEntry { name, id: file, size: Some(*size) }
    };
    let entries = sizes.iter().enumerate().map(entry).collect();
    let tree = txn.objects().put(&DirTree::new(entries, Vec::new()).unwrap()).unwrap();
    let target = txn.objects().put(&bare_commit(tree, root.meta, Some(totals))).unwrap();
    txn.edit_ref(RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target });
    txn.commit().unwrap();
    (tree, file)
}

#[test]
fn a_commit_that_announces_what_is_not_so_is_refused_and_others_are_not() {
    let cases: [(&[u64], u64, u64); 4] = [(&[7], 7, 1), (&[6, 5], 11, 2), (&[6, 6], 13, 2), (&[6, 6], 12, 2)];
    for (sizes, bytes, files) in cases {
        let source = Place::new(Format::Native, Mode::Archive);
        let totals = Totals { files, dirs: 1, bytes };
        let (tree, file) = announcing(&source, sizes, totals);
        let server = served(source.path());
        for mode in [Mode::BareUser, Mode::BareUserOnly, Mode::Archive] {
            let machines = [Place::new(Format::Native, mode), Place::new(Format::Native, mode)];
            let outcomes = [
                pull_quietly(&machines[0].repo, http(&server.url), &want(BRANCH)),
                pull_local(&machines[1].repo, &source.repo, &want(BRANCH), &|_| {}),
            ];
            for (machine, outcome) in machines.iter().zip(outcomes) {
                if sizes == [6, 6] && bytes == 12 {
                    outcome.unwrap();
                    continue;
                }
                let Err(PullError::Repo(Error::Announcement { object, problem, .. })) = outcome else {
                    panic!("{outcome:?}");
                };
                match *problem {
                    Problem::WrongSize { file: found, announced, actual } => {
                        assert_eq!((object, found, actual), (tree.name(), file.raw(), 6));
                        assert!(announced != 6 && sizes.contains(&announced));
                    }
                    Problem::WrongTotals { announced, actual } => {
                        assert_eq!((announced, actual), (totals, Totals { bytes: 12, ..totals }));
                    }
                    other => panic!("{other:?}"),
                }
                assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), None);
                assert!(stored(&machine.repo).is_empty());
            }
        }
    }
}

#[test]
fn what_came_in_parts_is_held_against_what_was_announced_as_well() {
    let source = Place::new(Format::Native, Mode::Archive);
    let (tree, _) = announcing(&source, &[6, 7], Totals { files: 2, dirs: 1, bytes: 13 });
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let nothing = Subpath::parse("/nothing-of-it").unwrap();
    let part = PullOptions { subpaths: vec![nothing], ..want(BRANCH) };
    pull_quietly(&machine.repo, http(&server.url), &part).unwrap();
    assert!(machine.repo.store().contains(tree.name()).unwrap());
    let outcome = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH));
    assert!(matches!(outcome, Err(PullError::Repo(Error::Announcement { .. }))), "{outcome:?}");
}

#[test]
fn malformed_metadata_beside_a_commit_is_left_out_however_it_is_pulled() {
    for format in FORMATS {
        let source = Place::new(format, Mode::Archive);
        let commit = source.commit(BRANCH, &small_tree("1"));
        let hex = commit.to_hex();
        let beside = format!("objects/{}/{}.commitmeta", &hex[..2], &hex[2..]);
        sapwood_fsio::replace(source.repo.dir(), &beside, 0o644, b"\xff").unwrap();
        let error = source.repo.store().detached(commit).unwrap_err();
        assert!(
            matches!(error, sapwood_objstore::Error::Detached { commit: found, .. } if found == commit.raw())
        );
        let server = served(source.path());
        let machines = [Place::new(format, Mode::BareUser), Place::new(format, Mode::BareUser)];
        pull_quietly(&machines[0].repo, http(&server.url), &want(BRANCH)).unwrap();
        pull_local(&machines[1].repo, &source.repo, &want(BRANCH), &|_| {}).unwrap();
        for machine in &machines {
            assert_eq!(machine.repo.store().detached(commit).unwrap(), None);
        }
    }
}
