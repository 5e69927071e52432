//! The laws of refs, on bare directories: no objects are needed.

use super::edit::{PreparedRefs, RefTxn, RefWriting};
use super::read::{alias_link, parse_alias, parse_file};
use super::*;
use crate::{CollectionId, Error, Result};
use cap_tempfile::TempDir;
use proptest::prelude::*;
use sapwood_fsio::lock::Wait;
use sapwood_fsio::{Dir, fault};
use sapwood_objstore::ObjectId;
use std::collections::{BTreeMap, BTreeSet};

fn directory() -> TempDir {
    cap_tempfile::tempdir(cap_tempfile::ambient_authority()).unwrap()
}

fn id(n: u8) -> Id<Commit> {
    Id::new(ObjectId::from_bytes([n; 32]))
}

fn spec(text: &str) -> Refspec {
    Refspec::parse(text).unwrap()
}

fn set(name: &str, n: u8) -> RefEdit {
    RefEdit::Set { name: spec(name), expected: Expected::Any, target: id(n) }
}

fn delete(name: &str) -> RefEdit {
    RefEdit::Delete { name: spec(name), expected: Expected::Any }
}

fn alias(name: &str, of: &str) -> RefEdit {
    RefEdit::Alias { name: RefName::new(name).unwrap(), of: RefName::new(of).unwrap() }
}

const REFLOG: &str = "extensions/sapwood/reflog";

const WRITING: RefWriting = RefWriting { fsync: true, lock_wait: Some(Wait::No) };

fn prepare(dir: &TempDir, edits: Vec<RefEdit>) -> Result<PreparedRefs<'_>> {
    RefTxn::new(dir, WRITING, edits).prepare(&|| Ok(()), &|_| Ok(()))
}

fn edit(dir: &TempDir, edits: Vec<RefEdit>) -> Result<()> {
    prepare(dir, edits)?.commit()
}

/// All refs as text: `name=first byte`, and `name>other` for an alias.
fn shown(dir: &TempDir) -> Vec<String> {
    let all = RefDb::new(dir).list().unwrap();
    let text = |entry: RefEntry| match entry.alias_of {
        Some(of) => format!("{}>{of}", entry.name),
        None => format!("{}={}", entry.name, entry.target.raw().as_bytes()[0]),
    };
    all.into_iter().map(text).collect()
}

#[test]
fn a_ref_is_a_file_with_its_id_and_a_newline() {
    let dir = directory();
    edit(&dir, vec![set("os/x86_64/stable", 0xab), set("origin:os", 2)]).unwrap();
    let read = |path: &str| dir.read_to_string(path).unwrap();
    assert_eq!(read("refs/heads/os/x86_64/stable"), format!("{}\n", "ab".repeat(32)));
    assert_eq!(read("refs/remotes/origin/os"), format!("{}\n", "02".repeat(32)));
    assert_eq!(sapwood_fsio::stat(&dir, "refs/heads/os/x86_64/stable").unwrap().mode, 0o644);
    assert_eq!(RefDb::new(&dir).target(&spec("os/x86_64/stable")).unwrap(), Some(id(0xab)));
    assert_eq!(RefDb::new(&dir).target(&spec("os")).unwrap(), None);
    assert_eq!(RefDb::new(&dir).target(&spec("os/x86_64/stable/more")).unwrap(), None);
    assert_eq!(dir.entries().unwrap().count(), 4, "tmp, refs, the lock and the log of moves");
    assert_eq!(dir.read_dir("tmp").unwrap().count(), 0);
}

