//! Locks: between handles of one process, and against real `ostree`.

use crate::{TestResult, errno, temp};
use sapwood_fsio::lock::{Lock, LockError, LockKind, Wait};
use sapwood_fsio::{self as fsio, Dir};
use std::process::Command;
use std::time::{Duration, Instant};

fn held(result: Result<Lock, LockError>) -> Option<String> {
    match result {
        Err(LockError::Held { holder, .. }) => Some(holder),
        _ => None,
    }
}

#[test]
fn an_exclusive_lock_is_alone_and_shared_ones_are_not() -> TestResult {
    let dir = temp()?;
    let get = |kind| Lock::acquire(&dir, ".lock", kind, Wait::No);
    let exclusive = get(LockKind::Exclusive)?;
    assert_eq!(held(get(LockKind::Exclusive)).as_deref(), Some("this process"));
    assert_eq!(held(get(LockKind::Shared)).as_deref(), Some("this process"));
    drop(exclusive);
    let first = get(LockKind::Shared)?;
    let second = get(LockKind::Shared)?;
    assert!(held(get(LockKind::Exclusive)).is_some());
    drop(first);
    assert!(held(get(LockKind::Exclusive)).is_some());
    drop(second);
    drop(get(LockKind::Exclusive)?);
    assert_eq!(fsio::stat(&dir, ".lock")?.size, 0);
    Ok(())
}

#[test]
fn reading_the_lock_file_does_not_release_the_lock() -> TestResult {
    let dir = temp()?;
    let _lock = Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::No)?;
    drop(fsio::open_file(&dir, ".lock")?);
    assert!(held(Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::No)).is_some());
    Ok(())
}

#[test]
fn waiting_ends_when_the_lock_is_free_or_the_time_is_over() -> TestResult {
    let dir = temp()?;
    let lock = Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::Forever)?;
    let started = Instant::now();
    let limit = Duration::from_millis(60);
    let refused = Lock::acquire(&dir, ".lock", LockKind::Shared, Wait::For(limit)).expect_err("still held");
    assert!(started.elapsed() >= limit);
    assert!(refused.to_string().starts_with(".lock is locked by this process (waited "), "{refused}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::Forever));
        std::thread::sleep(Duration::from_millis(20));
        drop(lock);
        assert!(waiting.join().expect("no panic").is_ok());
    });
    Ok(())
}

#[test]
fn a_lock_file_removed_while_waiting_is_not_taken_for_the_lock() -> TestResult {
    let dir = temp()?;
    let old = Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::No)?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::Forever));
        std::thread::sleep(Duration::from_millis(20));
        fsio::remove_file(&dir, ".lock").expect("removed");
        drop(old);
        let lock = waiting.join().expect("no panic").expect("locked");
        assert!(fsio::stat(&dir, ".lock").is_ok());
        assert!(held(Lock::acquire(&dir, ".lock", LockKind::Shared, Wait::No)).is_some());
        drop(lock);
    });
    Ok(())
}

#[test]
fn a_symlink_is_not_a_lock_file() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"")?;
    fsio::symlink("f", &dir, ".lock")?;
    match Lock::acquire(&dir, ".lock", LockKind::Shared, Wait::No) {
        Err(LockError::Io(error)) => assert_eq!(errno::<()>(Err(error)), rustix::io::Errno::LOOP),
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// Runs `ostree` in `repo`; `None` if there is no such program.
fn ostree(repo: &std::path::Path, args: &[&str]) -> Option<bool> {
    let mut command = Command::new("ostree");
    command.arg(format!("--repo={}", repo.display())).args(args);
    command.output().ok().map(|output| output.status.success())
}

#[test]
fn real_ostree_waits_for_our_lock() -> TestResult {
    let at = tempfile::tempdir()?;
    let repo = at.path().join("repo");
    if ostree(&repo, &["init", "--mode=archive"]).is_none() {
        eprintln!("skip locking against ostree: it is not installed");
        return Ok(());
    }
    ostree(&repo, &["config", "set", "core.lock-timeout-secs", "1"]);
    #[expect(clippy::disallowed_methods, reason = "ostree takes a path, so the test has one")]
    let dir = Dir::open_ambient_dir(&repo, cap_tempfile::ambient_authority())?;
    let lock = Lock::acquire(&dir, ".lock", LockKind::Exclusive, Wait::No)?;
    assert_eq!(ostree(&repo, &["prune"]), Some(false), "ostree ignored our lock");
    drop(lock);
    assert_eq!(ostree(&repo, &["prune"]), Some(true));
    let lock = Lock::acquire(&dir, ".lock", LockKind::Shared, Wait::No)?;
    assert_eq!(ostree(&repo, &["prune"]), Some(false), "pruning takes the lock alone");
    drop(lock);
    Ok(())
}
