//! What is too large to be read is not written.

use crate::support::{FORMATS, TestResult, each_store, put, regular, tempdir};
use sapwood_objstore::{
    Commit, DirMeta, Error, FileHeader, Format, Id, Metadata, Mode, ObjectId, Store, StoreOptions, Totals,
    Value, Xattrs,
};

/// One more than are read.
const TOO_MANY: usize = (1 << 15) + 1;
const MAX_HEADER_BYTES: usize = 16 << 20;

fn attributes(count: usize) -> Xattrs {
    Xattrs::new((0..count).map(|n| (format!("user.{n:05}").into_bytes(), Vec::new())).collect())
        .expect("names that differ")
}

#[test]
fn metadata_past_the_limit_is_refused_and_the_transaction_goes_on() -> TestResult {
    for format in FORMATS {
        let dir = tempdir();
        let store = Store::create(&dir, format, Mode::Archive, StoreOptions::default())?;
        let body = usize::try_from(Format::MAX_META_BYTES)?;
        let mut commit = Commit {
            metadata: Metadata::default(),
            parent: None,
            subject: String::new(),
            body: "x".repeat(body),
            timestamp: 1,
            tree: Id::new(ObjectId::from_bytes([1; 32])),
            meta: Id::new(ObjectId::from_bytes([2; 32])),
            totals: format.records_sizes().then_some(Totals::default()),
        };
        let txn = store.begin()?;
        assert!(matches!(txn.put(&commit), Err(Error::TooLarge { limit_bytes, .. })
            if limit_bytes == Format::MAX_META_BYTES));
        let body = std::mem::take(&mut commit.body);
        let id = txn.put(&commit)?;
        let mut beside = Metadata::default();
        beside.set("note", Value::Str(body));
        assert!(matches!(txn.put_detached(id, &beside), Err(Error::TooLarge { .. })));
        txn.publish()?;
        assert_eq!(store.load(id)?, commit);
        assert_eq!(store.detached(id)?, None);
    }
    Ok(())
}

#[test]
fn more_attributes_than_are_read_are_refused_on_files_and_directories() -> TestResult {
    for format in FORMATS {
        let dir = tempdir();
        let store = Store::create(&dir, format, Mode::Archive, StoreOptions::default())?;
        let txn = store.begin()?;
        let most = FileHeader { xattrs: attributes(TOO_MANY - 1), ..regular(&store) };
        let many = FileHeader { xattrs: attributes(TOO_MANY), ..regular(&store) };
        let refused = txn.put_file(&many, 0, &mut std::io::empty());
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        let dir = |xattrs| DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs };
        let refused = txn.put(&dir(many.xattrs));
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        let meta = txn.put(&dir(most.xattrs.clone()))?;
        let file = put(&txn, &most, b"");
        txn.publish()?;
        assert_eq!(store.open_file(file)?.header, most);
        assert_eq!(store.load(meta)?.xattrs, most.xattrs);
    }
    Ok(())
}

#[test]
fn a_header_past_the_limit_is_refused_and_one_below_it_is_read_back() -> TestResult {
    each_store(|store| {
        if store.mode() != Mode::Archive {
            return Ok(());
        }
        let txn = store.begin()?;
        let with = |bytes: usize| {
            let xattrs = Xattrs::new(vec![(b"user.big".to_vec(), vec![7; bytes])]).expect("a name");
            FileHeader { xattrs, ..regular(&store) }
        };
        let refused = txn.put_file(&with(MAX_HEADER_BYTES - 8), 0, &mut std::io::empty());
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        let header = with(MAX_HEADER_BYTES - 128);
        let file = put(&txn, &header, b"content");
        txn.publish()?;
        assert!(store.open_file(file)?.header == header);
        Ok(())
    })
}
