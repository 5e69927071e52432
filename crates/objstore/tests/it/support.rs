//! Stores in temporary directories, and files to put into them.

use cap_tempfile::{TempDir, ambient_authority};
use sapwood_fsio::Dir;
use sapwood_objstore::{
    FileHeader, FileType, Format, Id, Mode, Store, StoreOptions, Transaction, Xattrs, kind,
};
use std::io::Read;

pub(crate) type TestResult = Result<(), Box<dyn std::error::Error>>;

pub(crate) const FORMATS: [Format; 2] = [Format::Native, Format::Ostree];
pub(crate) const MODES: [Mode; 4] = [Mode::Bare, Mode::BareUser, Mode::BareUserOnly, Mode::Archive];

pub(crate) fn tempdir() -> TempDir {
    cap_tempfile::tempdir(ambient_authority()).expect("a temporary directory")
}

/// Every combination of mode and format, each in a directory of its own.
pub(crate) fn each_store(mut test: impl FnMut(Store) -> TestResult) -> TestResult {
    for format in FORMATS {
        for mode in MODES {
            let dir = tempdir();
            let store = Store::create(&dir, format, mode, StoreOptions::default())?;
            test(store).map_err(|e| format!("{format:?} {mode:?}: {e}"))?;
        }
    }
    Ok(())
}

/// A file that every mode can hold for the user who runs the tests.
pub(crate) fn header(store: &Store, mode: u32, file_type: FileType) -> FileHeader {
    let (uid, gid) = match store.mode() {
        Mode::BareUserOnly => (0, 0),
        _ => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
    };
    FileHeader { uid, gid, mode, file_type, xattrs: Xattrs::default() }
}

pub(crate) fn regular(store: &Store) -> FileHeader {
    header(store, 0o644, FileType::Regular)
}

pub(crate) fn put(txn: &Transaction<'_>, header: &FileHeader, content: &[u8]) -> Id<kind::File> {
    txn.put_file(header, content.len() as u64, &mut &*content).expect("a file that can be stored")
}

/// Puts one file in a transaction of its own.
pub(crate) fn store_file(store: &Store, header: &FileHeader, content: &[u8]) -> Id<kind::File> {
    let txn = store.begin().expect("a transaction");
    let id = put(&txn, header, content);
    txn.publish().expect("published");
    id
}

pub(crate) fn content(store: &Store, id: Id<kind::File>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    store.open_file(id).map_err(std::io::Error::other)?.content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes that do not compress well, so that stored sizes are near content sizes.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// The path of an object file below the repository directory.
pub(crate) fn object_path(store: &Store, id: Id<kind::File>) -> String {
    let (hex, ext) = (id.to_hex(), if store.mode() == Mode::Archive { "filez" } else { "file" });
    format!("objects/{}/{}.{ext}", &hex[..2], &hex[2..])
}

/// Names in `tmp` but the cache.
pub(crate) fn left_in_tmp(repo: &Dir) -> Vec<String> {
    let tmp = sapwood_fsio::open_dir(repo, "tmp").expect("tmp");
    let entries = sapwood_fsio::entries(&tmp).expect("a listing");
    entries.into_iter().map(|e| e.name.to_string_lossy().into_owned()).collect()
}
