//! The space that is to stay free: only what is kept counts against it.

use crate::support::{FORMATS, TestResult, noise, object_path, put, regular, store_file, tempdir};
use sapwood_fsio as fsio;
use sapwood_objstore::{Error, Id, Mode, ObjectId, Reserve, Store, StoreOptions, Transaction, kind};
use std::io::{self, Read};

/// Larger than what is held in memory before it is written, and whole blocks on any disk.
const LARGE: usize = 2 << 20;

fn left(txn: &Transaction<'_>) -> u64 {
    match txn.check_space(u64::MAX) {
        Err(Error::NoSpace { available_bytes, .. }) => available_bytes,
        other => panic!("{other:?}"),
    }
}

fn each_store_with_a_reserve(mut test: impl FnMut(&Store) -> TestResult) -> TestResult {
    for format in FORMATS {
        for mode in [Mode::BareUser, Mode::Archive] {
            let dir = tempdir();
            let options = StoreOptions { reserve: Reserve::Bytes(1), ..StoreOptions::default() };
            let store = Store::create(&dir, format, mode, options)?;
            test(&store).map_err(|e| format!("{format:?} {mode:?}: {e}"))?;
        }
    }
    Ok(())
}

fn wrong_id() -> Id<kind::File> {
    Id::new(ObjectId::from_bytes([9; 32]))
}

#[test]
fn a_file_that_cannot_be_stored_takes_nothing() -> TestResult {
    each_store_with_a_reserve(|store| {
        let (header, content, size) = (regular(store), noise(LARGE, 1), LARGE as u64);
        let txn = store.begin()?;
        let before = left(&txn);
        txn.put_file_as(wrong_id(), &header, size, &mut &*content).expect_err("of another id");
        txn.put_file(&header, size + 1, &mut &*content).expect_err("too short");
        txn.put_file(&header, size - 1, &mut &*content).expect_err("too long");
        txn.put_file(&header, size, &mut (&*content).chain(Broken)).expect_err("broken off");
        assert_eq!(left(&txn), before);
        for _ in 0..2 {
            put(&txn, &header, &content);
            assert_eq!(left(&txn), before - size, "once, however often it comes");
        }
        Ok(())
    })
}

/// Fails when it is read.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken off"))
    }
}

#[test]
fn an_archived_file_that_is_damaged_takes_nothing() -> TestResult {
    each_store_with_a_reserve(|store| {
        let dir = tempdir();
        let source = Store::create(&dir, store.format(), Mode::Archive, StoreOptions::default())?;
        for len in [LARGE / 4, LARGE] {
            let id = store_file(&source, &regular(store), &noise(len, 2));
            let archived = fsio::read(source.dir(), object_path(&source, id), 2 * LARGE as u64)?;
            let mut damaged = archived.clone();
            damaged[archived.len() / 2] ^= 1;
            let txn = store.begin()?;
            let before = left(&txn);
            txn.put_archived(wrong_id(), &mut &*archived).expect_err("of another id");
            txn.put_archived(id, &mut &*damaged).expect_err("damaged");
            txn.put_archived(id, &mut &archived[..archived.len() / 2]).expect_err("cut off");
            assert_eq!(left(&txn), before);
            txn.put_archived(id, &mut &*archived)?;
            assert_eq!(left(&txn), before - len as u64);
        }
        Ok(())
    })
}

#[test]
fn what_is_set_aside_for_files_that_go_again_is_left_to_be_kept() -> TestResult {
    each_store_with_a_reserve(|store| {
        let txn = store.begin()?;
        let before = left(&txn);
        let mut room = txn.rooms().of(0);
        room.grow(before - LARGE as u64 / 2)?;
        assert_eq!(left(&txn), before);
        let (header, content) = (regular(store), noise(LARGE, 3));
        let refused = txn.put_file(&header, LARGE as u64, &mut &*content);
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
        drop(room);
        put(&txn, &header, &content);
        assert_eq!(left(&txn), before - LARGE as u64);
        Ok(())
    })
}
