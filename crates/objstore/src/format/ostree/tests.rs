//! Vectors made by the real `ostree` 2022.7.
use crate::format::tests::hex;
use crate::{
    Commit, Digest, DirEntry, DirMeta, DirTree, EntryName, FileEntry, FileHeader, FileType, Format, Id,
    MetaObject, Metadata, ObjectId, ObjectKind, Value, Xattrs,
};
use std::io::{Read, Write};

const A: &str = "44f778e59f0a4748d6b0c90a47347212a231c4ad1e8f7ea5c5dffc7749153a6b";
const EMPTY: &str = "cc700d46f407c6c5ab2d5dde474366a928b7398277e61162e7f8ec06f469f07e";
const LNK: &str = "f379a4b359f3e8deb971eef3e40a492fec37696c0169a600789f0bc62c43b535";
const B: &str = "d474afd297f3fc61b97186b79aeaa37ddb302743c8b3d1d634f9f2ced1675072";
const SUB: &str = "22635f73dd71646049265ab640bdeac4ee447934fc6709667e0fe7680a96fcc5";
const ROOT: &str = "79232f819252807b9f2fac9ca1a73b3cfed7496833b2d35d400c5f6bd41fecec";
const META: &str = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488";
const FIRST: &str = "e16ba23f62ee10dd48f7a96c8bff7babe64a57432fb4234933f2ffb866537411";
const SECOND: &str = "e3aa32b39378f606e4a07dfd750f27ee2f94a8fe427854842066dc0fb80823be";

fn id(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex).unwrap()
}

fn file(mode: u32, file_type: FileType) -> FileHeader {
    FileHeader { uid: 0, gid: 0, mode, file_type, xattrs: Xattrs::default() }
}

fn entry(name: &str, file: ObjectId) -> FileEntry {
    FileEntry { name: EntryName::new(name).unwrap(), id: Id::new(file), size: None }
}

fn file_id(header: &FileHeader, content: &[u8]) -> ObjectId {
    let mut digest = Digest::new(Format::Ostree, ObjectKind::File);
    digest.update(&Format::Ostree.file_prefix(header));
    digest.update(content);
    digest.finish()
}

fn sub() -> DirTree {
    DirTree::new(vec![entry("B", id(B))], vec![]).unwrap()
}

fn root(a: ObjectId) -> DirTree {
    let files = vec![entry("lnk", id(LNK)), entry("a.txt", a), entry("empty", id(EMPTY))];
    let sub =
        DirEntry { name: EntryName::new("sub").unwrap(), tree: Id::new(id(SUB)), meta: Id::new(id(META)) };
    DirTree::new(files, vec![sub]).unwrap()
}

fn first() -> Commit {
    let mut metadata = Metadata::default();
    metadata.set("version", Value::Str("1.0".into()));
    Commit {
        metadata,
        parent: None,
        subject: "subj".into(),
        body: "body".into(),
        timestamp: 1_700_000_000,
        tree: Id::new(id(ROOT)),
        meta: Id::new(id(META)),
        totals: None,
    }
}

fn check<K: MetaObject + PartialEq + std::fmt::Debug>(object: &K, expected: &str) -> Vec<u8> {
    let bytes = object.encode(Format::Ostree);
    assert_eq!(Format::Ostree.id_of(K::KIND, &bytes).to_hex(), expected);
    assert_eq!(&K::decode(Format::Ostree, &bytes).unwrap(), object);
    bytes
}

#[test]
fn metadata_objects_have_the_bytes_and_ids_that_ostree_gives_them() {
    let meta = DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() };
    assert_eq!(check(&meta, META), hex("00000000 00000000 000041ed"));
    let empty =
        check(&DirTree::default(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(empty, [0]);
    assert_eq!(check(&sub(), SUB), hex(&format!("4200 {B} 02 23 24")));
    assert_eq!(check(&root(id(A)), ROOT).len(), 190);
    let expected = format!(
        "76657273696f6e00 312e30000073 080f 7375626a00 626f647900 000000000000 000000006553f100 {ROOT} {META}
         48 1a 15 10 10 10"
    );
    assert_eq!(check(&first(), FIRST), hex(&expected));
}

#[test]
fn a_child_commit_has_the_id_that_ostree_gives_it() {
    let changed = root(file_id(&file(0o644, FileType::Regular), b"hello world\n"));
    let mut metadata = Metadata::default();
    metadata.set("version", Value::Str("1.1".into()));
    metadata.set("ostree.ref-binding", Value::Strs(vec!["test/main".into()]));
    let tree = Id::new(Format::Ostree.id_of(ObjectKind::DirTree, &changed.encode(Format::Ostree)));
    let (parent, subject) = (Some(Id::new(id(FIRST))), "two".into());
    let body = String::new();
    check(&Commit { metadata, parent, subject, body, timestamp: 1_700_000_100, tree, ..first() }, SECOND);
}

#[test]
fn files_have_the_stream_the_id_and_the_archive_form_that_ostree_gives_them() {
    let link = FileType::Symlink("a.txt".into());
    for (header, content, stream, expected, archived) in [
        (
            file(0o644, FileType::Regular),
            &b"hello\n"[..],
            "00000012 00000000 00000000 00000000 000081a4 00000000 00 11 68656c6c6f0a",
            A,
            "0000001a00000000 0000000000000006 00000000 00000000 000081a4 00000000 00 19 cb48cdc9c9e70200",
        ),
        (
            file(0o644, FileType::Regular),
            b"",
            "00000012 00000000 00000000 00000000 000081a4 00000000 00 11",
            EMPTY,
            "0000001a00000000 0000000000000000 00000000 00000000 000081a4 00000000 00 19 0300",
        ),
        (
            file(0o777, link),
            b"",
            "00000017 00000000 00000000 00000000 0000a1ff 00000000 612e74787400 16",
            LNK,
            "0000001f00000000 0000000000000000 00000000 00000000 0000a1ff 00000000 612e74787400 1e",
        ),
        (
            file(0o755, FileType::Regular),
            b"x",
            "00000012 00000000 00000000 00000000 000081ed 00000000 00 11 78",
            B,
            "0000001a00000000 0000000000000001 00000000 00000000 000081ed 00000000 00 19 ab0000",
        ),
    ] {
        assert_eq!(Format::Ostree.check_file(&header), Ok(()));
        assert_eq!([&Format::Ostree.file_prefix(&header), content].concat(), hex(stream));
        assert_eq!(file_id(&header, content).to_hex(), expected);

        let size = content.len() as u64;
        let mut written = Format::Ostree.encode_archive_header(&header, size);
        let encoded_len = written.len();
        if header.is_regular() {
            let mut writer = Format::Ostree.compressor(Box::new(&mut written), None).unwrap();
            writer.write_all(content).unwrap();
            writer.finish().unwrap();
        }
        assert_eq!(written[..encoded_len], hex(archived)[..encoded_len], "header");
        assert_eq!(written.len() > encoded_len, header.is_regular());

        let archived = hex(archived);
        let mut rest = &archived[..];
        let read = Format::Ostree.read_archive_header(&mut rest).unwrap().unwrap();
        assert_eq!((&read.header, read.size, read.encoded_len), (&header, size, encoded_len));
        assert_eq!(rest, &archived[encoded_len..]);
        if header.is_regular() {
            for compressed in [&archived[encoded_len..], &written[encoded_len..]] {
                let mut text = Vec::new();
                Format::Ostree.decompressor(Box::new(compressed)).unwrap().read_to_end(&mut text).unwrap();
                assert_eq!(text, content);
            }
        }
    }
}
