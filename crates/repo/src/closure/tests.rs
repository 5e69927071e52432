//! The codec: round trips, the bytes that the format gives, and what is refused.

use super::*;
use proptest::prelude::*;

fn numbered<K: sapwood_objstore::Kind>(number: u8) -> Id<K> {
    Id::new(ObjectId::from_bytes([number; 32]))
}

/// The two frames of a file.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let (head, frames) = file.split_first_chunk().unwrap();
    let dirs_end = ClosureHead::decode(*head).unwrap().dirs_end();
    frames.split_at(usize::try_from(dirs_end).unwrap() - ClosureHead::BYTES)
}

/// A frame of one raw block, by RFC 8878.
fn raw_frame(content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap();
    let [a, b, c, _] = (len << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &len.to_le_bytes(), &[a, b, c], content].concat()
}

/// The example of `docs/FORMAT.md`.
#[test]
fn the_example_of_the_format_is_read_and_written() {
    let dirs =
        ClosureDirs { trees: vec![(numbered(1), 186), (numbered(2), 39)], metas: vec![(numbered(3), 6)] };
    let files = [ClosureFile { id: numbered(4), content_bytes: 6, stored_bytes: 300 }];
    let first = [&[2][..], &[1; 32], &[0xba, 1], &[2; 32], &[39], &[1], &[3; 32], &[6]].concat();
    let second = [&[1][..], &[4; 32], &[6], &[0xac, 2]].concat();
    assert_eq!((dirs.encode(), ClosureFile::encode_all(&files)), (first.clone(), second.clone()));
    assert_eq!(ClosureDirs::decode(&raw_frame(&first)).unwrap(), dirs);
    assert_eq!(ClosureFile::decode_all(&raw_frame(&second)).unwrap(), files);
    let file = encode_closure(&dirs, &files).unwrap();
    assert_eq!(file.first(), Some(&1));
    let (first, second) = split(&file);
    assert_eq!(ClosureDirs::decode(first).unwrap(), dirs);
    assert_eq!(ClosureFile::decode_all(second).unwrap(), files);
}

#[test]
fn what_the_format_does_not_allow_is_refused() {
    assert_eq!(ClosureHead::decode([2, 0, 0, 0, 0]).unwrap_err().what, "unknown version");
    assert_eq!(ClosureHead::decode([1, 255, 255, 255, 255]).unwrap().dirs_end(), 5 + u64::from(u32::MAX));
    let file = |number: u8| [&[number; 32][..], &[0, 0]].concat();
    for (content, what) in [
        ([&[2][..], &file(5), &file(5)].concat(), "files are not sorted"),
        ([&[2][..], &file(5), &file(4)].concat(), "files are not sorted"),
        ([&[2][..], &file(5)].concat(), "ends too early"),
        ([&[1][..], &file(5), &[0]].concat(), "bytes after the end"),
        (vec![0x80, 0], "number is longer than needed"),
    ] {
        assert_eq!(ClosureFile::decode_all(&raw_frame(&content)).unwrap_err().what, what);
    }
    let one = [&[7; 32][..], &[1]].concat();
    for twice in [[&[2][..], &one, &one, &[0]].concat(), [&[0, 2][..], &one, &one].concat()] {
        assert_eq!(ClosureDirs::decode(&raw_frame(&twice)).unwrap_err().what, "an object is there twice");
    }
    // Numbers that are told are not believed: neither takes memory or time for what is not there.
    let many = [&[0xff; 9][..], &[1]].concat();
    assert_eq!(ClosureDirs::decode(&raw_frame(&many)).unwrap_err().what, "ends too early");
    for no_frame in [&b""[..], b"plain", raw_frame(b"").split_at(7).0] {
        assert_eq!(ClosureDirs::decode(no_frame).unwrap_err().what, "not compressed as it should be");
    }
}

#[test]
fn what_unpacks_to_too_much_is_refused() {
    let mut bomb = Vec::new();
    let mut compressor = Format::Native.compressor(Box::new(&mut bomb), None).unwrap();
    for _ in 0..129 {
        compressor.write_all(&vec![0; 1 << 20]).unwrap();
    }
    compressor.finish().unwrap();
    assert_eq!(ClosureDirs::decode(&bomb).unwrap_err().what, "larger than 128 MiB");
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        trees in prop::collection::vec((any::<[u8; 32]>(), any::<u64>()), 0..40),
        metas in prop::collection::vec((any::<[u8; 32]>(), any::<u64>()), 0..4),
        files in prop::collection::btree_map(any::<[u8; 32]>(), any::<(u64, u64)>(), 0..40),
    ) {
        let id = |bytes| ObjectId::from_bytes(bytes);
        let dirs = ClosureDirs {
            trees: trees.into_iter().map(|(bytes, size)| (Id::new(id(bytes)), size)).collect(),
            metas: metas.into_iter().map(|(bytes, size)| (Id::new(id(bytes)), size)).collect(),
        };
        let files: Vec<_> = files
            .into_iter()
            .map(|(bytes, (content_bytes, stored_bytes))| {
                ClosureFile { id: Id::new(id(bytes)), content_bytes, stored_bytes }
            })
            .collect();
        let file = encode_closure(&dirs, &files).unwrap();
        let (first, second) = split(&file);
        prop_assert_eq!(ClosureDirs::decode(first).unwrap(), dirs);
        prop_assert_eq!(ClosureFile::decode_all(second).unwrap(), files);
    }
}
