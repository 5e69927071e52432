//! Inputs that every decoder must refuse, naming the byte.
use super::hex;
use crate::gvariant::Writer;
use crate::{Commit, DecodeError, DirMeta, DirTree, Format, MetaObject};

const ID: [u8; 32] = [0x11; 32];

fn refused<T: std::fmt::Debug>(what: &str, bytes: &[u8], outcome: Result<T, DecodeError>) {
    match outcome {
        Ok(value) => panic!("{what}: {bytes:02x?} was taken for {value:?}"),
        Err(error) => assert!(error.offset <= bytes.len() + 8, "{what}: {error}, of {} bytes", bytes.len()),
    }
}

/// Every way of being cut off, longer, or claiming more than there is.
fn damaged(bytes: &[u8], decode: &dyn Fn(&str, &[u8])) {
    for length in 0..bytes.len() {
        decode("cut off", &bytes[..length]);
    }
    decode("longer", &[bytes, &[0]].concat());
    decode("twice", &[bytes, bytes].concat());
    decode("zeros", &vec![0; bytes.len()]);
    decode("ones", &vec![0xff; bytes.len()]);
}

fn gvariant(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish()
}

fn ostree_tree(files: &[(&str, &[u8])], dirs: &[(&str, &[u8], &[u8])]) -> Vec<u8> {
    gvariant(|w| {
        w.tuple(1, |w| {
            w.array(1, |w| {
                for (name, id) in files {
                    w.tuple(1, |w| {
                        w.str(name);
                        w.bytes(id);
                    });
                }
            });
            w.array(1, |w| {
                for (name, tree, meta) in dirs {
                    w.tuple(1, |w| {
                        w.str(name);
                        w.bytes(tree);
                        w.bytes(meta);
                    });
                }
            });
        });
    })
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn native_tree(files: &[&[u8]], dirs: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(varint(files.len() as u64));
    for name in files {
        bytes.extend([&varint(name.len() as u64), *name, &ID, &[5]].concat());
    }
    bytes.extend(varint(dirs.len() as u64));
    for name in dirs {
        bytes.extend([&varint(name.len() as u64), *name, &ID, &ID].concat());
    }
    bytes
}

#[test]
fn dirtrees_with_bad_names_are_refused() {
    let long = "n".repeat(256);
    let tables: [(&str, &[&str], &[&str]); 17] = [
        ("empty", &[""], &[]),
        ("empty", &[], &[""]),
        ("dot", &["."], &[]),
        ("dot", &[], &["."]),
        ("dots", &[".."], &[]),
        ("dots", &[], &[".."]),
        ("slash", &["a/b"], &[]),
        ("slash", &[], &["/"]),
        ("escape", &[], &["../etc"]),
        ("NUL", &["a\0b"], &[]),
        ("long", &[&long], &[]),
        ("long", &[], &[&long]),
        ("twice", &["a", "a"], &[]),
        ("twice", &[], &["a", "a"]),
        ("unsorted", &["b", "a"], &[]),
        ("unsorted", &[], &["b", "a"]),
        ("in both", &["a", "b"], &["b", "c"]),
    ];
    for (what, files, dirs) in tables {
        let file_list: Vec<_> = files.iter().map(|name| (*name, &ID[..])).collect();
        let dir_list: Vec<_> = dirs.iter().map(|name| (*name, &ID[..], &ID[..])).collect();
        let bytes = ostree_tree(&file_list, &dir_list);
        refused(what, &bytes, DirTree::decode(Format::Ostree, &bytes));
        let files: Vec<_> = files.iter().map(|name| name.as_bytes()).collect();
        let dirs: Vec<_> = dirs.iter().map(|name| name.as_bytes()).collect();
        let bytes = native_tree(&files, &dirs);
        refused(what, &bytes, DirTree::decode(Format::Native, &bytes));
    }
    let bytes = native_tree(&[b"\xff"], &[]);
    refused("not UTF-8", &bytes, DirTree::decode(Format::Native, &bytes));
    let bytes = hex(&format!("ff00{}022324", "11".repeat(32)));
    refused("not UTF-8", &bytes, DirTree::decode(Format::Ostree, &bytes));
    // The same ways of building are taken when nothing is wrong.
    DirTree::decode(Format::Ostree, &ostree_tree(&[("a", &ID)], &[("b", &ID, &ID)])).unwrap();
    DirTree::decode(Format::Native, &native_tree(&[b"a", b"c"], &[b"b"])).unwrap();
}

#[test]
fn dirtrees_with_bad_ids_and_framing_are_refused() {
    for wrong in [&ID[..31], &[0x11; 33], &[]] {
        for bytes in [
            ostree_tree(&[("a", wrong)], &[]),
            ostree_tree(&[], &[("a", wrong, &ID)]),
            ostree_tree(&[], &[("a", &ID, wrong)]),
        ] {
            refused("id", &bytes, DirTree::decode(Format::Ostree, &bytes));
        }
    }
    let good = ostree_tree(&[("a", &ID), ("bb", &ID)], &[("c", &ID, &ID)]);
    damaged(&good, &|what, bytes| refused(what, bytes, DirTree::decode(Format::Ostree, bytes)));
    for at in good.len() - 4..good.len() {
        for offset in [0, 1, good[at].wrapping_sub(1), good[at].wrapping_add(1), 0xff] {
            let mut bytes = good.clone();
            bytes[at] = offset;
            if bytes != good {
                refused("offset", &bytes, DirTree::decode(Format::Ostree, &bytes));
            }
        }
    }
    refused("no bytes", &[], DirTree::decode(Format::Ostree, &[]));

    let good = native_tree(&[b"a", b"bb"], &[b"c"]);
    damaged(&good, &|what, bytes| refused(what, bytes, DirTree::decode(Format::Native, bytes)));
    for (what, bytes) in [
        ("count", "01ffffffffffffffffff01"),
        ("count", "01ffffff7f"),
        ("long number", "01800000"),
        ("too long number", "01ffffffffffffffffffff0100"),
        ("name length", "0101ffffffff0f61"),
        ("version", "020000"),
        ("version", "000000"),
        ("rest", "01000000"),
    ] {
        refused(what, &hex(bytes), DirTree::decode(Format::Native, &hex(bytes)));
    }
    let huge = [&hex("01010161"), &ID[..], &varint(1 << 63), &[0]].concat();
    refused("size", &huge, DirTree::decode(Format::Native, &huge));
}

#[test]
fn bad_directory_metadata_is_refused() {
    let ostree = |mode: u32, xattrs: &[(&[u8], &[u8])]| {
        gvariant(|w| {
            w.tuple(4, |w| {
                w.u32_be(0);
                w.u32_be(0);
                w.u32_be(mode);
                w.array(1, |w| {
                    for (name, value) in xattrs {
                        w.tuple(1, |w| {
                            w.bytes(name);
                            w.bytes(value);
                        });
                    }
                });
            });
        })
    };
    let native = |mode: u64, xattrs: &[(&[u8], &[u8])]| {
        let mut bytes = [&[1, 0, 0], &varint(mode)[..], &varint(xattrs.len() as u64)].concat();
        for (name, value) in xattrs {
            bytes.extend([&varint(name.len() as u64), *name, &varint(value.len() as u64), *value].concat());
        }
        bytes
    };
    for (what, xattrs) in [
        ("no name", &[(&b"\0"[..], &b""[..])][..]),
        ("NUL in a name", &[(b"a\0b\0", b"")]),
        ("twice", &[(b"a\0", b"1"), (b"a\0", b"2")]),
        ("unsorted", &[(b"b\0", b""), (b"a\0", b"")]),
        ("unsorted later", &[(b"a\0", b""), (b"c\0", b""), (b"b\0", b"")]),
    ] {
        let bytes = ostree(0o40755, xattrs);
        refused(what, &bytes, DirMeta::decode(Format::Ostree, &bytes));
        let stripped: Vec<_> = xattrs.iter().map(|(name, value)| (&name[..name.len() - 1], *value)).collect();
        let bytes = native(0o755, &stripped);
        refused(what, &bytes, DirMeta::decode(Format::Native, &bytes));
    }
    for name in [&b"a"[..], b""] {
        let bytes = ostree(0o40755, &[(name, b"")]);
        refused("name without NUL", &bytes, DirMeta::decode(Format::Ostree, &bytes));
    }
    for mode in [0o755, 0o100_755, 0o120_777, 0o200_040_755, 0o50_755, u32::MAX] {
        let bytes = ostree(mode, &[]);
        refused("mode", &bytes, DirMeta::decode(Format::Ostree, &bytes));
    }
    for mode in [0o10_000, 0o40_755, u64::from(u32::MAX), 1 << 32] {
        let bytes = native(mode, &[]);
        refused("mode", &bytes, DirMeta::decode(Format::Native, &bytes));
    }
    let one: &[(&[u8], &[u8])] = &[(b"a\0", b"v")];
    let good = ostree(0o40755, one);
    DirMeta::decode(Format::Ostree, &good).unwrap();
    damaged(&good, &|what, bytes| {
        // The value of the last attribute is whatever its framing leaves: these are framed right for another length.
        if what != "cut off" || bytes.len() > 12 {
            refused(what, bytes, DirMeta::decode(Format::Ostree, bytes));
        }
    });
    let good = native(0o755, &[(b"a", b"v")]);
    DirMeta::decode(Format::Native, &good).unwrap();
    damaged(&good, &|what, bytes| refused(what, bytes, DirMeta::decode(Format::Native, bytes)));
}

/// What to change in a good commit.
#[derive(Clone, Copy)]
struct Parts<'a> {
    parent: &'a [u8],
    related: &'a [u8],
    subject: &'a str,
    tree: &'a [u8],
    meta: &'a [u8],
    keys: &'a [&'a str],
}

