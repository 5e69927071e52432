//! Crashes and failing disks at every single write, and the order of syncs.

use crate::support::{TestResult, content, each_store, left_in_tmp, noise, put, regular, tempdir};
use sapwood_fsio::fault::{self, Failure, Op};
use sapwood_objstore::{
    Commit, DirMeta, DirTree, EntryName, Error, FileEntry, Format, Id, Metadata, Mode, Store, StoreOptions,
    Totals, Verdict, Xattrs,
};
use std::sync::LazyLock;

/// Just too large to be held in memory.
static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| noise((1 << 20) + 5, 1));

/// A small transaction: three files (one streamed), a tree, its metadata, a commit.
fn run(store: &Store) -> Result<Id<Commit>, Error> {
    let txn = store.begin()?;
    let header = regular(store);
    let mut entries = Vec::new();
    for (name, size) in [("a", 10), ("b", 70_000), ("c", CONTENT.len())] {
        let id = txn.put_file(&header, size as u64, &mut &CONTENT[..size])?;
        let size = (store.format() == Format::Native).then_some(size as u64);
        entries.push(FileEntry { name: EntryName::new(name).expect("a name"), id, size });
    }
    let tree = txn.put(&DirTree::new(entries, vec![]).expect("no name twice"))?;
    let meta = txn.put(&DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() })?;
    let totals = (store.format() == Format::Native).then_some(Totals { files: 3, dirs: 1, bytes: 1 });
    let commit = Commit {
        metadata: Metadata::default(),
        parent: None,
        subject: String::new(),
        body: String::new(),
        timestamp: 0,
        tree,
        meta,
        totals,
    };
    let id = txn.put(&commit)?;
    txn.publish()?;
    Ok(id)
}

/// Every object that can be seen is whole, and a commit that can be seen has all it refers to.
fn check(store: &Store, when: &str) -> TestResult {
    let mut commits = Vec::new();
    store.for_each(&mut |name| {
        assert_eq!(store.verify(name)?, Verdict::Good, "{name} {when}");
        if name.kind == sapwood_objstore::ObjectKind::Commit {
            commits.push(Id::<Commit>::new(name.id));
        }
        Ok(())
    })?;
    for id in commits {
        let commit = store.load(id)?;
        store.load(commit.meta)?;
        for file in store.load(commit.tree)?.files() {
            content(store, file.id)?;
        }
    }
    Ok(())
}

#[test]
fn a_crash_at_any_write_leaves_only_whole_objects_and_the_retry_succeeds() -> TestResult {
    for mode in [Mode::BareUser, Mode::Archive] {
        for step in 1.. {
            let dir = tempdir();
            let store = Store::create(&dir, Format::Native, mode, StoreOptions::default())?;
            let crashed = fault::crash_at(step, || run(&store));
            let when = format!("after a crash at write {step}");
            drop(store);
            let store = Store::open(&dir, Format::Native, mode, StoreOptions::default())?;
            check(&store, &when)?;
            run(&store).map_err(|e| format!("the retry fails {when}: {e}"))?;
            check(&store, &when)?;
            assert_eq!(left_in_tmp(&dir), Vec::<String>::new(), "{when}");
            if !crashed.fired {
                crashed.value?;
                break;
            }
        }
    }
    Ok(())
}

#[test]
fn a_write_that_fails_is_reported_and_harms_nothing() -> TestResult {
    for failure in [Failure::NoSpace, Failure::Io] {
        for step in 1.. {
            let dir = tempdir();
            let store = Store::create(&dir, Format::Ostree, Mode::Archive, StoreOptions::default())?;
            let failed = fault::fail_at(step, failure, || run(&store));
            let when = format!("after {failure:?} at write {step}");
            check(&store, &when)?;
            run(&store).map_err(|e| format!("the retry fails {when}: {e}"))?;
            if !failed.fired {
                failed.value?;
                break;
            }
        }
    }
    Ok(())
}

