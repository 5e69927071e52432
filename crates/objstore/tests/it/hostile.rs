//! Bytes from an enemy: what is wrong is found, named, and does not get in.

use crate::support::{
    TestResult, content, each_store, header, noise, object_path, regular, store_file, tempdir,
};
use sapwood_fsio as fsio;
use sapwood_objstore::{
    Error, FileType, Format, Id, Mode, ObjectId, ObjectKind, ObjectName, Store, StoreOptions, Verdict, kind,
};
use std::io::Read;

#[test]
fn a_changed_byte_is_found() -> TestResult {
    each_store(|store| {
        let bytes = noise(10_000, 3);
        let id = store_file(&store, &regular(&store), &bytes);
        let path = object_path(&store, id);
        let mut stored = fsio::read(store.dir(), &path, 1 << 20)?;
        let middle = stored.len() / 2;
        stored[middle] ^= 1;
        overwrite(&store, &path, &stored)?;
        let verdict = store.verify(id.name())?;
        assert!(matches!(verdict, Verdict::Corrupt(_) | Verdict::Malformed(_)), "{verdict:?}");
        let read = store.open_file(id)?.content.read_to_end(&mut Vec::new());
        assert!(read.is_err(), "a corrupt object was read to its end");
        Ok(())
    })
}

/// Changes the content of an object in place, keeping its attributes.
fn overwrite(store: &Store, path: &str, bytes: &[u8]) -> TestResult {
    use std::io::Write;
    let mut options = cap_std::fs::OpenOptions::new();
    options.write(true).truncate(true);
    store.dir().open_with(path, &options)?.write_all(bytes)?;
    Ok(())
}

#[test]
fn a_truncated_object_is_found() -> TestResult {
    each_store(|store| {
        let id = store_file(&store, &regular(&store), &noise(10_000, 4));
        let path = object_path(&store, id);
        let stored = fsio::read(store.dir(), &path, 1 << 20)?;
        for len in [0, 1, stored.len() / 2, stored.len() - 1] {
            overwrite(&store, &path, &stored[..len])?;
            let verdict = store.verify(id.name())?;
            assert!(matches!(verdict, Verdict::Corrupt(_) | Verdict::Malformed(_)), "{len}: {verdict:?}");
        }
        Ok(())
    })
}

#[test]
fn a_symlink_in_place_of_an_object_is_not_followed() -> TestResult {
    each_store(|store| {
        let name = ObjectName { kind: ObjectKind::DirTree, id: ObjectId::from_bytes([7; 32]) };
        let shard = fsio::ensure_dir(store.dir(), "objects/07", 0o755)?;
        fsio::symlink("/etc/passwd", &shard, format!("{}.dirtree", "07".repeat(31)))?;
        assert_eq!(store.verify(name)?, Verdict::Unreadable);
        assert!(store.load_bytes(name).is_err());
        Ok(())
    })
}

#[test]
fn a_symlink_in_place_of_a_shard_is_not_followed() -> TestResult {
    each_store(|store| {
        let objects = fsio::open_dir(store.dir(), "objects")?;
        fsio::create_dir(store.dir(), "target", 0o755)?;
        for shard in 0..=255_u8 {
            fsio::symlink("../target", &objects, format!("{shard:02x}"))?;
        }
        let txn = store.begin()?;
        assert!(txn.put_file(&regular(&store), 1, &mut &b"x"[..]).is_err(), "objects went through a link");
        assert!(fsio::entries(&fsio::open_dir(store.dir(), "target")?)?.is_empty());
        Ok(())
    })
}

#[test]
fn metadata_that_hashes_to_something_else_does_not_get_in() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        for kind in [ObjectKind::Commit, ObjectKind::DirTree, ObjectKind::DirMeta] {
            let name = ObjectName { kind, id: ObjectId::from_bytes([1; 32]) };
            let refused = txn.put_bytes(name, b"anything");
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
        }
        let (stats, _guard) = txn.publish()?;
        assert_eq!(stats.meta_written, 0);
        Ok(())
    })
}

#[test]
fn metadata_that_hashes_right_but_is_malformed_does_not_get_in() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        for kind in [ObjectKind::Commit, ObjectKind::DirTree, ObjectKind::DirMeta] {
            for bytes in [&b"\xff\xff\xff\xff"[..], &[0x41; 100], b"../../etc/passwd"] {
                let name = ObjectName { kind, id: store.format().id_of(kind, bytes) };
                let refused = txn.put_bytes(name, bytes);
                assert!(matches!(refused, Err(Error::Malformed { .. })), "{kind:?} {bytes:?}: {refused:?}");
                assert!(!txn.contains(name)?);
            }
        }
        Ok(())
    })
}

