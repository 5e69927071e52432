//! Objects taken over from another store: which share an inode with it, and that nobody else can change them later.

use crate::support::{FORMATS, TestResult, content, object_path, regular, store_file, tempdir};
use cap_tempfile::TempDir;
use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::{FileHeader, Format, Id, Mode, Store, StoreOptions, Trust, kind};
use sapwood_testkit::skipped;

/// Nobody who runs tests.
const OTHER: u32 = 65534;

/// Takes a file over into a new store; says whether it is the same inode as there.
fn shares(from: &Store, file: Id<kind::File>, trust: Trust) -> Result<bool, Box<dyn std::error::Error>> {
    let dir = tempdir();
    let store = Store::create(&dir, from.format(), from.mode(), StoreOptions::default())?;
    let txn = store.begin()?;
    txn.import(from, file.name(), trust)?;
    txn.publish()?;
    assert_eq!(content(&store, file)?, b"content");
    let inode = |store: &Store| fsio::stat(store.dir(), object_path(store, file)).map(|stat| stat.ino);
    Ok(inode(from)? == inode(&store)?)
}

fn give_away(dir: &Dir, path: &str) -> TestResult {
    Ok(fsio::set_owner_of(dir, path, OTHER, OTHER)?)
}

fn with_file(
    format: Format,
    mode: Mode,
    owner: Option<u32>,
) -> Result<(TempDir, Store, Id<kind::File>), Box<dyn std::error::Error>> {
    let dir = tempdir();
    let store = Store::create(&dir, format, mode, StoreOptions::default())?;
    let header = regular(&store);
    let header = FileHeader { uid: owner.unwrap_or(header.uid), gid: owner.unwrap_or(header.gid), ..header };
    let file = store_file(&store, &header, b"content");
    Ok((dir, store, file))
}

#[test]
fn a_file_is_shared_with_a_store_of_the_same_owner_alone() -> TestResult {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can give files away");
        return Ok(());
    }
    for format in FORMATS {
        for mode in [Mode::Bare, Mode::BareUser, Mode::BareUserOnly] {
            for trust in [Trust::Trusted, Trust::Untrusted] {
                let (_dir, store, file) = with_file(format, mode, None)?;
                assert!(shares(&store, file, trust)?, "{mode:?} {trust:?}");
                let object = object_path(&store, file);
                let shard = object.rsplit_once('/').expect("it is in a shard").0;
                // Each of them leads to whoever has it being able to change the object.
                for path in ["objects", shard, &object] {
                    if mode == Mode::Bare && path == object {
                        continue;
                    }
                    let (_dir, store, file) = with_file(format, mode, None)?;
                    give_away(store.dir(), path)?;
                    assert!(!shares(&store, file, trust)?, "{mode:?} {trust:?} {path}");
                }
            }
        }
        // There the owner of a file is content.
        let (_dir, store, file) = with_file(format, Mode::Bare, Some(OTHER))?;
        assert!(shares(&store, file, Trust::Trusted)?);
        assert!(!shares(&store, file, Trust::Untrusted)?);
    }
    Ok(())
}