#[test]
fn an_alias_is_a_relative_symlink_that_follows_its_ref() {
    let dir = directory();
    edit(&dir, vec![set("a/b", 1), alias("a/first", "a/b"), alias("x/y/z", "a/first")]).unwrap();
    assert_eq!(sapwood_fsio::read_link(&dir, "refs/heads/x/y/z").unwrap(), b"../../a/first");
    assert_eq!(shown(&dir), ["a/b=1", "a/first>a/b", "x/y/z>a/first"]);
    edit(&dir, vec![set("a/b", 2)]).unwrap();
    assert_eq!(RefDb::new(&dir).target(&spec("x/y/z")).unwrap(), Some(id(2)));
    let aliased = edit(&dir, vec![delete("a/b")]).unwrap_err();
    assert!(matches!(&aliased, Error::HasAlias { alias, .. } if alias == "a/first"), "{aliased}");
    assert!(matches!(edit(&dir, vec![alias("n", "nothing")]), Err(Error::UnknownRevision { .. })));
    assert!(matches!(edit(&dir, vec![alias("a/b", "x/y/z")]), Err(Error::MalformedRef { .. })), "a cycle");
    // What an alias followed stays when the alias becomes a ref of its own, or goes.
    edit(&dir, vec![set("a/first", 7), delete("x/y/z")]).unwrap();
    assert_eq!(shown(&dir), ["a/b=2", "a/first=7"]);
    assert!(!dir.exists("refs/heads/x"));
    // With the alias the ref can go too.
    edit(&dir, vec![alias("l", "a/b")]).unwrap();
    edit(&dir, vec![delete("a/b"), delete("l")]).unwrap();
    assert_eq!(shown(&dir), ["a/first=7"]);
}

#[test]
fn edits_are_checked_on_what_those_before_them_leave() {
    let dir = directory();
    let at =
        |name: &str, n, to| RefEdit::Set { name: spec(name), expected: Expected::At(id(n)), target: id(to) };
    let absent =
        |name: &str, to| RefEdit::Set { name: spec(name), expected: Expected::Absent, target: id(to) };
    edit(&dir, vec![absent("a", 1), at("a", 1, 2)]).unwrap();
    assert_eq!(shown(&dir), ["a=2"]);
    for edits in [
        vec![absent("a", 3)],
        vec![at("a", 1, 3)],
        vec![at("b", 1, 3)],
        vec![set("c", 1), at("a", 9, 3)],
        vec![RefEdit::Delete { name: spec("a"), expected: Expected::At(id(1)) }],
    ] {
        assert!(matches!(edit(&dir, edits), Err(Error::RefMoved { .. })));
        assert_eq!(shown(&dir), ["a=2"], "no other edit of a refused transaction may be made");
    }
    let txn = || RefTxn::new(&dir, WRITING, vec![set("z", 1)]);
    assert!(txn().prepare(&|| Ok(()), &|id| Err(Error::NoParent { id })).is_err());
    assert!(txn().prepare(&|| Err(Error::OwnStatement), &|_| Ok(())).is_err());
    assert_eq!(shown(&dir), ["a=2"]);
    // Where it was, or where it is to be.
    let still = |from: Option<u8>, to| RefEdit::Set {
        name: spec("a"),
        expected: Expected::Still(from.map(id)),
        target: id(to),
    };
    for from in [None, Some(1)] {
        assert!(matches!(edit(&dir, vec![still(from, 3)]), Err(Error::RefMoved { .. })), "{from:?}");
        edit(&dir, vec![still(from, 2)]).unwrap();
    }
    edit(&dir, vec![still(Some(2), 3)]).unwrap();
    assert_eq!(shown(&dir), ["a=3"]);
}

#[test]
fn no_ref_is_a_directory_of_another() {
    let dir = directory();
    edit(&dir, vec![set("a/b/c", 1)]).unwrap();
    for edits in [
        vec![set("a", 2)],
        vec![set("a/b", 2)],
        vec![set("a/b/c/d", 2)],
        vec![set("x", 1), set("x/y", 1)],
        vec![set("x/y", 1), alias("x", "a/b/c")],
    ] {
        assert!(matches!(edit(&dir, edits), Err(Error::RefConflict { .. })));
        assert_eq!(shown(&dir), ["a/b/c=1"]);
    }
    edit(&dir, vec![delete("a/b/c"), set("a", 2)]).unwrap();
    assert_eq!(shown(&dir), ["a=2"]);
    edit(&dir, vec![set("a/b", 3), delete("a")]).unwrap();
    assert_eq!(shown(&dir), ["a/b=3"]);
    dir.create_dir_all("refs/heads/empty/tree").unwrap();
    edit(&dir, vec![set("empty", 4)]).unwrap();
    assert_eq!(shown(&dir), ["a/b=3", "empty=4"]);
    dir.create_dir_all("refs/heads/odd").unwrap();
    dir.write("refs/heads/odd/.no ref", "").unwrap();
    assert!(matches!(edit(&dir, vec![set("odd", 4)]), Err(Error::RefConflict { .. })));
}

