//! What goes in comes out, in every mode and format.

use crate::support::{
    FORMATS, MODES, TestResult, content, each_store, header, left_in_tmp, noise, object_path, put, regular,
    store_file, tempdir,
};
use sapwood_fsio::{self as fsio, Kind};
use sapwood_objstore::{
    Commit, Delivered, DirMeta, DirTree, EntryName, Error, FileEntry, FileType, Format, Id, LinkPolicy,
    Metadata, Mode, ObjectName, Reserve, Store, StoreOptions, Trust, Value, Verdict, Xattrs,
};
use std::collections::BTreeSet;
use std::path::Path;

/// Sizes around the limit between files held in memory and files that are streamed.
const SIZES: [usize; 6] = [0, 1, 4096, (1 << 20) - 1, (1 << 20) + 1, 3 << 20];

#[test]
fn content_of_any_size_comes_back_as_it_was() -> TestResult {
    each_store(|store| {
        for (seed, size) in SIZES.into_iter().enumerate() {
            let bytes = noise(size, seed as u64);
            let id = store_file(&store, &regular(&store), &bytes);
            assert!(content(&store, id)? == bytes, "{size} bytes differ");
            assert_eq!(store.content_size(id)?, size as u64);
            assert_eq!(store.verify(id.name())?, Verdict::Good);
            assert_eq!(store.open_file(id)?.header, regular(&store));
        }
        assert_eq!(left_in_tmp(store.dir()), Vec::<String>::new());
        Ok(())
    })
}

#[test]
fn symlinks_come_back_as_they_were() -> TestResult {
    each_store(|store| {
        for target in ["a", "/absolute/and dangling", "ümlaut"] {
            let link = header(&store, 0o777, FileType::Symlink(target.to_owned()));
            let id = store_file(&store, &link, b"");
            assert_eq!(store.open_file(id)?.header, link);
            assert_eq!(store.verify(id.name())?, Verdict::Good);
        }
        Ok(())
    })
}

#[test]
fn ids_do_not_depend_on_the_mode() -> TestResult {
    for format in FORMATS {
        let mut ids = BTreeSet::new();
        for mode in MODES.into_iter().filter(|mode| *mode != Mode::BareUserOnly) {
            let dir = tempdir();
            let store = Store::create(&dir, format, mode, StoreOptions::default())?;
            ids.insert(store_file(&store, &regular(&store), b"some content"));
        }
        assert_eq!(ids.len(), 1, "{format:?}");
    }
    Ok(())
}

#[test]
fn the_ostree_format_names_files_as_its_document_does() -> TestResult {
    // The vectors of the format's description: a.txt, the empty file, the link to a.txt.
    let dir = tempdir();
    let store = Store::create(&dir, Format::Ostree, Mode::Archive, StoreOptions::default())?;
    let file = |mode, file_type| sapwood_objstore::FileHeader {
        uid: 0,
        gid: 0,
        mode,
        file_type,
        xattrs: Xattrs::default(),
    };
    let txn = store.begin()?;
    let a = put(&txn, &file(0o644, FileType::Regular), b"hello\n");
    assert_eq!(a.to_hex(), "44f778e59f0a4748d6b0c90a47347212a231c4ad1e8f7ea5c5dffc7749153a6b");
    let empty = put(&txn, &file(0o644, FileType::Regular), b"");
    assert_eq!(empty.to_hex(), "cc700d46f407c6c5ab2d5dde474366a928b7398277e61162e7f8ec06f469f07e");
    let link = put(&txn, &file(0o777, FileType::Symlink("a.txt".to_owned())), b"");
    assert_eq!(link.to_hex(), "f379a4b359f3e8deb971eef3e40a492fec37696c0169a600789f0bc62c43b535");
    txn.publish()?;
    let stored = fsio::read(&dir, object_path(&store, a), 1 << 10)?;
    let expected = [
        &[0, 0, 0, 0x1a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6][..],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0xa4, 0, 0, 0, 0, 0, 0x19],
        &[0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00],
    ]
    .concat();
    assert_eq!(stored, expected);
    Ok(())
}

