//! Expected values were taken from `ostree admin deploy` 2022.7 where it has the operation.

use super::KargEdit::{Append, AppendIfMissing, Delete, DeleteIfPresent, Replace, Set};
use super::*;
use proptest::prelude::*;

fn edited(line: &str, edit: KargEdit) -> Result<String, KargError> {
    let mut args = Kargs::parse(line);
    args.edit(&[edit])?;
    Ok(args.to_string())
}

#[test]
fn quotes_protect_blanks() {
    let args = Kargs::parse("  root=/dev/x\tq=\"a b\" \"x y\"=z quiet \n");
    assert_eq!(args.iter().collect::<Vec<_>>(), ["root=/dev/x", "q=\"a b\"", "\"x y\"=z", "quiet"]);
    assert_eq!(Kargs::parse("a \"b c").iter().collect::<Vec<_>>(), ["a", "\"b c"]);
    assert!(Kargs::parse(" ").is_empty());
}

#[test]
fn arguments_change_as_ostree_changes_them() {
    let line = "root=/dev/x q=\"a b\" quiet ostree=/o";
    let table = [
        (line, Set("zz=1".into()), "root=/dev/x q=\"a b\" quiet ostree=/o zz=1"),
        (line, Set("root=/dev/y".into()), "root=/dev/y q=\"a b\" quiet ostree=/o"),
        ("root=/dev/y a zz=1 root=/dev/z", Set("root=/dev/w".into()), "root=/dev/w a zz=1"),
        ("a", Append("root=/dev/q r".into()), "a root=/dev/q r"),
        ("a", Append("empty=".into()), "a empty="),
        ("quiet a quiet", Delete("quiet".into()), "a quiet"),
        ("a=1 b a=2", Delete("a=2".into()), "a=1 b"),
        ("a empty= b", Delete("empty".into()), "a b"),
        ("a=1 b", AppendIfMissing("a=1".into()), "a=1 b"),
        ("a=1 b", AppendIfMissing("a=2".into()), "a=1 b"),
        ("a=1 b", AppendIfMissing("c=2".into()), "a=1 b c=2"),
        ("a=1 b", Replace("a=2".into()), "a=2 b"),
        ("a=1 b a=2", Replace("a=2=3".into()), "a=1 b a=3"),
        ("root=x", Replace("root=UUID=1".into()), "root=UUID=1"),
        ("a", DeleteIfPresent("b".into()), "a"),
        ("a=1", DeleteIfPresent("a=2".into()), "a=1"),
        ("a=1", DeleteIfPresent("a".into()), ""),
    ];
    for (line, edit, expected) in table {
        assert_eq!(edited(line, edit.clone()).as_deref(), Ok(expected), "{edit:?} on {line}");
    }
}

#[test]
fn a_change_that_is_not_clear_is_refused() {
    let no_key = |key: &str| KargError::NoKey { key: key.into() };
    let ambiguous = |key: &str, count| KargError::Ambiguous { key: key.into(), count };
    let malformed = |argument: &str, what| KargError::Malformed { argument: argument.into(), what };
    let table = [
        ("a", Delete("nope".into()), no_key("nope")),
        ("root=1 root=2", Delete("root".into()), ambiguous("root", 2)),
        ("zz=1", Delete("zz=".into()), KargError::NoValue { argument: "zz=".into() }),
        ("a", Replace("b=1".into()), no_key("b")),
        ("a=1 a=2", Replace("a=3".into()), ambiguous("a", 2)),
        ("a", Append(String::new()), malformed("", "it is empty")),
        ("a", Append("x\nlinux /evil".into()), malformed("x\nlinux /evil", "it has a control character")),
        ("a", Append("x=\"y".into()), malformed("x=\"y", "a quote is not closed")),
        ("a", Append("=y".into()), malformed("=y", "it has no key")),
    ];
    for (line, edit, expected) in table {
        assert_eq!(edited(line, edit), Err(expected));
    }
}

#[test]
fn a_refused_change_takes_back_those_before_it() {
    let mut args = Kargs::parse("a");
    assert!(args.edit(&[Append("b".into()), Delete("c".into())]).is_err());
    assert_eq!(args.to_string(), "a");
}

#[test]
fn what_boot_loaders_add_is_not_taken_over() {
    let args = Kargs::parse_proc_cmdline(b"BOOT_IMAGE=(hd0)/v root=/dev/x initrd=/i ro\n");
    assert_eq!(args.to_string(), "root=/dev/x ro");
}

proptest! {
    #[test]
    fn any_line_keeps_its_arguments_when_written_and_read(line in "[a-c=\" \t]{0,40}") {
        let args = Kargs::parse(&line);
        prop_assert_eq!(Kargs::parse(&args.to_string()), args);
    }

    #[test]
    fn any_edit_of_any_line_returns(line in ".{0,40}", text in ".{0,20}", kind in 0..6_u8) {
        let make = [Set, Append, AppendIfMissing, Replace, Delete, DeleteIfPresent];
        if let Some(make) = make.get(usize::from(kind)) {
            drop(edited(&line, make(text)));
        }
    }
}