#[test]
fn malformed_refs_are_errors_that_name_them() {
    let good = "0".repeat(64);
    let table: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("short", b"0123\n"),
        ("upper", &[b'A'; 64]),
        ("long", &[b'0'; 65]),
        ("two", &[good.as_bytes(), b" x\n"].concat()),
        ("before", &[b"\n", good.as_bytes()].concat()),
        ("binary", &[0xff; 64]),
        ("huge", &vec![b'0'; 100_000]),
    ];
    for (name, content) in table {
        let dir = directory();
        dir.create_dir_all("refs/heads").unwrap();
        dir.write(format!("refs/heads/{name}"), content).unwrap();
        let error = RefDb::new(&dir).target(&spec(name)).unwrap_err();
        assert!(
            matches!(&error, Error::MalformedRef { name: found } if *found == spec(name)),
            "{name}: {error}"
        );
        assert!(RefDb::new(&dir).list().is_err(), "{name}");
    }
}

#[test]
fn what_leads_nowhere_can_be_replaced_and_removed_and_is_in_nobodys_way() {
    type Make = fn(&Dir);
    let file: Make = |dir| dir.write("refs/heads/bad", "garbage").unwrap();
    let link: Make = |dir| dir.symlink("../remotes/o/x", "refs/heads/bad").unwrap();
    let pipe: Make = |dir| {
        use rustix::fs::{FileType, Mode, mknodat};
        mknodat(dir, "refs/heads/bad", FileType::Fifo, Mode::RUSR, 0).unwrap();
    };
    for make in [file, link, pipe] {
        let dir = directory();
        edit(&dir, vec![set("good", 1), set("x/y", 2), alias("follows", "good")]).unwrap();
        make(&dir);
        let (good, broken) = RefDb::new(&dir).survey().unwrap();
        assert_eq!((good.len(), broken), (3, vec![BrokenRef { name: spec("bad"), alias_of: None }]));
        // Others move and go.
        edit(&dir, vec![set("good", 3), delete("x/y"), set("new", 4)]).unwrap();
        assert!(matches!(edit(&dir, vec![delete("good")]), Err(Error::HasAlias { .. })));
        // Nothing is built upon it.
        for expected in [Expected::Absent, Expected::At(id(1)), Expected::Still(None)] {
            let on_it = RefEdit::Set { name: spec("bad"), expected, target: id(5) };
            assert!(matches!(edit(&dir, vec![on_it]), Err(Error::MalformedRef { .. })), "{expected:?}");
        }
        assert!(matches!(edit(&dir, vec![set("bad/below", 5)]), Err(Error::RefConflict { .. })));
        edit(&dir, vec![delete("bad")]).unwrap();
        assert_eq!(shown(&dir), ["follows>good", "good=3", "new=4"]);
        make(&dir);
        edit(&dir, vec![set("bad", 6)]).unwrap();
        assert_eq!(shown(&dir), ["bad=6", "follows>good", "good=3", "new=4"]);
        edit(&dir, vec![delete("bad")]).unwrap();
        make(&dir);
        edit(&dir, vec![alias("bad", "new")]).unwrap();
        assert_eq!(shown(&dir), ["bad>new", "follows>good", "good=3", "new=4"]);
    }
}

#[test]
fn a_symlink_never_leads_out_of_the_tree_of_refs() {
    for link in [
        "/etc/passwd",
        "../../config",
        "../../../x",
        "..",
        ".",
        "",
        "a//b",
        "sub/../../../x",
        "../remotes/o/x",
    ] {
        assert_eq!(parse_alias(&RefName::new("n").unwrap(), link.as_bytes()), None, "{link}");
        let dir = directory();
        dir.create_dir_all("refs/heads").unwrap();
        dir.create_dir_all("refs/remotes/o").unwrap();
        dir.write("refs/remotes/o/x", "0".repeat(64)).unwrap();
        if !link.is_empty() {
            std::os::unix::fs::symlink(link, format!("/proc/self/fd/{}/refs/heads/n", fd(&dir))).unwrap();
            assert!(RefDb::new(&dir).target(&spec("n")).is_err(), "{link}");
        }
    }
    let dir = directory();
    dir.create_dir_all("refs/heads").unwrap();
    dir.create_dir_all("elsewhere").unwrap();
    dir.write("elsewhere/x", "0".repeat(64)).unwrap();
    sapwood_fsio::symlink("../../../outside", &dir, "refs/heads/out").unwrap();
    sapwood_fsio::symlink("b", &dir, "refs/heads/a").unwrap();
    sapwood_fsio::symlink("a", &dir, "refs/heads/b").unwrap();
    for name in ["out/x", "out", "a"] {
        assert!(RefDb::new(&dir).target(&spec(name)).is_err(), "{name}");
    }
    sapwood_fsio::remove_file(&dir, "refs/heads/out").unwrap();
    assert!(RefDb::new(&dir).list().is_err(), "a cycle of aliases");
}

