//! Commits that are here only in part: nothing is built on them, and whose they are is known.

use crate::commit_fixture::{FORMATS, Lab, on};
use crate::maintain::{commit, prune};
use sapwood_objstore::Mode;
use sapwood_repo::{CommitOptions, Error, ImportOptions, Modifiers, PruneOptions, Repo};

#[test]
fn no_commit_is_made_of_a_tree_that_lacks_something() {
    for format in FORMATS {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", format, Mode::Archive);
        let id = commit(&repo, &lab, "some", &on("main"));
        repo.mark_partial(id).unwrap();
        let txn = repo.begin().unwrap();
        let modifiers = Modifiers { owner_uid: Some(7), ..Modifiers::default() };
        let owned = ImportOptions { modifiers, ..ImportOptions::default() };
        for options in [ImportOptions::default(), owned] {
            let mut builder = repo.build_tree(&txn, &options).unwrap();
            let refused = builder.add_commit(id);
            assert!(matches!(refused, Err(Error::Incomplete { id: named }) if named == id), "{refused:?}");
            assert!(builder.add_base(id).is_err());
            repo.clear_partial(id).unwrap();
            builder.add_commit(id).unwrap();
            repo.mark_partial(id).unwrap();
        }
    }
}

#[test]
fn what_a_parent_has_in_part_is_incomplete_for_its_children() {
    for format in FORMATS {
        let lab = Lab::in_memory();
        let parent = lab.repo("parent", format, Mode::Archive);
        let id = commit(&parent, &lab, "some", &on("main"));
        let below = parent.store().load(parent.root(id).unwrap().tree).unwrap().dirs()[0].tree;
        let mut child = lab.repo("child", format, Mode::Archive);
        let path = lab.path("parent").display().to_string();
        child.edit_config(|file| _ = file.set("core", "parent", &path)).unwrap();
        assert!(!child.is_partial(id).unwrap());
        parent.mark_partial(id).unwrap();
        parent.store().remove(below.name()).unwrap();
        assert!(child.is_partial(id).unwrap());
        // A ref of the child's leads there: what is not here does not keep the child from being pruned.
        let set = sapwood_repo::RefEdit::Set {
            name: crate::commit_fixture::branch("of-parent"),
            expected: sapwood_repo::Expected::Absent,
            target: id,
        };
        child.edit_refs(vec![set]).unwrap();
        let orphan = CommitOptions { branch: None, ..on("main") };
        commit(&child, &lab, "own", &orphan);
        let child = Repo::open(&lab.dir("child")).unwrap();
        let pruned = prune(&child, &PruneOptions { refs_only: true, ..PruneOptions::default() });
        assert_eq!(pruned.deleted_commits, 1);
    }
}
