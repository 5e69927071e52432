//! Tests of the GVariant module. Expected bytes and texts are what `GLib` 2.74 gives.
use super::{Layout, MAX_DEPTH, Reader, Type, Writer, check_normal_form, parse, print, print_swapped};

mod glib;
mod random;

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish()
}

#[test]
fn containers_of_empty_things_have_their_offsets() {
    let none: [&str; 0] = [];
    let cases: [(&str, Vec<u8>, &[u8]); 6] = [
        ("(asas)", written(|w| w.tuple(1, |w| (0..2).for_each(|_| w.strs(none)))), &[0]),
        ("aas", written(|w| w.array(1, |w| w.strs(none))), &[0]),
        ("aas", written(|w| w.array(1, |w| (0..2).for_each(|_| w.strs(none)))), &[0, 0]),
        ("ams", written(|w| w.array(1, |w| (0..2).for_each(|_| w.nothing(1)))), &[0, 0]),
        ("()", written(|w| w.tuple(1, |_| {})), &[0]),
        ("as", written(|w| w.strs(none)), &[]),
    ];
    for (signature, bytes, expected) in cases {
        assert_eq!(bytes, expected, "{signature}");
        check_normal_form(signature, &bytes).unwrap();
    }
    check_normal_form("(asas)", &[]).unwrap();
    check_normal_form("(ss)", &[]).unwrap_err();
}

#[test]
fn offsets_are_as_narrow_as_the_container_allows() {
    for (length, width) in [(250, 1), (254, 1), (255, 2), (65_533, 2), (65_534, 4)] {
        let bytes = written(|w| w.array(1, |w| w.bytes(&vec![7; length])));
        assert_eq!(bytes.len(), length + width, "{length}");
        check_normal_form("aay", &bytes).unwrap();
        let items: Vec<_> = Reader::new(&bytes).array(Layout::BYTES).unwrap().collect();
        assert_eq!(items.len(), 1);
    }
    // 253 bytes and a 2-byte offset would have fitted a 1-byte one.
    let wide = [&[7; 254][..], &254_u16.to_le_bytes()].concat();
    check_normal_form("aay", &wide).unwrap_err();
}

