//! What a transaction takes up of one that was killed, and what it does not.

use crate::support::{TestResult, content, each_store, left_in_tmp, noise, put, regular};
use sapwood_fsio::fault;
use sapwood_fsio::lock::{Lock, LockKind, Wait};
use sapwood_objstore::{Commit, DirMeta, DirTree, Format, Metadata, Totals, Xattrs};

#[test]
fn what_a_kill_left_of_a_large_file_is_not_in_the_way_of_the_next() -> TestResult {
    let large = noise((1 << 20) + 5, 1);
    each_store(|store| {
        let killed = fault::crash_at(8, || {
            let txn = store.begin()?;
            txn.put_file(&regular(&store), large.len() as u64, &mut &*large).map(drop)
        });
        assert!(killed.fired && killed.value.is_err(), "the crash is to hit the large file");
        let txn = store.begin()?;
        let id = put(&txn, &regular(&store), &large);
        txn.publish()?;
        assert_eq!(content(&store, id)?, large);
        assert_eq!(left_in_tmp(store.dir()), Vec::<String>::new());
        Ok(())
    })
}

/// What the commit refers to may have been in the store, not in staging, and have been pruned since.
#[test]
fn a_commit_of_a_killed_transaction_is_not_taken_up() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        let tree = txn.put(&DirTree::default())?;
        let meta = txn.put(&DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() })?;
        txn.publish()?;
        let txn = store.begin()?;
        let totals = Totals { files: 0, dirs: 1, bytes: 0 };
        let commit = txn.put(&Commit {
            metadata: Metadata::default(),
            parent: None,
            subject: String::new(),
            body: String::new(),
            timestamp: 0,
            tree,
            meta,
            totals: (store.format() == Format::Native).then_some(totals),
        })?;
        drop(txn);
        for name in [tree.name(), meta.name()] {
            store.remove(name)?;
        }
        let txn = store.begin()?;
        put(&txn, &regular(&store), b"another");
        txn.publish()?;
        assert!(!store.contains(commit.name())?, "a commit without its tree is visible");
        Ok(())
    })
}

/// Nobody can use it any more, and it may be what keeps the disk full.
#[test]
fn what_another_boot_has_staged_goes_when_a_transaction_begins() -> TestResult {
    each_store(|store| {
        let tmp = sapwood_fsio::open_dir(store.dir(), "tmp")?;
        for name in ["staging-elsewhere-idle", "staging-elsewhere-used"] {
            let dir = sapwood_fsio::create_dir(&tmp, name, 0o700)?;
            sapwood_fsio::replace(&dir, "left", 0o600, b"half of something")?;
        }
        let lock = Lock::acquire(&tmp, "staging-elsewhere-used-lock", LockKind::Exclusive, Wait::No)?;
        let txn = store.begin()?;
        let left = left_in_tmp(store.dir());
        let foreign: Vec<_> = left.iter().filter(|name| name.starts_with("staging-elsewhere")).collect();
        assert!(foreign.iter().all(|name| name.starts_with("staging-elsewhere-used")), "{foreign:?}");
        assert_eq!(foreign.len(), 2, "the directory and its lock");
        drop((txn, lock));
        Ok(())
    })
}