#[test]
fn an_archived_file_with_another_digest_does_not_get_in() -> TestResult {
    for format in [Format::Native, Format::Ostree] {
        let source = tempdir();
        let archive = Store::create(&source, format, Mode::Archive, StoreOptions::default())?;
        for size in [10, 3 << 20] {
            let id = store_file(&archive, &regular(&archive), &noise(size, 9));
            let stored = fsio::read(&source, object_path(&archive, id), 1 << 23)?;
            for mode in [Mode::BareUser, Mode::Archive] {
                let dir = tempdir();
                let store = Store::create(&dir, format, mode, StoreOptions::default())?;
                let txn = store.begin()?;
                let other = Id::<kind::File>::new(ObjectId::from_bytes([5; 32]));
                let refused = txn.put_archived(other, &mut &*stored);
                assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
                assert!(!txn.contains(other.name())?);
                for len in [0, 7, 20, stored.len() / 2, stored.len() - 1] {
                    assert!(txn.put_archived(id, &mut &stored[..len]).is_err(), "cut at {len}");
                }
                assert!(!txn.contains(id.name())?);
                txn.put_archived(id, &mut &*stored)?;
                txn.publish()?;
                assert_eq!(store.verify(id.name())?, Verdict::Good);
            }
        }
    }
    Ok(())
}

#[test]
fn no_more_is_decompressed_than_the_header_promises() -> TestResult {
    for format in [Format::Native, Format::Ostree] {
        let dir = tempdir();
        let store = Store::create(&dir, format, Mode::Archive, StoreOptions::default())?;
        // 64 MiB of zeros behind a header that promises one byte.
        let header = regular(&store);
        let mut bomb = format.encode_archive_header(&header, 1);
        let mut compressor = format.compressor(Box::new(&mut bomb), None)?;
        for _ in 0..64 {
            std::io::Write::write_all(&mut compressor, &vec![0; 1 << 20])?;
        }
        compressor.finish()?;
        for mode in [Mode::Archive, Mode::BareUser] {
            let target = tempdir();
            let store = Store::create(&target, format, mode, StoreOptions::default())?;
            let txn = store.begin()?;
            let mut source = Counting { inner: &bomb, read: 0 };
            let id = Id::<kind::File>::new(ObjectId::from_bytes([5; 32]));
            assert!(txn.put_archived(id, &mut source).is_err());
            assert!(source.read <= 256 << 10, "{} bytes were taken", source.read);
        }
    }
    Ok(())
}

struct Counting<'a> {
    inner: &'a [u8],
    read: usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.read += n;
        Ok(n)
    }
}

#[test]
fn what_is_no_link_target_makes_a_kept_link_malformed() -> TestResult {
    for format in [Format::Native, Format::Ostree] {
        let dir = tempdir();
        let store = Store::create(&dir, format, Mode::BareUser, StoreOptions::default())?;
        let id = store_file(&store, &header(&store, 0o777, FileType::Symlink("target".to_owned())), b"");
        for kept in [&b"tar\0get\0"[..], b"\0", b"target"] {
            overwrite(&store, &object_path(&store, id), kept)?;
            let refused = store.open_file(id).map(drop);
            assert!(matches!(refused, Err(Error::Malformed { .. })), "{kept:?}: {refused:?}");
            assert!(matches!(store.verify(id.name())?, Verdict::Malformed(_)), "{kept:?}");
        }
    }
    Ok(())
}

#[test]
fn a_size_in_the_header_that_is_not_the_contents_is_found_by_whoever_reads_to_the_end() -> TestResult {
    for format in [Format::Native, Format::Ostree] {
        let dir = tempdir();
        let store = Store::create(&dir, format, Mode::Archive, StoreOptions::default())?;
        let header = regular(&store);
        let id = store_file(&store, &header, b"hello\n");
        let path = object_path(&store, id);
        let stored = fsio::read(&dir, &path, 1 << 20)?;
        let begin = format.encode_archive_header(&header, 6).len();
        for size in [0, 5, 7] {
            let wrong = [&format.encode_archive_header(&header, size)[..], &stored[begin..]].concat();
            overwrite(&store, &path, &wrong)?;
            assert!(matches!(store.verify(id.name())?, Verdict::Malformed(_)), "{size}");
            let error = content(&store, id).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{size}");
        }
    }
    Ok(())
}