fn fd(dir: &TempDir) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(&**dir)
}

#[test]
fn files_that_no_ref_can_be_called_and_dangling_aliases_are_not_listed() {
    let dir = directory();
    edit(&dir, vec![set("a", 1), set("o:r", 2)]).unwrap();
    dir.write("refs/heads/.hidden", "x").unwrap();
    dir.write("refs/heads/a b", "x").unwrap();
    dir.create_dir_all("refs/remotes/-bad").unwrap();
    dir.write("refs/remotes/-bad/r", "x").unwrap();
    sapwood_fsio::symlink("gone", &dir, "refs/heads/dangling").unwrap();
    assert_eq!(shown(&dir), ["a=1", "o:r=2"]);
    assert!(RefDb::new(&dir).list_mirrors().unwrap().is_empty());
    dir.create_dir_all("refs/mirrors/org.example.Os/x").unwrap();
    dir.write("refs/mirrors/org.example.Os/x/y", format!("{}\n", id(5))).unwrap();
    let mirrors = RefDb::new(&dir).list_mirrors().unwrap();
    let mirror =
        Refspec::mirrored(CollectionId::new("org.example.Os").unwrap(), RefName::new("x/y").unwrap());
    assert_eq!(mirrors, [RefEntry { name: mirror.clone(), target: id(5), alias_of: None }]);
    edit(&dir, vec![RefEdit::Delete { name: mirror, expected: Expected::At(id(5)) }]).unwrap();
    assert_eq!(dir.read_dir("refs/mirrors").unwrap().count(), 0, "the directories go with their last ref");
}

#[test]
fn who_holds_the_lock_is_waited_for() {
    let dir = directory();
    let first = prepare(&dir, vec![set("a", 1)]).unwrap();
    assert!(matches!(prepare(&dir, vec![set("a", 2)]), Err(Error::Lock(_))));
    drop(first);
    assert_eq!(shown(&dir), Vec::<String>::new(), "a prepared transaction that is dropped changes nothing");
    edit(&dir, vec![set("a", 2)]).unwrap();
}

#[test]
fn a_crash_at_any_step_leaves_each_ref_old_or_new_and_the_retry_succeeds() {
    let edits =
        || vec![set("a/b", 2), delete("gone/x"), set("new/deep/er", 3), alias("al", "a/b"), set("o:r", 4)];
    for step in 1.. {
        let dir = directory();
        edit(&dir, vec![set("a/b", 1), set("gone/x", 1), set("stays", 9)]).unwrap();
        let run = fault::crash_at(step, || edit(&dir, edits()));
        let target = |name: &str| RefDb::new(&dir).target(&spec(name)).unwrap();
        assert!([Some(id(1)), Some(id(2))].contains(&target("a/b")), "step {step}");
        assert!([Some(id(1)), None].contains(&target("gone/x")), "step {step}");
        assert!([None, Some(id(3))].contains(&target("new/deep/er")), "step {step}");
        assert!([None, Some(id(4))].contains(&target("o:r")), "step {step}");
        assert_eq!(target("stays"), Some(id(9)));
        assert_eq!(run.fired, run.value.is_err(), "step {step}");
        edit(&dir, edits()).unwrap();
        assert_eq!(shown(&dir), ["a/b=2", "al>a/b", "new/deep/er=3", "stays=9", "o:r=4"]);
        if !run.fired {
            break;
        }
    }
}

/// Refs, edits of them, and what they become.
type Case = (Vec<RefEdit>, fn() -> Vec<RefEdit>, &'static [&'static str]);