#[test]
fn types_are_parsed_and_laid_out() {
    for (signature, align, size) in [
        ("y", 1, Some(1)),
        ("(yt)", 8, Some(16)),
        ("(ty)", 8, Some(16)),
        ("(uuu)", 4, Some(12)),
        ("()", 1, Some(1)),
        ("a{sv}", 8, None),
        ("(uuua(ayay))", 4, None),
        ("{yy}", 1, Some(2)),
        ("mx", 8, None),
        ("(a{sv}aya(say)sstayay)", 8, None),
    ] {
        let parsed = Type::parse(signature).unwrap();
        assert_eq!((parsed.as_str(), parsed.layout()), (signature, Layout { align, size }));
    }
    let deep = |depth| format!("{}y", "a".repeat(depth));
    Type::parse(&deep(MAX_DEPTH - 1)).unwrap();
    let long = format!("({})", "y".repeat(1023));
    for bad in [
        "",
        "z",
        "a",
        "m",
        "(",
        "(y",
        ")",
        "yy",
        "{vs}",
        "{s}",
        "{svs}",
        "{(s)v}",
        "*",
        "r",
        "a?",
        "é",
        &deep(MAX_DEPTH),
        &long,
    ] {
        assert!(Type::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn values_nested_deeper_than_the_limit_are_refused() {
    let nested = |depth: usize| {
        let mut bytes = vec![0, b'('];
        bytes.insert(0, 0);
        bytes.push(b')');
        (0..depth).for_each(|_| bytes.extend([0, b'v']));
        bytes
    };
    check_normal_form("v", &nested(100)).unwrap();
    check_normal_form("v", &nested(MAX_DEPTH)).unwrap_err();
    check_normal_form("v", &nested(100_000)).unwrap_err();
    print("v", &nested(100_000)).unwrap_err();
}

#[test]
fn malformed_values_are_refused() {
    let many = [&[0; 257][..], &[0], b"(", "ay".repeat(130).as_bytes(), b")"].concat();
    for (signature, bytes) in [
        ("v", &many[..]),
        ("u", b"123"),
        ("u", b"12345"),
        ("b", &[2]),
        ("s", b""),
        ("s", b"text"),
        ("s", b"te\0xt\0"),
        ("s", b"\xff\0"),
        ("o", b"a\0"),
        ("o", b"/a/\0"),
        ("g", b"m\0"),
        ("v", b""),
        ("v", b"\0"),
        ("v", b"\0\0"),
        ("v", b"a\0as"),
        ("v", b"\0yy"),
        ("as", b"a\0\x05"),
        ("as", b"a\0\0\x02"),
        ("as", b"a\0b\0\x04\x02"),
        ("(ss)", b"a\0b\0\x05"),
        ("(ss)", b"a\0b\0\0"),
        ("(yu)", b"a\x01\0\0bcde"),
        ("(yu)", b"a\0\0\0bcd"),
        ("(uy)", b"abcdy\0\0\x01"),
        ("au", b"12345"),
        ("()", b""),
        ("()", b"\x01"),
        ("ms", b"a\0"),
        ("mu", b"123"),
        ("a{sv}", b"k\0\0\0\0\0\0\0v\0s\x02\x0b"),
        ("a{sv}", b"k\0\0\0\0\0\0\x01v\0\0s\x02\x0c"),
    ] {
        let error = check_normal_form(signature, bytes).unwrap_err();
        assert!(error.offset <= bytes.len(), "{signature} {bytes:?}: {error}");
        print(signature, bytes).unwrap_err();
    }
}

#[test]
fn text_is_as_glib_prints_it_and_is_read_back() {
    for (text, signature) in [
        ("'text'", "s"),
        ("\"it's\"", "s"),
        (r"'line\n\ttab\\ \u0001\u200b é 😀'", "s"),
        ("uint32 42", "u"),
        ("-7", "i"),
        ("byte 0x0a", "y"),
        ("int64 -9223372036854775808", "x"),
        ("uint64 18446744073709551615", "t"),
        ("int16 -3", "n"),
        ("uint16 65535", "q"),
        ("handle 1", "h"),
        ("2.5", "d"),
        ("1e+22", "d"),
        ("0.10000000000000001", "d"),
        ("100.0", "d"),
        ("true", "b"),
        ("objectpath '/a/b'", "o"),
        ("signature 'a{sv}'", "g"),
        ("['a', 'b']", "as"),
        ("@as []", "as"),
        ("[byte 0x01, 0x02]", "ay"),
        ("b'hi'", "ay"),
        (r"b'\001\377\\'", "ay"),
        ("[byte 0x61, 0x00, 0x00]", "ay"),
        ("@ay []", "ay"),
        ("@a{sv} {}", "a{sv}"),
        ("{'k': <1>, 'l': <'x'>}", "a{sv}"),
        ("{uint32 1: 2.5, 2: 3.0}", "a{ud}"),
        ("{'k', 1}", "{si}"),
        ("('a', 1)", "(si)"),
        ("(1,)", "(i)"),
        ("()", "()"),
        ("<<uint32 1>>", "v"),
        ("@ms 'x'", "ms"),
        ("@ms nothing", "ms"),
        ("@mmi just nothing", "mmi"),
        ("[@ai [], [1]]", "aai"),
    ] {
        let (parsed, bytes) = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parsed, signature, "{text}");
        check_normal_form(signature, &bytes).unwrap();
        assert_eq!(print(signature, &bytes).unwrap(), text);
    }
}

#[test]
fn text_may_say_types_anywhere() {
    for (text, printed) in [
        ("[1, byte 2]", "[byte 0x01, 0x02]"),
        ("[1, 2.0]", "[1.0, 2.0]"),
        ("@au [1, 0x10, 010]", "[uint32 1, 16, 8]"),
        ("@(yv) (1, <2>)", "(byte 0x01, <2>)"),
        ("[[], ['a']]", "[['a'], ['a']]"),
        ("just 1", "@mi 1"),
        ("[just 'a', nothing]", "[@ms 'a', nothing]"),
        (" { 'a' : 1 } ", "{'a': 1}"),
        ("'\\\n'", "''"),
        ("string 'a'", "'a'"),
    ] {
        let (signature, bytes) = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = printed.replace("[['a'],", "[@as [],");
        assert_eq!(print(&signature, &bytes).unwrap(), printed, "{text}");
    }
}

#[test]
fn text_that_is_no_value_is_refused() {
    let deep = "<".repeat(100_000);
    for text in [
        "",
        "[",
        "[]",
        "{",
        "{}",
        "nothing",
        "'a",
        "\"a",
        "b'a",
        "'\\u12'",
        "'\\ud800'",
        "'\\u0000'",
        "1 2",
        "byte 256",
        "byte -1",
        "int16 40000",
        "uint32 -1",
        "uint32 'a'",
        "@u 'a'",
        "@ 1",
        "@zz 1",
        "[1, 'a']",
        "(1",
        "{'a'}",
        "{'a': 1, 2}",
        "word",
        "-",
        "0x",
        "09",
        "@o 'a'",
        "@g 'm'",
        "1.5.2",
        "uint32 1.5",
        "<>",
        "@as [1]",
        &deep,
        "b'\\000'",
        "99999999999",
        "é",
    ] {
        let error = parse(text).err().unwrap_or_else(|| panic!("{text} was taken"));
        assert!(error.offset <= text.len(), "{text}");
    }
}

#[test]
fn numbers_are_printed_swapped_on_demand() {
    let (signature, bytes) = parse("(uint32 42, 'a', <uint64 1>, int16 1)").unwrap();
    let expected = "(uint32 704643072, 'a', <uint64 72057594037927936>, int16 256)";
    assert_eq!(print_swapped(&signature, &bytes).unwrap(), expected);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in r"[ -~]{0,30}|[\[\](){}<>,:@'bamsu0-9 ]{0,40}") {
        if let Ok((signature, bytes)) = parse(&text) {
            check_normal_form(&signature, &bytes).unwrap();
        }
    }
}