#[test]
fn objects_are_synced_before_they_are_visible_and_commits_come_last() -> TestResult {
    each_store(|store| {
        let (outcome, calls) = fault::record(|| run(&store));
        outcome?;
        let is_publish =
            |call: &&fault::Call| call.op == Op::Rename && !call.path.to_string_lossy().contains(".new-");
        let text = |call: &fault::Call| call.path.to_string_lossy().into_owned();
        let position = |wanted: &dyn Fn(&fault::Call) -> bool| calls.iter().position(wanted);
        let last_data =
            calls.iter().rposition(|c| matches!(c.op, Op::Write | Op::SetXattr | Op::Chmod | Op::Utimens));
        let first_sync = position(&|c| c.op == Op::Syncfs);
        assert!(last_data < first_sync, "content was written after the sync");
        let renames: Vec<_> = calls.iter().filter(is_publish).map(text).collect();
        let staged_before = calls.iter().take(first_sync.unwrap_or(0)).filter(is_publish).count();
        let published = &renames[staged_before..];
        assert_eq!(published.len(), 6, "{published:?}");
        assert!(published.last().is_some_and(|path| path.contains(".commit")), "{published:?}");
        // A sync stands between the content's names and the commit's, and one after that.
        let commit_rename = calls.iter().rposition(|c| is_publish(&c) && text(c).contains(".commit"));
        let content_rename = calls.iter().rposition(|c| is_publish(&c) && !text(c).contains(".commit"));
        let syncs: Vec<_> =
            (0..calls.len()).filter(|i| matches!(calls[*i].op, Op::Syncfs | Op::Fsync)).collect();
        assert!(syncs.iter().any(|i| content_rename < Some(*i) && Some(*i) < commit_rename));
        assert!(syncs.iter().any(|i| Some(*i) > commit_rename));
        Ok(())
    })
}

#[test]
fn a_dropped_transaction_is_invisible_and_its_objects_are_taken_up_by_the_next() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        let id = put(&txn, &regular(&store), b"staged");
        drop(txn);
        assert!(!store.contains(id.name())?);
        let txn = store.begin()?;
        assert!(txn.contains(id.name())?, "not resumed");
        txn.publish()?;
        assert_eq!(content(&store, id)?, b"staged");
        Ok(())
    })
}

#[test]
fn what_was_damaged_in_staging_is_not_taken_up() -> TestResult {
    each_store(|store| {
        let txn = store.begin()?;
        let id = put(&txn, &regular(&store), b"staged");
        drop(txn);
        let tmp = sapwood_fsio::open_dir(store.dir(), "tmp")?;
        let staging =
            left_in_tmp(store.dir()).into_iter().find(|n| !n.ends_with("-lock")).ok_or("no staging")?;
        let hex = id.to_hex();
        let shard = sapwood_fsio::open_dir(&tmp, format!("{staging}/{}", &hex[..2]))?;
        for entry in sapwood_fsio::entries(&shard)? {
            let file = shard.open_with(&entry.name, cap_std::fs::OpenOptions::new().write(true))?;
            file.set_len(3)?;
        }
        let txn = store.begin()?;
        assert!(!txn.contains(id.name())?, "a damaged object was taken up");
        txn.publish()?;
        Ok(())
    })
}

#[test]
fn two_transactions_stage_apart_and_publish_the_same_object() -> TestResult {
    each_store(|store| {
        let (one, two) = (store.begin()?, store.begin()?);
        let id = put(&one, &regular(&store), b"same");
        assert!(!two.contains(id.name())?);
        assert_eq!(put(&two, &regular(&store), b"same"), id);
        one.publish()?;
        two.publish()?;
        assert_eq!(content(&store, id)?, b"same");
        assert_eq!(left_in_tmp(store.dir()), Vec::<String>::new());
        Ok(())
    })
}

/// Who sent a file is not to be blamed, and asked again, because the disk here fails.
#[test]
fn a_disk_that_fails_is_not_taken_for_a_source_that_does() -> TestResult {
    for format in [Format::Native, Format::Ostree] {
        let dir = tempdir();
        let source = Store::create(&dir, format, Mode::Archive, StoreOptions::default())?;
        let txn = source.begin()?;
        let id = put(&txn, &regular(&source), &CONTENT);
        txn.publish()?;
        let stored = sapwood_fsio::read(source.dir(), crate::support::object_path(&source, id), 4 << 20)?;
        for mode in [Mode::Archive, Mode::BareUser] {
            let target = tempdir();
            let store = Store::create(&target, format, mode, StoreOptions::default())?;
            for step in 1.. {
                let txn = store.begin()?;
                let failure = if step % 2 == 0 { Failure::NoSpace } else { Failure::Io };
                let run = fault::fail_at(step, failure, || txn.put_archived(id, &mut &*stored));
                let outcome = run.value;
                assert!(matches!(outcome, Ok(()) | Err(Error::Io(_))), "step {step}: {outcome:?}");
                if !run.fired {
                    assert!(step > 10, "faults were injected");
                    break;
                }
            }
        }
    }
    Ok(())
}