fn cases_with_aliases() -> Vec<Case> {
    let chain = || vec![set("a", 1), alias("z/1", "a"), alias("m", "z/1"), set("x", 9)];
    vec![
        (chain(), || vec![delete("a"), delete("m"), delete("z/1")], &["x=9"]),
        (chain(), || vec![set("a/b", 2), delete("a"), delete("m"), delete("z/1")], &["a/b=2", "x=9"]),
        (
            chain(),
            || vec![set("n/w", 2), alias("z/1", "n/w"), delete("a")],
            &["m>z/1", "n/w=2", "x=9", "z/1>n/w"],
        ),
        (
            vec![set("x", 9)],
            || vec![set("n/w", 2), alias("m", "n/w"), alias("b", "m")],
            &["b>m", "m>n/w", "n/w=2", "x=9"],
        ),
    ]
}

#[test]
fn no_alias_leads_nowhere_at_any_moment_and_the_log_has_what_was_done() {
    type Fault = fn(u64, &dyn Fn() -> Result<()>) -> fault::Run<Result<()>>;
    let faults: [(&str, Fault); 2] = [
        ("crash", |step, run| fault::crash_at(step, run)),
        ("disk error", |step, run| fault::fail_at(step, fault::Failure::Io, run)),
    ];
    for (case, (before, edits, after)) in cases_with_aliases().into_iter().enumerate() {
        for (what, fault) in faults {
            for step in 1.. {
                let dir = directory();
                edit(&dir, before.clone()).unwrap();
                sapwood_fsio::remove_file(&dir, REFLOG).unwrap();
                let old = shown(&dir);
                let run = fault(step, &|| edit(&dir, edits()));
                let told = format!("case {case}, {what} at {step}");
                assert_eq!(RefDb::new(&dir).survey().unwrap().1, [], "{told}");
                // After a crash nothing is written, and a log that cannot be written is no failure.
                if what != "crash" && run.value.is_err() {
                    let now = shown(&dir);
                    let moved = old.iter().filter(|entry| !now.contains(entry));
                    let moved: BTreeSet<_> = moved
                        .chain(now.iter().filter(|entry| !old.contains(entry)))
                        .map(|entry| entry.split(['=', '>']).next().unwrap().to_owned())
                        .collect();
                    let log = sapwood_fsio::read_optional(&dir, REFLOG, 10_000).unwrap().unwrap_or_default();
                    let log = String::from_utf8(log).unwrap();
                    let told_of =
                        log.lines().map(|line| crate::RefMove::parse(line).unwrap().name.to_string());
                    assert_eq!(told_of.collect::<BTreeSet<_>>(), moved, "{told}");
                }
                edit(&dir, edits()).unwrap();
                assert_eq!(shown(&dir), after, "{told}");
                if !run.fired {
                    break;
                }
            }
        }
    }
}

#[test]
fn what_an_alias_follows_goes_when_the_alias_is_durably_gone() {
    let dir = directory();
    edit(&dir, vec![set("a/b", 1), alias("z/1", "a/b"), alias("z/2", "a/b")]).unwrap();
    let (done, calls) = fault::record(|| edit(&dir, vec![delete("a/b"), delete("z/1"), delete("z/2")]));
    done.unwrap();
    let ops: Vec<_> = calls.iter().map(|call| call.op).collect();
    let unlinks: Vec<_> = (0..ops.len()).filter(|at| ops[*at] == fault::Op::Unlink).collect();
    let [one, two, target] = unlinks[..] else { panic!("{ops:?}") };
    assert!(!ops[one..two].contains(&fault::Op::Fsync), "both aliases at once");
    assert!(ops[two..target].contains(&fault::Op::Fsync));
}

#[test]
fn an_alias_goes_before_what_it_follows_whatever_their_names() {
    for step in 1.. {
        let dir = directory();
        let edits = vec![set("m", 1), set("stays", 9), alias("a", "m"), alias("z", "m")];
        edit(&dir, edits).unwrap();
        let run = fault::crash_at(step, || edit(&dir, vec![delete("m"), delete("z"), delete("a")]));
        for name in ["a", "z"] {
            let stored = RefDb::new(&dir).stored(&spec(name)).unwrap();
            let target = RefDb::new(&dir).target(&spec("m")).unwrap();
            assert!(stored == Stored::Absent || target == Some(id(1)), "step {step}: {name} leads nowhere");
        }
        if !run.fired {
            assert_eq!(shown(&dir), ["stays=9"]);
            break;
        }
    }
}

