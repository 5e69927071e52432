//! Objects made up by proptest.
use crate::gvariant::Writer;
use crate::{
    Commit, DirEntry, DirMeta, DirTree, EntryName, FileEntry, FileHeader, FileType, Format, Id, Kind,
    Metadata, ObjectId, Totals, Value, Xattrs,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

pub(super) fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Native), Just(Format::Ostree)]
}

fn ids<K: Kind>() -> impl Strategy<Value = Id<K>> {
    any::<[u8; 32]>().prop_map(|bytes| Id::new(ObjectId::from_bytes(bytes)))
}

fn texts() -> impl Strategy<Value = String> {
    "[^\0]{0,20}"
}

fn names() -> impl Strategy<Value = EntryName> {
    prop_oneof![Just("a".to_owned()), "[^/\0]{1,8}", "[a-z.]{1,3}", "[é-ÿ]{100,127}"]
        .prop_filter_map("not a name", |name| EntryName::new(&name).ok())
}

pub(super) fn xattrs() -> impl Strategy<Value = Xattrs> {
    btree_map(vec(1..=255_u8, 1..20), vec(any::<u8>(), 0..40), 0..4)
        .prop_map(|map| Xattrs::new(map.into_iter().collect()).unwrap())
}

pub(super) fn dirmetas() -> impl Strategy<Value = DirMeta> {
    (any::<u32>(), any::<u32>(), 0..=0o7777_u32, xattrs()).prop_map(|(uid, gid, mode, xattrs)| DirMeta {
        uid,
        gid,
        mode,
        xattrs,
    })
}

pub(super) fn dirtrees(format: Format) -> impl Strategy<Value = DirTree> {
    let size = prop_oneof![Just(0), 0..1_000_000_u64, Just(i64::MAX.unsigned_abs())];
    let files = btree_map(names(), (ids(), size), 0..12);
    let dirs = btree_map(names(), (ids(), ids()), 0..6);
    (files, dirs).prop_map(move |(files, mut dirs)| {
        dirs.retain(|name, _| !files.contains_key(name));
        let size = |size| if format == Format::Native { Some(size) } else { None };
        let files = files.into_iter().map(|(name, (id, bytes))| FileEntry { name, id, size: size(bytes) });
        let dirs = dirs.into_iter().map(|(name, (tree, meta))| DirEntry { name, tree, meta });
        DirTree::new(files.collect(), dirs.collect()).unwrap()
    })
}

fn variants() -> impl Strategy<Value = Value> {
    let made = |signature: &str, write: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new();
        write(&mut writer);
        Value::Variant { signature: signature.to_owned(), bytes: writer.finish() }
    };
    prop_oneof![
        any::<f64>().prop_map(move |number| made("d", &|w| w.f64(number))),
        (texts(), any::<u64>()).prop_map(move |(text, number)| made("(st)", &|w| {
            w.tuple(8, |w| {
                w.str(&text);
                w.u64(number);
            });
        })),
        vec((texts(), texts()), 0..5).prop_map(move |pairs| made("a{sv}", &|w| {
            w.dict(|w| {
                for (key, value) in &pairs {
                    w.entry(key, |w| w.variant("s", |w| w.str(value)));
                }
            });
        })),
        vec(any::<u16>(), 0..300).prop_map(move |numbers| made("v", &|w| {
            w.variant("aq", |w| w.array(2, |w| numbers.iter().for_each(|number| w.u16(*number))));
        })),
        vec(vec(texts(), 0..4), 0..4).prop_map(move |lists| made("aas", &|w| {
            w.array(1, |w| lists.iter().for_each(|list| w.strs(list.iter().map(String::as_str))));
        })),
    ]
}

pub(super) fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        texts().prop_map(Value::Str),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::U8),
        any::<u32>().prop_map(Value::U32),
        any::<u64>().prop_map(Value::U64),
        any::<i32>().prop_map(Value::I32),
        any::<i64>().prop_map(Value::I64),
        vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        vec(texts(), 0..20).prop_map(Value::Strs),
        vec(vec(any::<u8>(), 0..40), 0..12).prop_map(Value::ByteArrays),
        variants(),
    ]
}

pub(super) fn metadatas() -> impl Strategy<Value = Metadata> {
    vec(("[^\0]{1,10}", values()), 0..6).prop_map(|entries| {
        let mut metadata = Metadata::default();
        for (key, value) in entries {
            metadata.set(&key, value);
        }
        metadata
    })
}

pub(super) fn commits(format: Format) -> impl Strategy<Value = Commit> {
    let size = 0..=i64::MAX.unsigned_abs();
    let totals =
        (size.clone(), size.clone(), size).prop_map(|(files, dirs, bytes)| Totals { files, dirs, bytes });
    let ids = (proptest::option::of(ids()), ids(), ids());
    (metadatas(), ids, texts(), texts(), any::<u64>(), totals).prop_map(
        move |(metadata, (parent, tree, meta), subject, body, timestamp, totals)| {
            let totals = Some(totals).filter(|_| format == Format::Native);
            Commit { metadata, parent, subject, body, timestamp, tree, meta, totals }
        },
    )
}

pub(super) fn headers(format: Format) -> impl Strategy<Value = FileHeader> {
    let kinds = prop_oneof![
        Just(FileType::Regular),
        "[^\0]{1,30}".prop_map(FileType::Symlink),
        Just(FileType::Fifo),
        any::<u64>().prop_map(FileType::CharDevice),
        any::<u64>().prop_map(FileType::BlockDevice),
    ];
    (any::<u32>(), any::<u32>(), 0..=0o7777_u32, kinds, xattrs()).prop_map(
        move |(uid, gid, mode, kind, xattrs)| {
            let file_type = match kind {
                FileType::Fifo | FileType::CharDevice(_) | FileType::BlockDevice(_)
                    if format == Format::Ostree =>
                {
                    FileType::Regular
                }
                other => other,
            };
            let mode = if matches!(file_type, FileType::Symlink(_)) { 0o777 } else { mode };
            FileHeader { uid, gid, mode, file_type, xattrs }
        },
    )
}
