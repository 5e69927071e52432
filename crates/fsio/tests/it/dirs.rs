//! Directories, names and the borders of the sandbox.

use crate::{TestResult, temp};
use sapwood_fsio as fsio;
use std::io::Write;

#[test]
fn what_is_written_is_read_back() -> TestResult {
    let dir = temp()?;
    let sub = fsio::ensure_dir(&dir, "a/b/c", 0o755)?;
    fsio::replace(&dir, "a/b/c/f", 0o640, b"hello")?;
    assert_eq!(fsio::read(&sub, "f", 5)?, b"hello");
    assert_eq!(fsio::stat(&sub, "f")?.mode, 0o640);
    let mut staged = fsio::Staged::create(&sub)?;
    staged.write_all(b"xyz")?;
    staged.publish_noreplace(&dir, "a/g")?;
    fsio::symlink("f", &sub, "l")?;
    let names: Vec<_> = fsio::entries(&sub)?.into_iter().map(|e| (e.name, e.kind)).collect();
    assert_eq!(names, [("f".into(), fsio::Kind::File), ("l".into(), fsio::Kind::Symlink)]);
    let _lock =
        fsio::lock::Lock::acquire(&dir, ".lock", fsio::lock::LockKind::Exclusive, fsio::lock::Wait::No)?;
    fsio::xattr::set_of(&dir, "a/g", b"user.k", b"v")?;
    assert_eq!(fsio::xattr::list(&fsio::open_file(&dir, "a/g")?)?, [(b"user.k".to_vec(), b"v".to_vec())]);
    fsio::remove_tree(&dir, "a")?;
    assert!(fsio::stat_optional(&dir, "a")?.is_none());
    fsio::syncfs(&dir)?;
    fsio::sync_dir(&dir)?;
    Ok(())
}
