//! Both encodings of the summary: round trips, OSTree's own bytes, and what is refused.

use super::*;
use proptest::prelude::*;
use sapwood_objstore::ObjectId;

/// The file that the real `ostree summary -u` (2022.7) wrote for a repository with the refs `first` and `main`.
const REAL: &str = "\
6669727374000000 9e00000000000000 18302c7ced166ee57f74276d81c3ee848817074575d2176b239fdd92f751c3ab\
6f73747265652e636f6d6d69742e74696d657374616d7000 000000006b04b47a 0074 18 23 2806 0000\
6d61696e00000000 9e00000000000000 18302c7ced166ee57f74276d81c3ee848817074575d2176b239fdd92f751c3ab\
6f73747265652e636f6d6d69742e74696d657374616d7000 000000006b04b47a 0074 18 23 2805 56ae\
6f73747265652e73756d6d6172792e6d6f64650000000000 617263686976652d7a320000731400 00\
6f73747265652e73756d6d6172792e6c6173742d6d6f64696669656400000000 000000006b04b47b 0074 1d 0000000000\
6f73747265652e73756d6d6172792e746f6d6273746f6e652d636f6d6d69747300000000000000 000000 6221 00000000\
6f73747265652e73756d6d6172792e696e64657865642d64656c74617300000001 00621e 265384ac b000";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn ostrees_own_summary_is_read_and_written_again_as_it_was() {
    let bytes = bytes_of(REAL);
    assert_eq!(bytes.len(), 0x162);
    let summary = Summary::decode(Format::Ostree, &bytes).unwrap();
    assert_eq!(summary.refs.len(), 2);
    let main = summary.get("main").unwrap();
    assert_eq!(main.commit_bytes, 158);
    assert_eq!(main.target.to_hex(), "18302c7ced166ee57f74276d81c3ee848817074575d2176b239fdd92f751c3ab");
    assert_eq!(main.timestamp(), Some(0x6b04_b47a));
    assert_eq!(summary.last_modified(), Some(0x6b04_b47b));
    assert_eq!(summary.metadata.get_str("ostree.summary.mode"), Some("archive-z2"));
    assert_eq!(summary.metadata.get("ostree.summary.indexed-deltas"), Some(&Value::Bool(true)));
    assert!(summary.get("mai").is_none() && summary.get("zzz").is_none());
    assert_eq!(summary.encode(Format::Ostree), bytes);
}

fn one(name: &str) -> Summary {
    let entry = SummaryRef {
        name: RefName::new(name).unwrap(),
        target: Id::new(ObjectId::from_bytes([7; 32])),
        commit_bytes: 300,
        metadata: Metadata::default(),
    };
    Summary { refs: vec![entry], metadata: Metadata::default() }
}

/// From the definition in `docs/FORMAT.md`.
#[test]
fn a_native_summary_is_what_the_format_says() {
    let expected = bytes_of(&format!("01 01 0161 {} ac02 020100 020100", "07".repeat(32)));
    assert_eq!(one("a").encode(Format::Native), expected);
    assert_eq!(Summary::default().encode(Format::Native), bytes_of("01 00 020100"));
    assert_eq!(Summary::decode(Format::Native, &expected).unwrap(), one("a"));
}

#[test]
fn every_truncation_and_extension_of_a_summary_is_refused() {
    for (format, bytes) in
        [(Format::Ostree, bytes_of(REAL)), (Format::Native, one("a").encode(Format::Native))]
    {
        for len in 0..bytes.len() {
            assert!(Summary::decode(format, &bytes[..len]).is_err(), "{format:?} cut to {len}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(Summary::decode(format, &longer).is_err(), "{format:?}");
    }
}

#[test]
fn malformed_summaries_are_refused() {
    let id = "07".repeat(32);
    for (what, hex) in [
        ("version", "02 00 020100".to_owned()),
        ("a number longer than needed", "01 8000 020100".to_owned()),
        ("a count past the end", "01 ffffffffffffffff01".to_owned()),
        ("a number past 64 bits", "01 ffffffffffffffffff02".to_owned()),
        ("a length past the end", "01 01 ffffffff0f61".to_owned()),
        ("not UTF-8", format!("01 01 01ff {id} 00 020100 020100")),
        ("dots", format!("01 01 022e2e {id} 00 020100 020100")),
        ("empty name", format!("01 01 00 {id} 00 020100 020100")),
        ("twice", format!("01 02 0161 {id} 00 020100 0161 {id} 00 020100 020100")),
        ("not sorted", format!("01 02 0162 {id} 00 020100 0161 {id} 00 020100 020100")),
        ("metadata of a wrong version", format!("01 01 0161 {id} 00 020900 020100")),
    ] {
        assert!(Summary::decode(Format::Native, &bytes_of(&hex)).is_err(), "{what}");
    }
    let mut unsorted = one("b");
    unsorted.refs.extend(one("a").refs);
    let mut twice = one("a");
    twice.refs.extend(one("a").refs);
    for bad in [unsorted, twice] {
        for format in [Format::Ostree, Format::Native] {
            assert!(Summary::decode(format, &bad.encode(format)).is_err());
        }
    }
    let renamed = |from: &[u8], to: &[u8]| {
        let bytes = one("abc").encode(Format::Ostree);
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = bytes;
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    for to in [b"../", b"a//", b"a\0c", b"\xff\xff\xff", b"-ab"] {
        assert!(Summary::decode(Format::Ostree, &renamed(b"abc", to)).is_err(), "{to:?}");
    }
}

fn summaries() -> impl Strategy<Value = Summary> {
    let value = prop_oneof![
        any::<u64>().prop_map(Value::U64),
        any::<bool>().prop_map(Value::Bool),
        "[a-z]{0,8}".prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
    ];
    let metadata = prop::collection::btree_map("[a-z]{1,6}", value, 0..4).prop_map(|map| {
        let mut metadata = Metadata::default();
        for (key, value) in map {
            metadata.set(&key, value);
        }
        metadata
    });
    let entry = (any::<[u8; 32]>(), any::<u64>(), metadata.clone());
    (prop::collection::btree_map("[a-z]{1,9}(/[a-z]{1,3})?", entry, 0..9), metadata).prop_map(
        |(refs, metadata)| {
            let mut refs: Vec<_> = refs
                .into_iter()
                .map(|(name, (id, commit_bytes, metadata))| SummaryRef {
                    name: RefName::new(&name).unwrap(),
                    target: Id::new(ObjectId::from_bytes(id)),
                    commit_bytes,
                    metadata,
                })
                .collect();
            refs.sort_by(|a, b| a.name.cmp(&b.name));
            Summary { refs, metadata }
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(summary in summaries()) {
        for format in [Format::Ostree, Format::Native] {
            let decoded = Summary::decode(format, &summary.encode(format));
            prop_assert_eq!(decoded.as_ref(), Ok(&summary));
        }
    }

    #[test]
    fn what_is_decoded_from_any_bytes_encodes_to_them(
        summary in summaries(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        for format in [Format::Ostree, Format::Native] {
            let mut bytes = summary.encode(format);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(decoded) = Summary::decode(format, &bytes) {
                prop_assert_eq!(decoded.encode(format), bytes);
            }
        }
    }
}
