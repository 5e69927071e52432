//! What GKeyFile's rules say, line by line.

use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> Keyfile {
    Keyfile::parse(text.as_bytes()).unwrap()
}

#[test]
fn the_configuration_of_a_new_repository_is_printed_byte_for_byte() {
    let text = "[core]\nrepo_version=1\nmode=archive-z2\n";
    assert_eq!(parsed(text).to_text(), text);
    let mut made = Keyfile::default();
    assert!(made.set("core", "repo_version", "1"));
    assert!(made.set("core", "mode", "archive-z2"));
    assert_eq!(made.to_text(), text);
}

#[test]
fn repeated_groups_are_merged_and_the_last_key_wins() {
    let file = parsed("[a]\nx=1\n[b]\nx=2\n[a]\nx=3\ny=4\n");
    assert_eq!(file.raw("a", "x"), Some("3"));
    assert_eq!(file.groups().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(file.keys("a").collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(file.raw("A", "x"), None);
}

#[test]
fn values_keep_quotes_hashes_and_semicolons() {
    let file = parsed(
        "# c\n[remote \"x\"]\nurl=https://e.org/a#b;c\nq=\"quoted\"\n sp = \t v w \ncr=1\r\nlc[de_DE]=x\n",
    );
    let get = |key| file.raw("remote \"x\"", key);
    assert_eq!(get("url"), Some("https://e.org/a#b;c"));
    assert_eq!(get("q"), Some("\"quoted\""));
    assert_eq!(get("sp"), Some("v w "));
    assert_eq!(get("cr"), Some("1"));
    assert_eq!(get("lc[de_DE]"), Some("x"));
}

#[test]
fn escapes_are_decoded_by_get_and_lists_alone() {
    let file = parsed("[g]\nt=\\sa\\nb\\tc\\rd\\\\e\\xf\nl=a;b\\;c;\\sd;;e\nend=a;b;\nempty=\n");
    assert_eq!(file.raw("g", "t"), Some("\\sa\\nb\\tc\\rd\\\\e\\xf"));
    assert_eq!(file.get("g", "t").as_deref(), Some(" a\nb\tc\rd\\e\\xf"));
    assert_eq!(file.get_list("g", "l").unwrap(), ["a", "b;c", " d", "", "e"]);
    assert_eq!(file.get_list("g", "end").unwrap(), ["a", "b"]);
    assert!(file.get_list("g", "empty").unwrap().is_empty());
}

#[test]
fn booleans_have_six_spellings() {
    let file = parsed("[g]\na=yes\nb=true\nc=1\nd=no\ne=false\nf=0 \ng=maybe\n");
    let get = |key| file.get_bool("g", key);
    for key in ["a", "b", "c"] {
        assert_eq!(get(key), Some(Ok(true)));
    }
    for key in ["d", "e", "f"] {
        assert_eq!(get(key), Some(Ok(false)));
    }
    assert_eq!(get("g"), Some(Err("maybe".to_owned())));
    assert_eq!(get("none"), None);
}

#[test]
fn setting_a_key_touches_one_line() {
    let mut file = parsed("# top\n[a]\n# of x\nx = 1\n\n[b]\ny=2");
    file.set("a", "x", "9");
    file.set("a", "z", " s");
    file.set("b", "w", "3");
    file.set_list("c", "l", &["p;q", "r"]);
    assert_eq!(file.to_text(), "# top\n[a]\n# of x\nx=9\nz=\\ss\n\n[b]\ny=2\nw=3\n\n[c]\nl=p\\;q;r;\n");
    assert_eq!(file.get_list("c", "l").unwrap(), ["p;q", "r"]);
    assert!(file.remove("a", "x") && !file.remove("a", "x"));
    assert!(file.remove_group("b") && !file.remove_group("b"));
    assert_eq!(file.to_text(), "# top\n[a]\n# of x\nz=\\ss\n\n[c]\nl=p\\;q;r;\n");
}

#[test]
fn names_that_would_break_the_file_are_not_set() {
    let mut file = Keyfile::default();
    for (group, key) in
        [("a]\n[b", "k"), ("", "k"), ("g", ""), ("g", "k=v"), ("g", "k\nx"), ("g", " k"), ("g", "#k")]
    {
        assert!(!file.set(group, key, "v"), "{group:?} {key:?}");
    }
    assert_eq!(file, Keyfile::default());
}

#[test]
fn malformed_files_are_refused_with_their_line() {
    let table: [(&[u8], usize); 13] = [
        (b"k=v\n", 1),
        (b"[a]\nno value\n", 2),
        (b"[a\nk=v\n", 1),
        (b"[]\n", 1),
        (b"[a]b\n", 1),
        (b"[a[b]\n", 1),
        (b"[a]\n=v\n", 2),
        (b"[a]\n[b\n", 2),
        (b"[a]\nk[=v\n", 2),
        (b"[a]\nk[]=v\n", 2),
        (b"[a]\nk=\xff\n", 0),
        (b"[a]\nk=\0\n", 0),
        (&vec![b'#'; Keyfile::MAX_BYTES + 1], 0),
    ];
    for (bytes, line) in table {
        let shown = String::from_utf8_lossy(bytes.get(..20).unwrap_or(bytes)).into_owned();
        assert_eq!(Keyfile::parse(bytes).unwrap_err().line, line, "{shown:?}");
    }
}

proptest! {
    #[test]
    fn what_parses_prints_as_it_was(
        lines in prop::collection::vec("(\\[[a-z \"]{1,4}\\]|[a-z]{1,3} ?= ?.{0,9}|#.{0,5}|[ \t]*)(\r?\n)", 0..12),
        tail in "(#x)?",
    ) {
        let text = lines.concat() + &tail;
        if let Ok(file) = Keyfile::parse(text.as_bytes()) {
            prop_assert_eq!(file.to_text(), text);
        }
    }

    #[test]
    fn any_text_that_is_set_is_got_again_from_the_printed_file(
        before in "(# c\n)?\\[g\\]\n(a=b\n){0,2}", key in "[a-z]{1,5}", value in "[^\0\x0c]{0,30}",
        list in prop::collection::vec("[^\0\x0c]{1,9}", 0..5),
    ) {
        let mut file = parsed(&before);
        prop_assert!(file.set("g", &key, &value));
        prop_assert!(file.set_list("h", &key, &list.iter().map(String::as_str).collect::<Vec<_>>()));
        let again = parsed(&file.to_text());
        prop_assert_eq!(again.get("g", &key), Some(value));
        prop_assert_eq!(again.get_list("h", &key), Some(list));
        prop_assert_eq!(again, file);
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Keyfile::parse(&bytes));
    }
}