#[test]
fn metadata_objects_come_back_as_they_were() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        let file = put(&txn, &regular(&store), b"x");
        let meta = DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() };
        let size = (store.format() == Format::Native).then_some(1);
        let entry = FileEntry { name: EntryName::new("x")?, id: file, size };
        let tree = DirTree::new(vec![entry], vec![]).map_err(|name| format!("{name} twice"))?;
        let (tree_id, meta_id) = (txn.put(&tree)?, txn.put(&meta)?);
        let mut metadata = Metadata::default();
        metadata.set("version", Value::Str("1.0".to_owned()));
        let commit = Commit {
            metadata: metadata.clone(),
            parent: None,
            subject: "subject".to_owned(),
            body: String::new(),
            timestamp: 1_700_000_000,
            tree: tree_id,
            meta: meta_id,
            totals: (store.format() == Format::Native).then_some(sapwood_objstore::Totals {
                files: 1,
                dirs: 1,
                bytes: 1,
            }),
        };
        let id = txn.put(&commit)?;
        txn.put_detached(id, &metadata)?;
        assert_eq!(txn.load(id)?, commit, "from the transaction");
        assert!(!store.contains(id.name())?, "visible before it was published");
        txn.publish()?;
        assert_eq!(store.load(id)?, commit);
        assert_eq!(store.load(tree_id)?, tree);
        assert_eq!(store.load(meta_id)?, meta);
        assert_eq!(store.detached(id)?, Some(metadata));
        store.set_detached(id, None)?;
        assert_eq!(store.detached(id)?, None);
        let mut seen = BTreeSet::new();
        store.for_each(&mut |name| {
            seen.insert(name);
            Ok(())
        })?;
        assert_eq!(seen, BTreeSet::from([file.name(), tree_id.name(), meta_id.name(), id.name()]));
        Ok(())
    })
}

#[test]
fn a_file_that_is_there_already_is_not_written_again() -> TestResult {
    each_store(|store| {
        let id = store_file(&store, &regular(&store), b"once");
        let before = fsio::stat(store.dir(), object_path(&store, id))?;
        let txn = store.begin()?;
        assert_eq!(put(&txn, &regular(&store), b"once"), id);
        let (stats, _guard) = txn.publish()?;
        assert_eq!((stats.files_total, stats.files_written), (1, 0));
        assert_eq!(fsio::stat(store.dir(), object_path(&store, id))?.ino, before.ino);
        Ok(())
    })
}

#[test]
fn many_threads_can_stage_the_same_file() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        let header = regular(&store);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| put(&txn, &header, &noise(100_000, 7)));
            }
        });
        txn.publish()?;
        let id = store_file(&store, &header, &noise(100_000, 7));
        assert_eq!(store.verify(id.name())?, Verdict::Good);
        Ok(())
    })
}

#[test]
fn bare_modes_deliver_hardlinks_and_all_others_copies() -> TestResult {
    each_store(|store| {
        let full = header(&store, 0o755, FileType::Regular);
        let id = store_file(&store, &full, b"#!/bin/sh\n");
        let out = tempdir();
        let delivered = match store.links_with_owners() {
            Some(true) => store.deliver(id, &out, Path::new("a"), LinkPolicy::Require)?,
            Some(false) => store.deliver_as_user(id, &out, Path::new("a"), LinkPolicy::Require)?,
            None => {
                let refused = store.deliver(id, &out, Path::new("a"), LinkPolicy::Require);
                assert!(matches!(refused, Err(Error::NoLink { .. })), "{refused:?}");
                store.deliver_as_user(id, &out, Path::new("a"), LinkPolicy::Prefer)?
            }
        };
        let is_link = fsio::stat(&out, "a")?.ino == fsio::stat(store.dir(), object_path(&store, id))?.ino;
        assert_eq!(is_link, delivered == Delivered::Linked);
        assert_eq!(is_link, store.mode() != Mode::Archive);
        assert_eq!(fsio::stat(&out, "a")?.mode, 0o755);
        assert_eq!(fsio::read(&out, "a", 100)?, b"#!/bin/sh\n");

        let copied = store.deliver_as_user(id, &out, Path::new("b"), LinkPolicy::Copy)?;
        assert_ne!(copied, Delivered::Linked);
        assert_eq!(fsio::read(&out, "b", 100)?, b"#!/bin/sh\n");
        let taken = store.deliver_as_user(id, &out, Path::new("b"), LinkPolicy::Prefer);
        assert!(matches!(taken, Err(Error::Io(e)) if e.is_exists()));
        Ok(())
    })
}

