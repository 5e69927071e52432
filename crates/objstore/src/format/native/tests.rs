//! The vectors of `docs/FORMAT.md`, which another program made, and their presence there.
use crate::format::tests::hex;
use crate::{
    Commit, Digest, DirEntry, DirMeta, DirTree, EntryName, FileEntry, FileHeader, FileType, Format, Id,
    MetaObject, Metadata, ObjectId, ObjectKind, Totals, Value, Xattrs,
};

const META: &str = "f092058ed41f9575758c3a473e6e10ac5f2207623d9a5156e10e668fb41515e9";
const A: &str = "9cb89dcd13af53c4ddbc839e761637dbdd2b6fc8469c16b210d6eea395d45495";
const EMPTY: &str = "2a57c3ae5863ffa67975f137acd5a27f28836db80d7b65fa6c404caa5579c1cd";
const LNK: &str = "345a86f4185cd04691a2c4fd2a3c8e6a525f7eae21768d62f82d87cbf8ded606";
const B: &str = "dfaffba5cb52e6118b62f3b0e0b6441bd82062bba58d637353cadf8d30d3223c";
const SUB: &str = "3e91ea1436a05382a092f82222ba9bd1f06547dd79f66ef3d0d99671ee2cee33";
const ROOT: &str = "f7b7a10351cd4a1c53c232aa13fcae19c9eca71296b780e4011388359fef3927";
const FIRST: &str = "889236f7596590929ab037e4b7c7c7d29381d479b3e149525ac307526e062871";
const SECOND: &str = "6b5fab50e22e46f24db02412ac474bfb365e8866ab134209a0c28ed7985f3619";

/// Fails unless the document holds these digits, in one line or broken over several.
fn documented(digits: &str) {
    let document = include_str!("../../../../../docs/FORMAT.md").replace('\n', "");
    assert!(document.contains(digits), "not in docs/FORMAT.md: {digits}");
}

fn id<K: crate::Kind>(hex: &str) -> Id<K> {
    Id::new(ObjectId::from_hex(hex).unwrap())
}

fn check<K: MetaObject + PartialEq + std::fmt::Debug>(object: &K, bytes: &str, expected: &str) {
    let encoded = object.encode(Format::Native);
    assert_eq!(encoded, hex(bytes));
    assert_eq!(Format::Native.id_of(K::KIND, &encoded).to_hex(), expected);
    assert_eq!(&K::decode(Format::Native, &encoded).unwrap(), object);
    documented(expected);
}

fn entry(name: &str, file: &str, size: u64) -> FileEntry {
    FileEntry { name: EntryName::new(name).unwrap(), id: id(file), size: Some(size) }
}

fn xattrs(list: &[(&str, &[u8])]) -> Xattrs {
    Xattrs::new(list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect())
        .unwrap()
}

#[test]
fn directories_have_the_documented_bytes_and_ids() {
    let meta = DirMeta { uid: 0, gid: 0, mode: 0o755, xattrs: Xattrs::default() };
    check(&meta, "010000ed0300", META);
    let list: [(&str, &[u8]); 2] = [("user.a", b""), ("security.selinux", b"etc_t\0")];
    let bytes = "01e80764fd0b021073656375726974792e73656c696e7578066574635f740006757365722e6100";
    documented(bytes);
    let meta = DirMeta { uid: 1000, gid: 100, mode: 0o2775, xattrs: xattrs(&list) };
    check(&meta, bytes, "8b9e45b35068f2e5178e9e3e765a0b2ddaf667c27174ea08f721d13c0be86575");

    let empty = "7a5d638c1b8cba1ab1ded6dc2505c6e9f0e3283641b15c18155dc058253a1cc6";
    check(&DirTree::default(), "010000", empty);
    check(&DirTree::new(vec![entry("B", B, 1)], vec![]).unwrap(), &format!("01010142{B}0100"), SUB);
    let files = vec![entry("lnk", LNK, 0), entry("empty", EMPTY, 0), entry("a.txt", A, 6)];
    let dirs = vec![DirEntry { name: EntryName::new("sub").unwrap(), tree: id(SUB), meta: id(META) }];
    let bytes = format!("010305612e747874{A}0605656d707479{EMPTY}00036c6e6b{LNK}000103737562{SUB}{META}");
    documented(&bytes);
    check(&DirTree::new(files, dirs).unwrap(), &bytes, ROOT);
}