#[test]
fn bad_commits_are_refused() {
    let good = Parts { parent: &ID, related: &[], subject: "s", tree: &ID, meta: &ID, keys: &["k"] };
    let encoded = |parts: Parts<'_>| {
        gvariant(|w| {
            w.tuple(8, |w| {
                w.dict(|w| {
                    for key in parts.keys {
                        w.entry(key, |w| w.variant("u", |w| w.u32(7)));
                    }
                });
                w.bytes(parts.parent);
                w.raw(1, parts.related);
                w.str(parts.subject);
                w.str("");
                w.u64_be(1);
                w.bytes(parts.tree);
                w.bytes(parts.meta);
            });
        })
    };
    let bytes = encoded(good);
    Commit::decode(Format::Ostree, &bytes).unwrap();
    damaged(&bytes, &|what, bytes| refused(what, bytes, Commit::decode(Format::Ostree, bytes)));
    let related = gvariant(|w| {
        w.array(1, |w| {
            w.tuple(1, |w| {
                w.str("x");
                w.bytes(&ID);
            });
        });
    });
    for (what, parts) in [
        ("parent", Parts { parent: &ID[1..], ..good }),
        ("related", Parts { related: &related, ..good }),
        ("related", Parts { related: &[0], ..good }),
        ("subject", Parts { subject: "a\0b", ..good }),
        ("tree", Parts { tree: &[], ..good }),
        ("tree", Parts { tree: &[1; 64], ..good }),
        ("meta", Parts { meta: &ID[..31], ..good }),
        ("empty key", Parts { keys: &[""], ..good }),
        ("key twice", Parts { keys: &["k", "l", "k"], ..good }),
    ] {
        let bytes = encoded(parts);
        refused(what, &bytes, Commit::decode(Format::Ostree, &bytes));
    }

    let id = "11".repeat(32);
    let ids = format!("{id}{id}");
    let good = hex(&format!("0100 00 0173 0162 05 {ids} 010203"));
    Commit::decode(Format::Native, &good).unwrap();
    damaged(&good, &|what, bytes| refused(what, bytes, Commit::decode(Format::Native, bytes)));
    for (what, text) in [
        ("parent", format!("0100 02{id} 0173 0162 05 {ids} 010203")),
        ("NUL in the subject", format!("0100 00 0100 0162 05 {ids} 010203")),
        ("NUL in the body", format!("0100 00 0173 0100 05 {ids} 010203")),
        ("not UTF-8", format!("0100 00 01ff 0162 05 {ids} 010203")),
        ("totals", format!("0100 00 0173 0162 05 {ids} 0102 ffffffffffffffffff01")),
        ("totals", format!("0100 00 0173 0162 05 {ids} 80808080808080808001 0203")),
        ("empty key", format!("0101 00 0101 00 0173 0162 05 {ids} 010203")),
        ("key twice", format!("0102 0161 0101 0161 0101 00 0173 0162 05 {ids} 010203")),
        ("unknown case", format!("0101 0161 0b01 00 0173 0162 05 {ids} 010203")),
    ] {
        refused(what, &hex(&text), Commit::decode(Format::Native, &hex(&text)));
    }
}

