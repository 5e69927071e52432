//! Injected crashes and failures, and the log of calls.

use crate::{TestResult, names, temp};
use sapwood_fsio::fault::{self, Call, Failure, Op};
use sapwood_fsio::{self as fsio, Dir, Staged};
use std::io::Write;

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_whenever_the_crash_comes() -> TestResult {
    let mut seen = Vec::new();
    for step in 1.. {
        let dir = temp()?;
        fsio::replace(&dir, "f", 0o644, b"old")?;
        let run = fault::crash_at(step, || fsio::replace(&dir, "f", 0o600, b"new"));
        let content = fsio::read(&dir, "f", 10)?;
        let mode = fsio::stat(&dir, "f")?.mode;
        assert!([(&b"old"[..], 0o644), (b"new", 0o600)].contains(&(&content[..], mode)), "step {step}");
        assert_eq!(run.fired, run.value.is_err());
        seen.push(content);
        if !run.fired {
            break;
        }
        fsio::replace(&dir, "f", 0o600, b"new")?;
        assert_eq!(fsio::read(&dir, "f", 10)?, b"new", "a retry succeeds after a crash at step {step}");
    }
    // Create, write, chmod, fsync, rename; then the directory's fsync, which changes nothing that is seen.
    let new_from = seen.iter().position(|content| content == b"new");
    assert_eq!((seen.len(), new_from), (7, Some(5)));
    Ok(())
}

#[test]
fn after_a_crash_no_clean_up_acts() -> TestResult {
    let dir = temp()?;
    let run = fault::crash_at(2, || {
        let mut staged = Staged::create(&dir)?;
        staged.write_all(b"x").map_err(|source| fsio::Error { op: "write", path: "x".into(), source })?;
        staged.publish(&dir, "f")
    });
    assert!(run.fired);
    assert_eq!(run.value.map_err(|error| error.source.to_string()), Err("injected crash".to_owned()));
    // The write, and the removal of the temporary file.
    assert_eq!(run.steps, 3);
    assert!(names(&dir)?.iter().all(|name| name.starts_with(".tmp-")));
    assert_eq!(names(&dir)?.len(), 1);
    Ok(())
}

#[test]
fn a_single_failure_is_cleaned_up_after() -> TestResult {
    for failure in [Failure::NoSpace, Failure::Io] {
        for step in 1..=5 {
            let dir = temp()?;
            fsio::replace(&dir, "f", 0o644, b"old")?;
            let run = fault::fail_at(step, failure, || fsio::replace(&dir, "f", 0o644, b"new"));
            let error = run.value.expect_err("one operation failed");
            assert_eq!(error.is_no_space(), failure == Failure::NoSpace);
            assert_eq!(names(&dir)?, ["f"], "step {step}");
            assert_eq!(fsio::read(&dir, "f", 10)?, b"old");
        }
    }
    Ok(())
}

#[test]
fn a_full_disk_stays_full_but_lets_remove() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"old")?;
    let run = fault::fail_from(1, Failure::NoSpace, || {
        assert!(fsio::replace(&dir, "g", 0o644, b"").is_err_and(|error| error.is_no_space()));
        assert!(fsio::create_dir(&dir, "d", 0o755).is_err_and(|error| error.is_no_space()));
        fsio::rename(&dir, "f", &dir, "moved")?;
        fsio::sync_dir(&dir)?;
        fsio::remove_file(&dir, "moved")
    });
    run.value?;
    assert!(run.fired && names(&dir)?.is_empty());
    Ok(())
}

#[test]
fn the_log_shows_that_content_is_durable_before_it_is_visible() -> TestResult {
    let dir = temp()?;
    let ((), calls) = fault::record(|| fsio::replace(&dir, "f", 0o644, b"new").expect("replaced"));
    let ops: Vec<Op> = calls.iter().map(|call| call.op).collect();
    assert_eq!(ops, [Op::Create, Op::Write, Op::Chmod, Op::Fsync, Op::Rename, Op::Fsync]);
    let [_, write, _, fsync, rename, sync_dir] = &calls[..] else { panic!("{calls:?}") };
    let file = fsio::stat(&dir, "f")?;
    let top = fsio::stat_dir(&dir)?;
    for call in [write, fsync, rename] {
        assert_eq!(call.file, Some((file.dev, file.ino)));
    }
    assert_eq!(rename.path.to_str(), Some("f"));
    assert_eq!(rename.dir, Some((top.dev, top.ino)));
    assert!(rename.from.as_ref().is_some_and(|(_, name)| name.to_string_lossy().starts_with(".tmp-")));
    assert_eq!(sync_dir.file, Some((top.dev, top.ino)));
    Ok(())
}

fn make_files(dir: &Dir, prefix: &str) {
    for number in 0..20 {
        drop(fsio::symlink("x", dir, format!("{prefix}{number}")));
    }
}

#[test]
fn threads_that_enter_the_context_share_its_faults_and_others_do_not() -> TestResult {
    let dir = temp()?;
    let run = fault::crash_at(31, || {
        let context = fault::context();
        std::thread::scope(|scope| {
            for name in ["a", "b"] {
                let (context, dir) = (context.clone(), &dir);
                scope.spawn(move || {
                    let _entered = context.enter();
                    make_files(dir, name);
                });
            }
            scope.spawn(|| make_files(&dir, "free"));
        });
    });
    assert_eq!((run.fired, run.steps), (true, 40));
    let all = names(&dir)?;
    assert_eq!(all.iter().filter(|name| name.starts_with("free")).count(), 20);
    assert_eq!(all.iter().filter(|name| !name.starts_with("free")).count(), 30);
    make_files(&dir, "later");
    assert_eq!(names(&dir)?.len(), 70);
    Ok(())
}

#[test]
fn the_log_tells_threads_apart() -> TestResult {
    let dir = temp()?;
    let ((), calls) = fault::record(|| {
        make_files(&dir, "main");
        let context = fault::context();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _entered = context.enter();
                let _again = context.enter();
                make_files(&dir, "other");
            });
        });
    });
    let of = |thread| {
        calls.iter().filter(move |call: &&Call| call.thread == thread).all(|call| {
            call.op == Op::Symlink
                && call.path.to_string_lossy().starts_with(["main", "other"][usize::from(thread == 1)])
        })
    };
    assert!(of(0) && of(1));
    assert_eq!(calls.iter().filter(|call| call.thread == 1).count(), 20);
    Ok(())
}

#[test]
fn removal_can_be_interrupted_and_repeated() -> TestResult {
    for step in 1.. {
        let dir = temp()?;
        let tree = fsio::ensure_dir(&dir, "tree/a/b", 0o755)?;
        make_files(&tree, "f");
        let run = fault::crash_at(step, || fsio::remove_tree(&dir, "tree"));
        fsio::remove_tree(&dir, "tree")?;
        assert!(names(&dir)?.is_empty());
        if !run.fired {
            run.value?;
            break;
        }
    }
    Ok(())
}