#[test]
fn commits_have_the_documented_bytes_and_ids() {
    let mut first = Commit {
        metadata: Metadata::default(),
        parent: None,
        subject: "subj".into(),
        body: "body".into(),
        timestamp: 1_700_000_000,
        tree: id(ROOT),
        meta: id(META),
        totals: Some(Totals { files: 4, dirs: 2, bytes: 7 }),
    };
    first.metadata.set("version", Value::Str("1.0".into()));
    let bytes = format!("01010776657273696f6e0003312e3000047375626a04626f647980e2cfaa06{ROOT}{META}040207");
    documented(&bytes);
    check(&first, &bytes, FIRST);

    let mut second = Commit { parent: Some(id(FIRST)), subject: "two".into(), body: String::new(), ..first };
    second.timestamp += 100;
    second.metadata.set("version", Value::Str("1.1".into()));
    second.metadata.set("ostree.ref-binding", Value::Strs(vec!["test/main".into()]));
    let bytes = format!(
        "01020776657273696f6e0003312e31126f73747265652e7265662d62696e64696e67080109746573742f6d61696e01{FIRST}\
         0374776f00e4e2cfaa06{ROOT}{META}040207"
    );
    documented(&bytes);
    check(&second, &bytes, SECOND);
}

#[test]
fn files_have_the_documented_bytes_and_ids() {
    let file = |mode, file_type| FileHeader { uid: 0, gid: 0, mode, file_type, xattrs: Xattrs::default() };
    let disk = FileHeader { gid: 6, ..file(0o660, FileType::BlockDevice(0x801)) };
    let capability = hex("0100000200200000000000000000000000000000");
    let list: [(&str, &[u8]); 2] = [("security.capability", &capability), ("user.note", b"hi")];
    let attributes = xattrs(&list);
    let setuid = FileHeader { uid: 1000, gid: 1000, xattrs: attributes, ..file(0o4755, FileType::Regular) };
    let with_attributes = "3f00000001e807e807ed130002\
         1373656375726974792e6361706162696c697479140100000200200000000000000000000000000000\
         09757365722e6e6f7465026869";
    for (header, content, block, expected) in [
        (file(0o644, FileType::Regular), "hello\n", "07000000010000a4030000", A),
        (file(0o644, FileType::Regular), "", "07000000010000a4030000", EMPTY),
        (file(0o777, FileType::Symlink("a.txt".into())), "", "0d000000010000ff030105612e74787400", LNK),
        (file(0o755, FileType::Regular), "x", "07000000010000ed030000", B),
        (
            file(0o600, FileType::Fifo),
            "",
            "0700000001000080030200",
            "8616a596fee87d3d6499f60df6c137370471770b681b67294854234663c11c74",
        ),
        (
            file(0o666, FileType::CharDevice(0x103)),
            "",
            "09000000010000b60303830200",
            "effd5c2a5ee99c496b0b8302c83fa0640785087f6407d7c5fb5acf769ca34931",
        ),
        (
            disk,
            "",
            "09000000010006b00304811000",
            "9a4e17707f1afcef71dc9b19822f1b83ef90809d3b8fb0dbb31c6a41af9923da",
        ),
        (setuid, "x", with_attributes, "b9ce095270695f0ab9d503eb9001ce8c3de7306bced586063dd065e16d0bd117"),
    ] {
        assert_eq!(Format::Native.check_file(&header), Ok(()));
        assert_eq!(Format::Native.file_prefix(&header), hex(block));
        let mut digest = Digest::new(Format::Native, ObjectKind::File);
        digest.update(&hex(block));
        digest.update(content.as_bytes());
        assert_eq!(digest.finish().to_hex(), expected);
        documented(block);
        documented(expected);
    }
}