#[test]
fn bad_metadata_values_are_refused() {
    let ostree = |signature: &str, value: &[u8]| {
        gvariant(|w| w.dict(|w| w.entry("k", |w| w.variant(signature, |w| w.raw(1, value)))))
    };
    let native = |case: u8, fields: &[u8]| [&[1, 1, 1, b'k', case], fields].concat();
    let bomb = [&[0, 0][..], b"()", &[0, b'v'].repeat(100_000)].concat();
    for (what, signature, value) in [
        ("boolean", "b", &[2][..]),
        ("number", "u", b"123"),
        ("text", "s", b"no end"),
        ("texts", "as", b"a\0\x09"),
        ("no type", "", b"1"),
        ("unknown type", "Z", b"1"),
        ("half a type", "a", b"1"),
        ("two types", "yy", b"1"),
        ("depth bomb", "v", &bomb[..]),
        ("maybe", "ms", b"a"),
        ("tuple", "(yu)", b"a\x01\0\0bcde"),
        ("deep type", &"a".repeat(200), b""),
        ("long type", &format!("({})", "y".repeat(2000)), &[0; 2000]),
    ] {
        let bytes = ostree(signature, value);
        refused(what, &bytes, Format::Ostree.decode_metadata(&bytes));
        let fields =
            [&varint(signature.len() as u64), signature.as_bytes(), &varint(value.len() as u64), value];
        let bytes = native(10, &fields.concat());
        refused(what, &bytes, Format::Native.decode_metadata(&bytes));
    }
    for (what, case, fields) in [
        ("boolean", 1, &[2][..]),
        ("number", 3, &[0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("long number", 3, &[0x80, 0]),
        ("long number", 5, &[0x80, 0]),
        ("NUL", 0, &[1, 0]),
        ("NUL", 8, &[1, 1, 0]),
        ("count", 8, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("count", 9, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("own case", 10, &[1, b'u', 4, 0, 0, 0, 0]),
        ("long case number", 0x80, &[0, 1, b'a']),
    ] {
        let bytes = native(case, fields);
        refused(what, &bytes, Format::Native.decode_metadata(&bytes));
    }
}

#[test]
fn metadata_of_too_many_values_is_refused() {
    let count = 5_000_000;
    let mut bytes = [&[1, 1, 1, b'k', 9], &varint(count)[..]].concat();
    bytes.resize(bytes.len() + usize::try_from(count).unwrap(), 0);
    refused("values", &bytes, Format::Native.decode_metadata(&bytes));
    // Empty items only: offsets of 4 bytes, all zero.
    let offsets = vec![0; usize::try_from(count).unwrap() * 4];
    let bytes = gvariant(|w| w.dict(|w| w.entry("k", |w| w.variant("aay", |w| w.raw(1, &offsets)))));
    refused("values", &bytes, Format::Ostree.decode_metadata(&bytes));
}

#[test]
fn bad_archive_headers_are_refused() {
    let header = |size: u64, mode: u32, rdev: u32, target: &str| {
        let record = gvariant(|w| {
            w.tuple(8, |w| {
                w.u64_be(size);
                w.u32_be(0);
                w.u32_be(0);
                w.u32_be(mode);
                w.u32_be(rdev);
                w.str(target);
                w.array(1, |_| {});
            });
        });
        let length = u32::try_from(record.len()).unwrap();
        [&length.to_be_bytes()[..], &[0; 4], &record].concat()
    };
    let read = |format: Format, what: &str, bytes: &[u8]| {
        refused(what, bytes, format.read_archive_header(&mut &bytes[..]).unwrap());
    };
    let long = "t".repeat(4096);
    for (what, bytes) in [
        ("size", header(1 << 63, 0o100_644, 0, "")),
        ("type", header(0, 0o644, 0, "")),
        ("type", header(0, 0o40_755, 0, "")),
        ("type", header(0, 0o20_644, 0, "")),
        ("mode", header(0, 0o1_100_644, 0, "")),
        ("rdev", header(0, 0o100_644, 1, "")),
        ("target of a file", header(0, 0o100_644, 0, "a")),
        ("symlink without target", header(0, 0o120_777, 0, "")),
        ("symlink with content", header(5, 0o120_777, 0, "a")),
        ("symlink mode", header(0, 0o120_755, 0, "a")),
        ("long target", header(0, 0o120_777, 0, &long)),
        ("length", hex("ffffffff00000000")),
        ("length", hex("7fffffff00000000 00")),
        ("padding", hex("0000001a00000001")),
    ] {
        read(Format::Ostree, what, &bytes);
    }
    let good = header(6, 0o100_644, 0, "");
    for length in 0..good.len() {
        read(Format::Ostree, "cut off", &good[..length]);
    }
    for (what, bytes) in [
        ("cut off", ""),
        ("cut off", "080000"),
        ("cut off", "0800000001060000a40300"),
        ("longer", "0900000001060000a403000000"),
        ("length", "ffffffff01060000a4030000"),
        ("version", "0800000002060000a4030000"),
        ("type", "0800000001060000a4030500"),
        ("mode", "090000000106000080800100 00"),
        ("symlink without target", "090000000100 0000ff03010000"),
        ("symlink mode", "0a000000010000 00ed0301016100"),
        ("symlink with content", "0a000000010500 00ff0301016100"),
        ("pipe with content", "0800000001060000a4030200"),
        ("NUL in the target", "0a000000010000 00ff0301010000"),
        ("size", "11000000 01 ffffffffffffffffff01 0000a4030000"),
    ] {
        read(Format::Native, what, &hex(bytes));
    }
    for format in [Format::Native, Format::Ostree] {
        let mut endless = std::io::repeat(0xff);
        assert!(format.read_archive_header(&mut endless).unwrap().is_err());
    }
}

#[test]
fn bad_attributes_of_bare_user_files_are_refused() {
    let ostree = |mode: u32| {
        gvariant(|w| {
            w.tuple(4, |w| {
                w.u32_be(0);
                w.u32_be(0);
                w.u32_be(mode);
                w.array(1, |_| {});
            });
        })
    };
    for mode in [0o644, 0o40_755, 0o10_644, 0o120_755, 0o1_100_644] {
        let bytes = ostree(mode);
        refused("mode", &bytes, Format::Ostree.decode_user_meta(&bytes));
    }
    let good = ostree(0o100_644);
    Format::Ostree.decode_user_meta(&good).unwrap();
    damaged(&good, &|what, bytes| refused(what, bytes, Format::Ostree.decode_user_meta(bytes)));
    let good = hex("010000a4030000");
    damaged(&good, &|what, bytes| refused(what, bytes, Format::Native.decode_user_meta(bytes)));
    for (what, bytes) in [("target", "010000ff0301016100"), ("symlink mode", "010000ed03010000")] {
        refused(what, &hex(bytes), Format::Native.decode_user_meta(&hex(bytes)));
    }
}

#[test]
fn corrupt_compressed_content_is_an_error_and_not_more() {
    use std::io::Read;
    for (format, bytes) in [
        (Format::Ostree, ""),
        (Format::Ostree, "03"),
        (Format::Ostree, "ffffff"),
        (Format::Ostree, "cb48cdc9c9e702"),
        (Format::Ostree, "0300 00"),
        (Format::Native, ""),
        (Format::Native, "28b52ffd"),
        (Format::Native, "ffffffff"),
    ] {
        let bytes = hex(bytes);
        let mut content = Vec::new();
        let outcome = format.decompressor(Box::new(&bytes[..])).unwrap().read_to_end(&mut content);
        assert!(outcome.is_err(), "{format:?} {bytes:02x?} gave {content:?}");
    }
}

#[test]
fn a_zstd_window_above_the_limit_is_refused() {
    use std::io::{Read, Write};
    for (window_log, taken) in [(23, true), (24, false), (27, false)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&vec![7; 1 << 20]).unwrap();
        encoder.flush().unwrap();
        encoder.write_all(&[7; 100]).unwrap();
        let bytes = encoder.finish().unwrap();
        let mut content = Vec::new();
        let outcome = Format::Native.decompressor(Box::new(&bytes[..])).unwrap().read_to_end(&mut content);
        assert_eq!(outcome.is_ok(), taken, "{window_log}");
    }
}
