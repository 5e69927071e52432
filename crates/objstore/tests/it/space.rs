//! The space that is to stay free: only what is kept counts against it.

use crate::support::{
    FORMATS, TestResult, content, header, noise, object_path, put, regular, store_file, tempdir,
};
use sapwood_fsio as fsio;
use sapwood_objstore::{
    Error, FileHeader, FileType, Format, Id, Mode, ObjectId, Reserve, Store, StoreOptions, Transaction,
    Trust, Verdict, Xattrs, kind,
};
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
            let taken = before - left(&txn);
            // Noise does not get smaller, and a header comes before it.
            let allowed = if store.mode() == Mode::Archive { size..=size + size / 128 } else { size..=size };
            assert!(allowed.contains(&taken), "once, however often it comes: {taken}");
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

/// An archived file with another size in its header.
fn with_size(store: &Store, archived: &[u8], size: u64) -> Vec<u8> {
    let format = store.format();
    let archive = format.read_archive_header(&mut &*archived).expect("bytes").expect("a header");
    [&format.encode_archive_header(&archive.header, size), &archived[archive.encoded_len..]].concat()
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
            let overstated = with_size(store, &archived, 1 << 60);
            let refused = txn.put_archived(id, &mut &*overstated);
            assert!(
                matches!(refused, Err(Error::Malformed { .. })),
                "its fault, not the disk's: {refused:?}"
            );
            assert_eq!(left(&txn), before);
            txn.put_archived(id, &mut &*archived)?;
            let stored = if store.mode() == Mode::Archive { archived.len() } else { len };
            assert_eq!(left(&txn), before - blocks(store, stored));
        }
        Ok(())
    })
}

/// What a file of so many bytes fills.
fn blocks(store: &Store, bytes: usize) -> u64 {
    let block = fsio::free_space(store.dir()).expect("free space").block_bytes;
    (bytes as u64).next_multiple_of(block)
}

/// How content of 6 bytes is compressed with blocks of nothing before it, which a decompressor does not show: what the stream
/// begins with, an empty block, and the head of the last block.
struct Padding(&'static [u8], &'static [u8], &'static [u8]);

/// A zstd frame of raw blocks, and a deflate stream of stored ones.
const PADDINGS: [(Format, Padding); 2] = [
    (Format::Native, Padding(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 6], &[0, 0, 0], &[6 << 3 | 1, 0, 0])),
    (Format::Ostree, Padding(&[], &[0, 0, 0, 0xff, 0xff], &[1, 6, 0, 0xf9, 0xff])),
];

impl Padding {
    fn archived(&self, format: Format, header: &FileHeader, blocks: usize) -> Vec<u8> {
        let Self(first, empty, last) = self;
        let header = format.encode_archive_header(header, 6);
        [&header, *first, &empty.repeat(blocks), last, b"hello\n"].concat()
    }
}

#[test]
fn what_takes_space_is_what_is_written_and_no_compressor_makes_more_than_content_and_64_kib() -> TestResult {
    for (format, padding) in PADDINGS {
        let dir = tempdir();
        let options = StoreOptions { reserve: Reserve::Bytes(1), ..StoreOptions::default() };
        let store = Store::create(&dir, format, Mode::Archive, options)?;
        let header = regular(&store);
        let (id, _) = format.id_of_file(&header, &mut &b"hello\n"[..])?;
        let txn = store.begin()?;
        let before = left(&txn);
        for blocks in [(64 << 10) / 3, 83_000] {
            let refused = txn.put_archived(id, &mut &*padding.archived(format, &header, blocks));
            assert!(matches!(refused, Err(Error::Malformed { .. })), "{refused:?}");
        }
        assert_eq!(left(&txn), before);
        // As many empty blocks as 60 KiB of them are, for a writer who flushes often.
        let archived = padding.archived(format, &header, (60 << 10) / 5);
        txn.put_archived(id, &mut &*archived)?;
        assert_eq!(left(&txn), before - blocks(&store, archived.len()));
        txn.publish()?;
        assert_eq!(store.verify(id.name())?, Verdict::Good);
        // Nor is it read from a store that another program wrote.
        fsio::replace(&dir, object_path(&store, id), 0o644, &padding.archived(format, &header, 83_000))?;
        assert_ne!(store.verify(id.name())?, Verdict::Good);
        content(&store, id).expect_err("larger than any compressor makes it");
    }
    Ok(())
}

#[test]
fn headers_and_attributes_take_space_too() -> TestResult {
    each_store_with_a_reserve(|store| {
        let attributes = [(b"user.large".to_vec(), vec![7; 40_000])];
        let mut header = header(store, 0o777, FileType::Symlink("target".to_owned()));
        header.xattrs = Xattrs::new(attributes.to_vec())?;
        let txn = store.begin()?;
        let before = left(&txn);
        if txn.put_file(&header, 0, &mut io::empty()).is_ok() {
            assert_eq!(left(&txn), before - blocks(store, 40_000 + 200));
        }
        Ok(())
    })
}

#[test]
fn nothing_follows_the_header_of_what_is_no_regular_file() -> TestResult {
    for format in FORMATS {
        for mode in [Mode::BareUser, Mode::Archive] {
            let dir = tempdir();
            let store = Store::create(&dir, format, mode, StoreOptions::default())?;
            let header = header(&store, 0o777, FileType::Symlink("target".to_owned()));
            let (id, _) = format.id_of_file(&header, &mut io::empty())?;
            let archived = format.encode_archive_header(&header, 0);
            let longer = [&archived[..], b"x"].concat();
            let txn = store.begin()?;
            let refused = txn.put_archived(id, &mut &*longer);
            let at = archived.len();
            assert!(
                matches!(&refused, Err(Error::Malformed { source, .. }) if source.offset == at),
                "{refused:?}"
            );
            txn.put_archived(id, &mut &*archived)?;
            txn.publish()?;
            if mode == Mode::Archive {
                assert_eq!(store.verify(id.name())?, Verdict::Good);
                fsio::replace(&dir, object_path(&store, id), 0o644, &longer)?;
                assert_ne!(store.verify(id.name())?, Verdict::Good);
                store.open_file(id).expect_err("longer");
                // Nor does a store that is not trusted have it linked.
                let to = tempdir();
                let other = Store::create(&to, format, mode, StoreOptions::default())?;
                other.begin()?.import(&store, id.name(), Trust::Untrusted).expect_err("longer");
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_set_aside_for_files_that_go_again_is_left_to_be_kept() -> TestResult {
    each_store_with_a_reserve(|store| {
        let txn = store.begin()?;
        let before = left(&txn);
        let mut room = txn.rooms().of(0);
        room.grow(before - LARGE as u64 / 2, 0)?;
        assert_eq!(left(&txn), before);
        let (header, content) = (regular(store), noise(LARGE, 3));
        let refused = txn.put_file(&header, LARGE as u64, &mut &*content);
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
        drop(room);
        put(&txn, &header, &content);
        assert!(left(&txn) <= before - LARGE as u64);
        Ok(())
    })
}
