//! The table of cases against real `ostree`: where the crate does not say that it differs, the outcome is the same.

use crate::TestResult;
use crate::laws::three;
use crate::table::{CASES, Case};
use crate::tree::{Node, Tree};
use proptest::prelude::*;
use sapwood_etcmerge::{ChangeKind, Entry, Policy, Sides, Snapshot, diff, merged};
use sapwood_fsio::{self as fsio, Dir};
use std::path::Path;
use std::process::Command;

/// Cases that OSTree cannot do at all: the whole deployment fails.
const FAILS: &[&str] = &[
    "local file, new default is a directory: no error",
    "local added file, new default is a directory",
    "directory replaced by file locally",
    "local change in a directory that became a file",
];

/// Cases with another outcome, for the reasons that the crate's documentation gives.
const DIFFERS: &[&str] = &[
    "only the mode of a directory changed is kept",
    "the mode of the top is kept",
    "the mode of a directory changed on both sides is local",
];

/// About the top of `/etc`, which the cases of one run share.
const TOP: &[&str] = &[".updated is removed"];

/// Runs it; the error text if it fails.
fn ostree(at: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("ostree")
        .args(args)
        .current_dir(at)
        .env("OSTREE_SYSROOT_DEBUG", "mutable-deployments,no-xattrs")
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A tree that can be deployed, with one directory for each case in its defaults.
fn commit(at: &Path, dir: &Dir, version: &str, cases: &[(String, Tree)]) -> TestResult {
    let tree = fsio::ensure_dir(dir, version, 0o755)?;
    for (path, content) in [("vmlinuz", "kernel"), ("initramfs.img", "initramfs")] {
        fsio::ensure_dir(&tree, "usr/lib/modules/6.1", 0o755)?;
        fsio::replace(&tree, format!("usr/lib/modules/6.1/{path}"), 0o644, content.as_bytes())?;
    }
    fsio::replace(&tree, "usr/lib/os-release", 0o644, b"NAME=os\nID=os\n")?;
    let etc = fsio::create_dir(&tree, "usr/etc", 0o755)?;
    write_cases(&etc, cases)?;
    let tree = format!("--tree=dir={version}");
    ostree(
        at,
        &[
            "--repo=sys/ostree/repo",
            "commit",
            "-b",
            "os",
            "--no-bindings",
            &tree,
            "--owner-uid=0",
            "--owner-gid=0",
        ],
    )?;
    Ok(())
}

fn write_cases(etc: &Dir, cases: &[(String, Tree)]) -> TestResult {
    for (name, tree) in cases {
        fsio::remove_tree(etc, name)?;
        tree.write(&fsio::create_dir(etc, name, 0o755)?)?;
    }
    Ok(())
}

/// The `/etc` that the update of a real sysroot makes, with one directory for each case; the error text if it refuses.
fn merge(cases: &[[Tree; 3]]) -> Result<Result<Tree, String>, Box<dyn std::error::Error>> {
    let at = tempfile::tempdir()?;
    #[expect(clippy::disallowed_methods, reason = "ostree takes a path, so the test has one")]
    let dir = Dir::open_ambient_dir(at.path(), cap_tempfile::ambient_authority())?;
    let side = |side: usize| -> Vec<(String, Tree)> {
        cases.iter().enumerate().map(|(number, case)| (format!("case{number}"), case[side].clone())).collect()
    };
    fsio::create_dir(&dir, "sys", 0o755)?;
    ostree(at.path(), &["admin", "init-fs", "sys"])?;
    ostree(at.path(), &["admin", "--sysroot=sys", "os-init", "os"])?;
    commit(at.path(), &dir, "old", &side(0))?;
    ostree(at.path(), &["admin", "--sysroot=sys", "deploy", "--os=os", "os"])?;
    let deployments = fsio::open_dir(&dir, "sys/ostree/deploy/os/deploy")?;
    let deployed = || -> fsio::Result<Vec<std::ffi::OsString>> {
        let entries = fsio::entries(&deployments)?.into_iter();
        Ok(entries.filter(|entry| entry.kind == fsio::Kind::Dir).map(|entry| entry.name).collect())
    };
    let old = deployed()?.remove(0);
    write_cases(&fsio::open_dir(&deployments, Path::new(&old).join("etc"))?, &side(1))?;
    commit(at.path(), &dir, "new", &side(2))?;
    if let Err(refusal) = ostree(at.path(), &["admin", "--sysroot=sys", "deploy", "--os=os", "os"]) {
        return Ok(Err(refusal));
    }
    let new = deployed()?.into_iter().find(|name| *name != old).ok_or("no second deployment")?;
    Ok(Ok(Tree::read(&fsio::open_dir(&deployments, Path::new(&new).join("etc"))?)?))
}

fn trees(case: &Case) -> [Tree; 3] {
    [case.base, case.local, case.new].map(Tree::parse)
}

fn cannot_run() -> bool {
    !rustix::process::geteuid().is_root() || Command::new("ostree").arg("--version").output().is_err()
}

#[test]
fn real_ostree_agrees_with_the_table() -> TestResult {
    if cannot_run() {
        eprintln!("skip the merge of real ostree: it is not installed, or we are not root");
        return Ok(());
    }
    let asked: Vec<_> =
        CASES.iter().filter(|case| !FAILS.contains(&case.name) && !TOP.contains(&case.name)).collect();
    let result = merge(&asked.iter().map(|case| trees(case)).collect::<Vec<_>>())??;
    for (number, case) in asked.iter().enumerate() {
        let found = result.nodes.get(&format!("case{number}"));
        let same = found == Some(&Node::Dir(Tree::parse(case.expected)));
        assert_eq!(same, !DIFFERS.contains(&case.name), "{}: ostree made {found:?}", case.name);
    }
    Ok(())
}

#[test]
fn real_ostree_refuses_what_we_are_said_to_do_better() -> TestResult {
    if cannot_run() {
        eprintln!("skip the merge of real ostree: it is not installed, or we are not root");
        return Ok(());
    }
    for case in CASES.iter().filter(|case| FAILS.contains(&case.name)) {
        let refusal = merge(&[trees(case)])?.expect_err(case.name);
        assert!(refusal.contains("/etc merge"), "{}: {refusal}", case.name);
    }
    Ok(())
}

/// Whether OSTree's update may fail, as the crate's documentation says: something was changed locally where, or below where,
/// the new version has something of another type that is in its way. One such tree would fail all.
fn may_be_refused([base, local, new]: &[Snapshot; 3]) -> bool {
    let added_or_modified = diff(base, local).into_iter().filter(|change| change.kind != ChangeKind::Removed);
    added_or_modified.map(|change| change.path).any(|path| {
        let is_file = local.get(&path).is_some_and(|entry| !entry.is_dir());
        let in_the_way = |at: &Path| new.get(at).is_some_and(|entry| !entry.is_dir());
        (is_file && new.get(&path).is_some_and(Entry::is_dir))
            || (!is_file && in_the_way(&path))
            || path.ancestors().skip(1).any(in_the_way)
    })
}

/// Whether all that differs is the mode of a directory. OSTree forgets a local one unless something in the directory was
/// changed, undoes a new one where something was, and of directories that both added takes now one, now the other.
fn is_mode_of_directory(found: &Snapshot, here: &Snapshot, path: &Path) -> bool {
    [found, here].iter().all(|side| side.get(path).is_some_and(Entry::is_dir))
}

/// Whether a directory was closed or opened locally, and the new version has none there any more: OSTree forgets it.
fn is_kept_for_its_mode([base, local, new]: &[Snapshot; 3], path: &Path) -> bool {
    let mode = |side: &Snapshot| side.get(path).filter(|entry| entry.is_dir()).map(|entry| entry.mode);
    mode(base).is_some() && mode(local).is_some() && mode(local) != mode(base) && mode(new).is_none()
}

/// Whether something is inside a directory that took the place of a default that was none, locally and in the new version:
/// OSTree has what the new version has in it alone.
fn is_in_both_directories([base, local, new]: &[Snapshot; 3], path: &Path) -> bool {
    let is_dir = |side: &Snapshot, at: &Path| side.get(at).map(Entry::is_dir);
    path.ancestors().any(|at| {
        is_dir(base, at) == Some(false) && is_dir(local, at) == Some(true) && is_dir(new, at) == Some(true)
    })
}

/// How many random trees are merged in one deployment of the real program.
const TREES_AT_ONCE: usize = 40;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn real_ostree_merges_random_trees_as_we_do_but_for_what_we_are_said_to_do_better(
        cases in prop::collection::vec(three(false), TREES_AT_ONCE)
    ) {
        if cannot_run() {
            eprintln!("skip the merge of real ostree: it is not installed, or we are not root");
            return Ok(());
        }
        let snapshots = |case: &[Tree; 3]| [&case[0], &case[1], &case[2]].map(Tree::snapshot);
        let possible: Vec<_> = cases.into_iter().filter(|case| !may_be_refused(&snapshots(case))).collect();
        let real = merge(&possible).unwrap().unwrap();
        for (number, case) in possible.iter().enumerate() {
            // In a directory of their own, so that `.updated` at their top is nothing special.
            let inside = |tree: &Tree| {
                let nodes = [("case".to_owned(), Node::Dir(tree.clone()))].into();
                Tree { mode: 0o755, nodes }
            };
            let sides @ [base, ours, theirs] = &[&case[0], &case[1], &case[2]].map(|tree| inside(tree).snapshot());
            let Some(Node::Dir(found)) = real.nodes.get(&format!("case{number}")) else { panic!("case{number} is gone") };
            let (found, here) = (inside(found).snapshot(), merged(Sides { base, ours, theirs }, Policy::KeepLocal));
            for change in diff(&found, &here) {
                let is_better = is_mode_of_directory(&found, &here, &change.path)
                    || is_kept_for_its_mode(sides, &change.path)
                    || is_in_both_directories(sides, &change.path);
                prop_assert!(is_better, "{change:?}: {case:#?}");
            }
        }
    }
}
