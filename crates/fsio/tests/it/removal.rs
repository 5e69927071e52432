//! Removing trees.

use crate::{TestResult, errno, names, temp};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Dir};
use std::process::{Command, Stdio};

#[test]
fn a_removed_tree_takes_nothing_with_it_that_its_symlinks_point_to() -> TestResult {
    let dir = temp()?;
    fsio::ensure_dir(&dir, "keep/inner", 0o755)?;
    fsio::replace(&dir, "keep/inner/f", 0o644, b"")?;
    fsio::ensure_dir(&dir, "tree/sub", 0o755)?;
    for (target, name) in [("../keep", "a"), ("../../keep/inner", "sub/b"), ("/", "sub/c")] {
        fsio::symlink(target, &dir, format!("tree/{name}"))?;
    }
    fsio::remove_tree(&dir, "tree")?;
    assert_eq!(names(&dir)?, ["keep"]);
    fsio::symlink("keep", &dir, "link")?;
    fsio::remove_tree(&dir, "link")?;
    assert_eq!(names(&fsio::open_dir(&dir, "keep/inner")?)?, ["f"]);
    Ok(())
}

#[test]
fn removing_what_is_not_there_is_success() -> TestResult {
    let dir = temp()?;
    fsio::remove_tree(&dir, "none")?;
    fsio::remove_tree(&dir, "none/deeper")?;
    fsio::replace(&dir, "file", 0o644, b"")?;
    fsio::remove_tree(&dir, "file")?;
    assert!(names(&dir)?.is_empty());
    Ok(())
}

/// Makes `levels` nested directories, with a file in each.
fn nest(top: &Dir, levels: usize) -> TestResult {
    let mut at = fsio::open_dir(top, ".")?;
    for _ in 0..levels {
        fsio::symlink("x", &at, "before")?;
        fsio::symlink("x", &at, "z-after")?;
        at = fsio::create_dir(&at, "nested", 0o755)?;
    }
    Ok(())
}

#[test]
fn depth_does_not_matter() -> TestResult {
    let dir = temp()?;
    let tree = fsio::create_dir(&dir, "tree", 0o755)?;
    nest(&tree, 3000)?;
    fsio::remove_tree(&dir, "tree")?;
    assert!(names(&dir)?.is_empty());
    Ok(())
}

#[test]
fn directories_that_forbid_it_are_removed_all_the_same() -> TestResult {
    let dir = temp()?;
    let tree = fsio::create_dir(&dir, "tree", 0o755)?;
    nest(&tree, 100)?;
    let mut closed = vec![fsio::open_dir(&tree, ".")?];
    for _ in 0..99 {
        let last = closed.last().expect("one at least");
        let next = fsio::open_dir(last, "nested")?;
        closed.push(next);
    }
    for (number, dir) in closed.iter().enumerate() {
        fsio::set_mode(dir, [0o000, 0o500, 0o300, 0o444][number % 4])?;
    }
    fsio::remove_tree(&dir, "tree")?;
    assert!(names(&dir)?.is_empty());
    Ok(())
}

#[test]
fn the_immutable_flag_does_not_save_a_tree() -> TestResult {
    let dir = temp()?;
    let tree = fsio::ensure_dir(&dir, "tree/inner", 0o755)?;
    fsio::replace(&tree, "f", 0o644, b"")?;
    if !fsio::set_immutable(&tree, true)? {
        eprintln!("skip the immutable flag: not privileged, or not supported here");
        return Ok(());
    }
    assert!(fsio::replace(&tree, "g", 0o644, b"").is_err());
    assert!(fsio::set_immutable(&tree, true)?);
    fsio::remove_tree(&dir, "tree")?;
    assert!(names(&dir)?.is_empty());
    Ok(())
}

/// The variable that tells [`inside_the_namespace`] where its tree is.
const TREE: &str = "FSIO_TEST_TREE";

#[test]
fn what_is_mounted_in_a_tree_is_left_alone() -> TestResult {
    let at = tempfile::tempdir()?;
    for dir in ["tree/mount", "precious"] {
        std::fs::DirBuilder::new().recursive(true).create(at.path().join(dir))?;
    }
    drop(std::fs::File::create(at.path().join("precious/f"))?);
    // In a mount namespace of its own, so that the mount goes away with the process.
    let script = r#"mount --bind "$FSIO_TEST_TREE/precious" "$FSIO_TEST_TREE/tree/mount" || exit 77
        exec "$0" --exact removal::inside_the_namespace --ignored"#;
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .env(TREE, at.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => {
            assert!(at.path().join("precious/f").exists() && at.path().join("tree/mount").exists());
        }
        Ok(status) if status.code() == Some(101) => panic!("the mounted directory was not left alone"),
        other => eprintln!("skip mounts: they need root ({other:?})"),
    }
    Ok(())
}

#[test]
#[ignore = "run by `what_is_mounted_in_a_tree_is_left_alone`"]
fn inside_the_namespace() -> TestResult {
    let Some(at) = std::env::var_os(TREE) else { return Ok(()) };
    #[expect(clippy::disallowed_methods, reason = "the path comes from another process")]
    let dir = Dir::open_ambient_dir(at, cap_tempfile::ambient_authority())?;
    assert_eq!(errno(fsio::remove_tree(&dir, "tree")), Errno::XDEV);
    assert_eq!(names(&fsio::open_dir(&dir, "tree/mount")?)?, ["f"]);
    Ok(())
}
