//! What cannot fit is not fetched.

use crate::world::*;
use sapwood_objstore::{DirMeta, DirTree, EntryName, FileEntry, Format, Mode, ObjectKind, Totals, Xattrs};
use sapwood_repo::{Expected, RefEdit, WalkEntry};
use sapwood_transport::PullError;

/// A commit whose one file is said to be larger than any disk.
fn enormous(source: &Place) {
    let honest = source.commit("honest", &small_tree("1"));
    let file = source
        .repo
        .walk(source.repo.root(honest).unwrap())
        .find_map(|entry| match entry.unwrap() {
            WalkEntry::File { entry, .. } => Some(entry.id),
            WalkEntry::Dir { .. } => None,
        })
        .unwrap();
    let mut txn = source.repo.begin().unwrap();
    let objects = txn.objects();
    let meta = objects.put(&DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() }).unwrap();
    let entry = FileEntry { name: EntryName::new("f").unwrap(), id: file, size: Some(1 << 62) };
    let tree = objects.put(&DirTree::new(vec![entry], Vec::new()).unwrap()).unwrap();
    let totals = Totals { files: 1, dirs: 1, bytes: 1 << 62 };
    let target = objects.put(&bare_commit(tree, meta, Some(totals))).unwrap();
    txn.edit_ref(RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target });
    txn.commit().unwrap();
}

#[test]
fn files_that_cannot_fit_are_not_asked_for_and_what_fits_still_comes() {
    let source = Place::new(Format::Native, Mode::Archive);
    enormous(&source);
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let error = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap_err();
    let PullError::Repo(sapwood_repo::Error::Store(sapwood_objstore::Error::NoSpace {
        needed_bytes, ..
    })) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(needed_bytes, 1 << 62);
    assert!(server.delivered().iter().all(|path| !path.contains(".filez")));
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), None);
    assert!(stored(&machine.repo).iter().all(|name| name.kind != ObjectKind::File));
    pull_quietly(&machine.reopen(), http(&server.url), &want("honest")).unwrap();
}
