//! What holds for every object and for every input.
use super::arbitrary;
use crate::{Commit, DirMeta, DirTree, FileHeader, FileType, Format, MetaObject};
use proptest::prelude::*;
use std::fmt::Debug;
use std::io::{Read, Write};

fn round_trip<K: MetaObject + PartialEq + Debug>(format: Format, object: &K) -> Result<(), TestCaseError> {
    let bytes = object.encode(format);
    prop_assert_eq!(
        &K::decode(format, &bytes).map_err(|error| TestCaseError::fail(error.to_string()))?,
        object
    );
    Ok(())
}

/// Decodes `bytes` as everything there is; what is accepted must encode to the same bytes.
fn decode_all(format: Format, bytes: &[u8]) -> Result<(), TestCaseError> {
    fn same<K: MetaObject>(format: Format, bytes: &[u8]) -> Result<(), TestCaseError> {
        match K::decode(format, bytes) {
            Ok(object) => prop_assert_eq!(object.encode(format), bytes),
            Err(error) => prop_assert!(error.offset <= bytes.len() + 8, "{} of {}", error, bytes.len()),
        }
        Ok(())
    }
    same::<Commit>(format, bytes)?;
    same::<DirTree>(format, bytes)?;
    same::<DirMeta>(format, bytes)?;
    if let Ok(metadata) = format.decode_metadata(bytes) {
        prop_assert_eq!(format.encode_metadata(&metadata), bytes);
        for (_, value) in metadata.iter() {
            prop_assert!(!value.to_text().is_empty());
        }
    }
    if let Ok(header) = format.decode_user_meta(bytes)
        && (format == Format::Native || is_sorted(&header, bytes))
    {
        prop_assert_eq!(format.encode_user_meta(&header), bytes);
    }
    if let Ok(archive) = format.read_archive_header(&mut &bytes[..]).unwrap() {
        prop_assert!(format.check_file(&archive.header).is_ok());
        let encoded = format.encode_archive_header(&archive.header, archive.size);
        prop_assert_eq!(encoded.len(), archive.encoded_len);
        if format == Format::Native || is_sorted(&archive.header, bytes) {
            prop_assert_eq!(&encoded, &bytes[..archive.encoded_len]);
        }
    }
    let mut text = Vec::new();
    drop(format.decompressor(Box::new(bytes)).unwrap().take(1 << 16).read_to_end(&mut text));
    Ok(())
}

/// OSTree does not sort the attributes in these headers.
fn is_sorted(header: &FileHeader, _: &[u8]) -> bool {
    header.xattrs.iter().len() < 2
}

/// Changes some bytes, and the length.
fn mutated(mut bytes: Vec<u8>, changes: &[(u16, u8)], cut: Option<u16>) -> Vec<u8> {
    for (at, byte) in changes {
        let length = bytes.len().max(1);
        if let Some(old) = bytes.get_mut(usize::from(*at) % length) {
            *old = *byte;
        }
    }
    if let Some(cut) = cut {
        bytes.truncate(usize::from(cut) % (bytes.len() + 1));
    }
    bytes
}

fn changes() -> impl Strategy<Value = (Vec<(u16, u8)>, Option<u16>)> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff), Just(0x80)];
    (proptest::collection::vec((any::<u16>(), byte), 0..3), proptest::option::weighted(0.2, any::<u16>()))
}

proptest! {
    #[test]
    fn commits_survive_encoding((format, commit) in arbitrary::formats().prop_flat_map(|format| {
        (Just(format), arbitrary::commits(format))
    })) {
        round_trip(format, &commit)?;
    }

    #[test]
    fn dirtrees_survive_encoding((format, tree) in arbitrary::formats().prop_flat_map(|format| {
        (Just(format), arbitrary::dirtrees(format))
    })) {
        round_trip(format, &tree)?;
    }

    #[test]
    fn dirmetas_survive_encoding(format in arbitrary::formats(), meta in arbitrary::dirmetas()) {
        round_trip(format, &meta)?;
    }

    #[test]
    fn metadata_survives_encoding(format in arbitrary::formats(), metadata in arbitrary::metadatas()) {
        let bytes = format.encode_metadata(&metadata);
        prop_assert_eq!(format.decode_metadata(&bytes).unwrap(), metadata);
    }

    #[test]
    fn values_are_the_same_through_gvariant(value in arbitrary::values()) {
        let back = crate::Value::from_gvariant(value.signature(), &value.to_gvariant()).unwrap();
        prop_assert_eq!(back, value);
    }

    #[test]
    fn headers_survive_encoding(
        (format, header) in arbitrary::formats().prop_flat_map(|format| (Just(format), arbitrary::headers(format))),
        size in 0..=i64::MAX.unsigned_abs(),
    ) {
        prop_assert_eq!(format.check_file(&header), Ok(()));
        let size = if header.is_regular() { size } else { 0 };
        let mut bytes = format.encode_archive_header(&header, size);
        let length = bytes.len();
        bytes.extend(b"content");
        let mut rest = &bytes[..];
        let read = format.read_archive_header(&mut rest).unwrap().unwrap();
        prop_assert_eq!((&read.header, read.size, read.encoded_len), (&header, size, length));
        prop_assert_eq!(rest, b"content");

        let mut stripped = header.clone();
        if let FileType::Symlink(target) = &mut stripped.file_type {
            target.clear();
        }
        if format == Format::Native || matches!(header.file_type, FileType::Regular | FileType::Symlink(_)) {
            prop_assert_eq!(format.decode_user_meta(&format.encode_user_meta(&header)).unwrap(), stripped);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        format in arbitrary::formats(),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        decode_all(format, &bytes)?;
        let versioned = [&[1], &bytes[..]].concat();
        decode_all(format, &versioned)?;
    }

    #[test]
    fn what_a_decoder_takes_of_changed_objects_encodes_to_the_same_bytes(
        (format, commit, tree, meta, header, metadata) in arbitrary::formats().prop_flat_map(|format| (
            Just(format),
            arbitrary::commits(format),
            arbitrary::dirtrees(format),
            arbitrary::dirmetas(),
            arbitrary::headers(format),
            arbitrary::metadatas(),
        )),
        (changes, cut) in changes(),
    ) {
        for bytes in [
            commit.encode(format),
            tree.encode(format),
            meta.encode(format),
            format.encode_archive_header(&header, 0),
            format.encode_user_meta(&header),
            format.encode_metadata(&metadata),
        ] {
            decode_all(format, &mutated(bytes, &changes, cut))?;
        }
    }

    #[test]
    fn content_survives_compression(
        format in arbitrary::formats(),
        pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..20), 1..2000_usize), 0..5),
        level in proptest::option::of(-1..25_i32),
    ) {
        let content: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
        let mut compressed = Vec::new();
        let mut writer = format.compressor(Box::new(&mut compressed), level).unwrap();
        writer.write_all(&content).unwrap();
        writer.finish().unwrap();
        let read = |bytes: &[u8]| {
            let mut text = Vec::new();
            format.decompressor(Box::new(bytes)).unwrap().read_to_end(&mut text).map(|_| text)
        };
        prop_assert_eq!(read(&compressed).unwrap(), content);
        prop_assert!(read(&compressed[..compressed.len() - 1]).is_err(), "cut off");
        prop_assert!(read(&[&compressed[..], &[0]].concat()).is_err(), "longer");
    }
}