#[test]
fn a_failing_disk_is_reported_and_leaves_nothing_half_written() {
    for failure in [fault::Failure::NoSpace, fault::Failure::Io] {
        for step in 1.. {
            let dir = directory();
            edit(&dir, vec![set("a", 1)]).unwrap();
            let run = fault::fail_at(step, failure, || edit(&dir, vec![set("a", 2), set("b/c", 2)]));
            assert!(RefDb::new(&dir).list().is_ok(), "step {step}");
            edit(&dir, vec![set("a", 2), set("b/c", 2)]).unwrap();
            assert_eq!(shown(&dir), ["a=2", "b/c=2"]);
            if !run.fired {
                break;
            }
        }
    }
}

#[test]
fn a_ref_is_synced_before_it_has_its_name_and_its_directory_after() {
    let dir = directory();
    let (done, calls) = fault::record(|| edit(&dir, vec![set("a/b", 1)]));
    done.unwrap();
    let position = |op: fault::Op, file| calls.iter().position(|call| call.op == op && (file == call.file));
    let rename = calls.iter().position(|call| call.op == fault::Op::Rename).unwrap();
    let file = calls[rename].file;
    assert!(position(fault::Op::Fsync, file).unwrap() < rename);
    let directory = calls[rename].dir;
    let sync = calls.iter().rposition(|call| call.op == fault::Op::Fsync && call.file == directory).unwrap();
    assert!(sync > rename);
}

proptest! {
    #[test]
    fn transactions_are_a_map_with_compare_and_swap(
        txns in prop::collection::vec(
            prop::collection::vec((0_usize..6, 0_u8..8, prop::option::of(1_u8..4)), 1..4), 1..12),
    ) {
        // Names that stand in each other's way, and some that do not.
        const NAMES: [&str; 6] = ["a", "a/b", "a/b/c", "d", "d/e", "r:a"];
        let dir = directory();
        let mut model: BTreeMap<&str, u8> = BTreeMap::new();
        for txn in txns {
            let mut next = model.clone();
            let mut good = true;
            let mut edits = Vec::new();
            for (name, expected, target) in txn {
                let name = NAMES[name];
                let wanted = match expected {
                    0 => Expected::Any,
                    1 => Expected::Absent,
                    n @ 2..=3 => Expected::At(id(n - 1)),
                    4 => Expected::Still(None),
                    n => Expected::Still(Some(id(n - 4))),
                };
                let found = next.get(name).copied();
                good &= match wanted {
                    Expected::Any => true,
                    Expected::Absent => found.is_none(),
                    Expected::At(_) => found == Some(expected - 1),
                    Expected::Still(_) => found == (expected > 4).then(|| expected - 4) || found == target,
                };
                if let Some(n) = target {
                    next.insert(name, n);
                    edits.push(RefEdit::Set { name: spec(name), expected: wanted, target: id(n) });
                } else {
                    next.remove(name);
                    edits.push(RefEdit::Delete { name: spec(name), expected: wanted });
                }
            }
            good &= next.keys().all(|a| next.keys().all(|b| {
                !b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'))
            }));
            prop_assert_eq!(edit(&dir, edits).is_ok(), good);
            if good {
                model = next;
            }
            let expected: Vec<String> = {
                let mut all: Vec<_> = model.iter().map(|(name, n)| (spec(name), *n)).collect();
                all.sort();
                all.into_iter().map(|(name, n)| format!("{name}={n}")).collect()
            };
            prop_assert_eq!(shown(&dir), expected);
        }
    }

    #[test]
    fn an_alias_link_leads_to_its_ref(a in "[a-c](/[a-c]){0,3}", b in "[a-c](/[a-c]){0,3}") {
        let (a, b) = (RefName::new(&a).unwrap(), RefName::new(&b).unwrap());
        let link = alias_link(&a, &b);
        prop_assert_eq!(parse_alias(&a, link.as_bytes()), Some(b));
    }

    #[test]
    fn no_ref_file_or_link_panics(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
        let _id = parse_file(&bytes);
        drop(parse_alias(&RefName::new("a/b").unwrap(), &bytes));
    }
}
