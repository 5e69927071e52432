//! The table of cases against real `ostree`: where the crate does not say that it differs, the outcome is the same.

use crate::TestResult;
use crate::table::{CASES, Case};
use crate::tree::{Node, Tree};
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
fn merge(cases: &[&Case]) -> Result<Result<Tree, String>, Box<dyn std::error::Error>> {
    let at = tempfile::tempdir()?;
    #[expect(clippy::disallowed_methods, reason = "ostree takes a path, so the test has one")]
    let dir = Dir::open_ambient_dir(at.path(), cap_tempfile::ambient_authority())?;
    let side = |pick: fn(&Case) -> &'static [&'static str]| -> Vec<(String, Tree)> {
        cases
            .iter()
            .enumerate()
            .map(|(number, case)| (format!("case{number}"), Tree::parse(pick(case))))
            .collect()
    };
    fsio::create_dir(&dir, "sys", 0o755)?;
    ostree(at.path(), &["admin", "init-fs", "sys"])?;
    ostree(at.path(), &["admin", "--sysroot=sys", "os-init", "os"])?;
    commit(at.path(), &dir, "old", &side(|case| case.base))?;
    ostree(at.path(), &["admin", "--sysroot=sys", "deploy", "--os=os", "os"])?;
    let deployments = fsio::open_dir(&dir, "sys/ostree/deploy/os/deploy")?;
    let deployed = || -> fsio::Result<Vec<std::ffi::OsString>> {
        let entries = fsio::entries(&deployments)?.into_iter();
        Ok(entries.filter(|entry| entry.kind == fsio::Kind::Dir).map(|entry| entry.name).collect())
    };
    let old = deployed()?.remove(0);
    write_cases(&fsio::open_dir(&deployments, Path::new(&old).join("etc"))?, &side(|case| case.local))?;
    commit(at.path(), &dir, "new", &side(|case| case.new))?;
    if let Err(refusal) = ostree(at.path(), &["admin", "--sysroot=sys", "deploy", "--os=os", "os"]) {
        return Ok(Err(refusal));
    }
    let new = deployed()?.into_iter().find(|name| *name != old).ok_or("no second deployment")?;
    Ok(Ok(Tree::read(&fsio::open_dir(&deployments, Path::new(&new).join("etc"))?)?))
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
    let result = merge(&asked)??;
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
        let refusal = merge(&[case])?.expect_err(case.name);
        assert!(refusal.contains("/etc merge"), "{}: {refusal}", case.name);
    }
    Ok(())
}