#[test]
fn links_and_empty_files_are_delivered_as_themselves() -> TestResult {
    each_store(|store| {
        let link = store_file(&store, &header(&store, 0o777, FileType::Symlink("to".to_owned())), b"");
        let empty = store_file(&store, &regular(&store), b"");
        let out = tempdir();
        store.deliver_as_user(link, &out, Path::new("link"), LinkPolicy::Prefer)?;
        assert_eq!(fsio::stat(&out, "link")?.kind, Kind::Symlink);
        assert_eq!(fsio::read_link(&out, "link")?, b"to");
        let how = store.deliver_as_user(empty, &out, Path::new("empty"), LinkPolicy::Require)?;
        assert_ne!(how, Delivered::Linked, "an empty file is never shared");
        assert_eq!(fsio::stat(&out, "empty")?.size, 0);
        Ok(())
    })
}

#[test]
fn an_object_can_be_taken_over_from_every_mode_into_every_mode() -> TestResult {
    for format in FORMATS {
        for (from_mode, to_mode) in MODES.iter().flat_map(|a| MODES.iter().map(move |b| (*a, *b))) {
            for trust in [Trust::Trusted, Trust::Untrusted] {
                let (a, b) = (tempdir(), tempdir());
                let from = Store::create(&a, format, from_mode, StoreOptions::default())?;
                let to = Store::create(&b, format, to_mode, StoreOptions::default())?;
                // What bare-user-only can hold, so that every pair has the same to take over.
                let canonical =
                    rustix::process::geteuid().is_root() || ![from_mode, to_mode].contains(&Mode::Bare);
                let mut file = regular(&from);
                if canonical {
                    (file.uid, file.gid) = (0, 0);
                } else if [from_mode, to_mode].contains(&Mode::BareUserOnly) {
                    continue;
                }
                let id = store_file(&from, &file, b"content");
                let txn = to.begin()?;
                txn.import(&from, id.name(), trust)?;
                txn.publish()?;
                assert_eq!(
                    to.verify(id.name())?,
                    Verdict::Good,
                    "{format:?} {from_mode:?} {to_mode:?} {trust:?}"
                );
                assert_eq!(content(&to, id)?, b"content");
            }
        }
    }
    Ok(())
}

#[test]
fn a_parent_is_read_but_never_written() -> TestResult {
    let (a, b) = (tempdir(), tempdir());
    let parent = Store::create(&a, Format::Native, Mode::Archive, StoreOptions::default())?;
    let id = store_file(&parent, &regular(&parent), b"in the parent");
    let store =
        Store::create(&b, Format::Native, Mode::BareUser, StoreOptions::default())?.with_parent(parent);
    assert!(store.contains(id.name())?);
    assert_eq!(content(&store, id)?, b"in the parent");
    store.deliver_as_user(id, &b, Path::new("out"), LinkPolicy::Prefer)?;
    assert_eq!(fsio::read(&b, "out", 100)?, b"in the parent");
    store.remove(id.name())?;
    assert!(store.contains(id.name())?, "removing reaches into the parent");
    Ok(())
}

#[test]
fn space_that_is_to_stay_free_is_not_written() -> TestResult {
    let dir = tempdir();
    let options = StoreOptions { reserve: Reserve::Bytes(u64::MAX / 2), ..Default::default() };
    let store = Store::create(&dir, Format::Native, Mode::BareUser, options)?;
    let txn = store.begin()?;
    let refused = txn.put_file(&regular(&store), 1, &mut &b"x"[..]);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    Ok(())
}

#[test]
fn content_that_is_not_of_the_announced_size_is_refused() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        for announced in [2_u64, 4, 2 << 20] {
            let refused = txn.put_file(&regular(&store), announced, &mut &b"abc"[..]);
            assert!(matches!(refused, Err(Error::Source(_))), "{announced}: {refused:?}");
        }
        let (stats, _guard) = txn.publish()?;
        assert_eq!(stats.files_written, 0);
        Ok(())
    })
}

#[test]
fn what_a_missing_object_is_called_is_said() -> TestResult {
    each_store(|store| {
        let id = Id::<Commit>::new(sapwood_objstore::ObjectId::from_bytes([0xab; 32]));
        let error = store.load(id).expect_err("nothing is there");
        assert_eq!(error.to_string(), format!("object {}.commit is missing", "ab".repeat(32)));
        let name = ObjectName { kind: sapwood_objstore::ObjectKind::File, id: id.raw() };
        assert_eq!(store.verify(name)?, Verdict::Missing);
        Ok(())
    })
}
