//! What the configuration asks of a store, and the mode that is only read.

use crate::support::{TestResult, header, object_path, put, regular, store_file, tempdir};
use sapwood_fsio as fsio;
use sapwood_objstore::{
    Commit, DirMeta, DirTree, Error, FileHeader, FileType, Format, Id, Metadata, Mode, ObjectKind, Reserve,
    Store, StoreOptions, Verdict, Xattrs,
};

fn commit(store: &Store) -> Result<Id<Commit>, Error> {
    let txn = store.begin()?;
    let tree = txn.put(&DirTree::default())?;
    let meta = txn.put(&DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() })?;
    let id = txn.put(&Commit {
        metadata: Metadata::default(),
        parent: None,
        subject: String::new(),
        body: String::new(),
        timestamp: 1,
        tree,
        meta,
        totals: store.format().records_sizes().then(Default::default),
    })?;
    txn.publish()?;
    Ok(id)
}

#[test]
fn a_commit_that_is_written_again_is_no_longer_called_deleted() -> TestResult {
    let dir = tempdir();
    let store = Store::create(&dir, Format::Ostree, Mode::Archive, StoreOptions::default())?;
    let id = commit(&store)?;
    store.put_tombstones(&[id])?;
    store.remove(id.name())?;
    let hex = id.to_hex();
    let tombstone = format!("objects/{}/{}.tombstone-commit", &hex[..2], &hex[2..]);
    assert!(dir.exists(&tombstone));
    assert_eq!(commit(&store)?, id);
    assert!(!dir.exists(&tombstone));
    Ok(())
}

#[test]
fn each_file_is_synced_by_itself_where_that_is_asked_for() -> TestResult {
    for per_object_fsync in [false, true] {
        let dir = tempdir();
        let options = StoreOptions { per_object_fsync, ..StoreOptions::default() };
        let store = Store::create(&dir, Format::Native, Mode::BareUserOnly, options)?;
        let txn = store.begin()?;
        let ((), calls) = fsio::fault::record(|| {
            for content in [&b"one"[..], b"two"] {
                put(&txn, &regular(&store), content);
            }
        });
        let syncs = calls.iter().filter(|call| call.op == fsio::fault::Op::Fsync).count();
        assert_eq!(syncs, if per_object_fsync { 2 } else { 0 });
    }
    Ok(())
}

#[test]
fn attributes_are_refused_where_the_configuration_disables_them() -> TestResult {
    let dir = tempdir();
    let options = StoreOptions { xattrs: false, ..StoreOptions::default() };
    let store = Store::create(&dir, Format::Ostree, Mode::Bare, options)?;
    let xattrs = Xattrs::new(vec![(b"user.a".to_vec(), b"1".to_vec())])?;
    let header = FileHeader { xattrs, ..regular(&store) };
    let txn = store.begin()?;
    assert!(matches!(txn.put_file(&header, 1, &mut &b"x"[..]), Err(Error::Unsupported { .. })));
    Ok(())
}

#[test]
fn metadata_counts_against_the_reserve_too() -> TestResult {
    let dir = tempdir();
    let options = StoreOptions { reserve: Reserve::Bytes(u64::MAX / 2), ..StoreOptions::default() };
    let store = Store::create(&dir, Format::Native, Mode::Archive, options)?;
    assert!(matches!(commit(&store), Err(Error::NoSpace { reserve: Reserve::Bytes(_), .. })));
    Ok(())
}

/// Turned by hand from a bare repository into what OSTree's test data of that mode has.
#[test]
fn repositories_that_keep_attributes_apart_are_read_and_not_written() -> TestResult {
    let dir = tempdir();
    let bare = Store::create(&dir, Format::Ostree, Mode::Bare, StoreOptions::default())?;
    let with = FileHeader {
        xattrs: Xattrs::new(vec![(b"user.mykey".to_vec(), b"myvalue".to_vec())])?,
        ..regular(&bare)
    };
    let file = store_file(&bare, &with, b"content");
    let link = store_file(&bare, &header(&bare, 0o777, FileType::Symlink("target".into())), b"");
    for (id, attributes) in [(file, &b"user.mykey\0myvalue\x0b\x13"[..]), (link, b"")] {
        dir.write(format!("{}-xattrs-link", object_path(&bare, id)), attributes)?;
    }
    fsio::xattr::remove_of(&dir, object_path(&bare, file), b"user.mykey")?;

    let store = Store::open(&dir, Format::Ostree, Mode::BareSplitXattrs, StoreOptions::default())?;
    assert_eq!(store.open_file(file)?.header, with);
    for id in [file, link] {
        assert_eq!(store.verify(id.name())?, Verdict::Good);
    }
    assert!(matches!(store.begin(), Err(Error::Unsupported { .. })));
    let archive = tempdir();
    let archive = Store::create(&archive, Format::Ostree, Mode::Archive, StoreOptions::default())?;
    let txn = archive.begin()?;
    for id in [file, link] {
        txn.import(&store, id.name(), sapwood_objstore::Trust::Trusted)?;
    }
    assert_eq!(txn.publish()?.0.files_written, 2);

    dir.remove_file(format!("{}-xattrs-link", object_path(&bare, link)))?;
    assert!(matches!(store.verify(link.name())?, Verdict::Malformed(_)));
    let listed = store.shard_objects(file.raw().as_bytes()[0])?;
    assert!(listed.iter().all(|name| name.kind == ObjectKind::File));
    Ok(())
}