#[test]
fn archive_headers_and_attributes_have_the_documented_bytes() {
    let file = |mode, file_type| FileHeader { uid: 0, gid: 0, mode, file_type, xattrs: Xattrs::default() };
    let link = file(0o777, FileType::Symlink("a.txt".into()));
    for (header, size, bytes) in [
        (file(0o644, FileType::Regular), 6, "0800000001060000a4030000"),
        (file(0o644, FileType::Regular), 0, "0800000001000000a4030000"),
        (link.clone(), 0, "0e00000001000000ff030105612e74787400"),
    ] {
        documented(bytes);
        assert_eq!(Format::Native.encode_archive_header(&header, size), hex(bytes));
        let read = Format::Native.read_archive_header(&mut &hex(bytes)[..]).unwrap().unwrap();
        assert_eq!((read.header, read.size, read.encoded_len), (header, size, bytes.len() / 2));
    }
    let bare = FileHeader { file_type: FileType::Symlink(String::new()), ..link.clone() };
    for (header, bytes, decoded) in [
        (file(0o644, FileType::Regular), "010000a4030000", file(0o644, FileType::Regular)),
        (link, "010000ff03010000", bare),
    ] {
        documented(bytes);
        assert_eq!(Format::Native.encode_user_meta(&header), hex(bytes));
        assert_eq!(Format::Native.decode_user_meta(&hex(bytes)).unwrap(), decoded);
    }
}

#[test]
fn metadata_of_every_type_has_the_documented_bytes() {
    let mut metadata = Metadata::default();
    assert_eq!(Format::Native.encode_metadata(&metadata), [1, 0]);
    let other = Value::Variant { signature: "(uas)".into(), bytes: hex("2a000000610002") };
    for (key, value) in [
        ("str", Value::Str("text".into())),
        ("bool", Value::Bool(true)),
        ("byte", Value::U8(255)),
        ("u32", Value::U32(300)),
        ("u64", Value::U64(u64::MAX)),
        ("i32", Value::I32(-1)),
        ("i64", Value::I64(i64::MIN)),
        ("bytes", Value::Bytes(vec![0, 1])),
        ("strs", Value::Strs(vec!["a".into(), "b".into()])),
        ("arrays", Value::ByteArrays(vec![vec![], vec![0xaa]])),
        ("other", other),
    ] {
        metadata.set(key, value);
    }
    let bytes = "010b0373747200047465787404626f6f6c0101046279746502ff0375333203ac020375363404ffffffffffffffffff0103\
         69333205010369363406ffffffffffffffffff010562797465730702000104737472730802016101620661727261797309020001aa05\
         6f746865720a052875617329072a000000610002";
    documented(bytes);
    assert_eq!(Format::Native.encode_metadata(&metadata), hex(bytes));
    assert_eq!(Format::Native.decode_metadata(&hex(bytes)).unwrap(), metadata);
}

#[test]
fn what_has_no_size_or_totals_is_encoded_so_that_no_decoder_takes_it() {
    let tree = DirTree::new(vec![FileEntry { size: None, ..entry("B", B, 1) }], vec![]).unwrap();
    assert!(DirTree::decode(Format::Native, &tree.encode(Format::Native)).is_err());
}

#[test]
fn as_many_values_as_the_document_says_are_taken_and_no_more() {
    // A key, and a list of 4,194,303 or 4,194,304 empty byte strings.
    for (number, length, taken) in
        [(4_194_303, [0xff, 0xff, 0xff, 1], true), (4_194_304, [0x80, 0x80, 0x80, 2], false)]
    {
        let bytes = [&[1, 1, 1, b'k', 9][..], &length, &vec![0; number]].concat();
        let decoded = Format::Native.decode_metadata(&bytes);
        assert_eq!(decoded.err().map(|error| error.what), (!taken).then_some("too many values"));
    }
}
