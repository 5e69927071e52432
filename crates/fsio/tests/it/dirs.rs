//! Directories, names and the borders of the sandbox.

use crate::{TestResult, errno, names, temp};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Kind};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

#[test]
fn a_symlink_as_last_component_is_refused() -> TestResult {
    let dir = temp()?;
    let real = fsio::create_dir(&dir, "real", 0o755)?;
    fsio::replace(&real, "file", 0o644, b"x")?;
    fsio::symlink("real", &dir, "to-dir")?;
    fsio::symlink("real/file", &dir, "to-file")?;
    assert_eq!(errno(fsio::open_dir(&dir, "to-dir")), Errno::NOTDIR);
    assert_eq!(errno(fsio::open_dir_optional(&dir, "to-dir")), Errno::NOTDIR);
    assert_eq!(errno(fsio::open_file(&dir, "to-file")), Errno::LOOP);
    assert_eq!(errno(fsio::read(&dir, "to-file", 10)), Errno::LOOP);
    assert_eq!(errno(fsio::set_mode_of(&dir, "to-file", 0o600)), Errno::LOOP);
    assert_eq!(fsio::stat(&dir, "to-file")?.kind, Kind::Symlink);
    assert_eq!(fsio::stat(&dir, "real/file")?.mode, 0o644);
    Ok(())
}

#[test]
fn symlinks_on_the_way_are_followed_inside_and_never_outside() -> TestResult {
    let dir = temp()?;
    let inside = fsio::create_dir(&dir, "inside", 0o755)?;
    fsio::ensure_dir(&inside, "real/deep", 0o755)?;
    fsio::replace(&dir, "secret", 0o600, b"secret")?;
    fsio::symlink("real", &inside, "link")?;
    for (target, name) in [("..", "up"), ("../..", "far"), ("/", "root"), ("real/../..", "hidden")] {
        fsio::symlink(target, &inside, name)?;
    }
    fsio::replace(&inside, "link/deep/f", 0o644, b"1")?;
    assert_eq!(fsio::read(&inside, "real/deep/f", 10)?, b"1");
    for path in [
        "up/secret",
        "far/secret",
        "root/etc",
        "hidden/secret",
        "link/../../secret",
        "../secret",
        "real/../../secret",
    ] {
        assert_eq!(errno(fsio::read(&inside, path, 10)), Errno::XDEV, "{path}");
        assert_eq!(errno(fsio::stat_optional(&inside, path)), Errno::XDEV, "{path}");
        assert_eq!(errno(fsio::replace(&inside, path, 0o644, b"")), Errno::XDEV, "{path}");
        assert_eq!(errno(fsio::remove_tree(&inside, path)), Errno::XDEV, "{path}");
        assert_eq!(errno(fsio::rename(&inside, path, &inside, "stolen")), Errno::XDEV, "{path}");
    }
    assert_eq!(fsio::read(&dir, "secret", 10)?, b"secret");
    Ok(())
}

#[test]
fn paths_that_name_nothing_in_the_directory_are_refused() -> TestResult {
    let dir = temp()?;
    for (path, why) in [
        ("", Errno::INVAL),
        ("..", Errno::XDEV),
        ("a/..", Errno::XDEV),
        ("/", Errno::XDEV),
        ("/etc", Errno::XDEV),
    ] {
        assert_eq!(errno(fsio::stat(&dir, path)), why, "{path:?}");
        assert_eq!(errno(fsio::open_dir(&dir, path)), why, "{path:?}");
        assert_eq!(errno(fsio::create_dir(&dir, path, 0o755)), why, "{path:?}");
        assert_eq!(errno(fsio::remove_tree(&dir, path)), why, "{path:?}");
        assert_eq!(errno(fsio::xattr::list_of(&dir, path)), why, "{path:?}");
    }
    assert!(fsio::stat(&dir, "nul\0name").is_err());
    Ok(())
}

#[test]
fn a_missing_name_is_none_where_it_is_optional() -> TestResult {
    let dir = temp()?;
    for path in ["none", "none/deeper"] {
        assert_eq!(fsio::stat_optional(&dir, path)?, None);
        assert!(fsio::open_dir_optional(&dir, path)?.is_none());
        assert!(fsio::open_file_optional(&dir, path)?.is_none());
        assert_eq!(fsio::read_optional(&dir, path, 1)?, None);
        assert!(!fsio::remove_file_optional(&dir, path)?);
        let error = fsio::stat(&dir, path).expect_err("nothing there");
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), format!("cannot examine {path}"));
    }
    Ok(())
}

#[test]
fn entries_are_all_names_sorted_by_bytes() -> TestResult {
    let dir = temp()?;
    let odd = OsString::from_vec(b"\xff\xfe \n".to_vec());
    fsio::replace(&dir, &odd, 0o644, b"")?;
    fsio::create_dir(&dir, "b", 0o755)?;
    fsio::symlink("x", &dir, "B")?;
    fsio::make_node(&dir, "a-b", Kind::Fifo, 0o600, 0)?;
    for number in 0..1000 {
        fsio::symlink("x", &dir, format!("many-{number:03}-{}", "n".repeat(200)))?;
    }
    let found = fsio::entries(&dir)?;
    assert_eq!(found.len(), 1004);
    assert!(found.is_sorted_by(|a, b| a.name.as_bytes() < b.name.as_bytes()));
    let kind = |name: &OsStr| found.iter().find(|entry| entry.name == name).map(|entry| entry.kind);
    assert_eq!(kind(&odd), Some(Kind::File));
    assert_eq!(kind(OsStr::new("b")), Some(Kind::Dir));
    assert_eq!(kind(OsStr::new("B")), Some(Kind::Symlink));
    assert_eq!(kind(OsStr::new("a-b")), Some(Kind::Fifo));
    let ino = found.iter().find(|entry| entry.name == odd).map(|entry| entry.ino);
    assert_eq!(ino, Some(fsio::stat(&dir, &odd)?.ino));
    Ok(())
}

#[test]
fn threads_can_list_one_directory_at_once() -> TestResult {
    let dir = temp()?;
    for number in 0..500 {
        fsio::symlink("x", &dir, format!("{number}"))?;
    }
    let opened = fsio::open_dir(&dir, ".")?;
    std::thread::scope(|scope| {
        let lists: Vec<_> =
            (0..4).map(|_| scope.spawn(|| fsio::entries(&opened).map(|all| all.len()))).collect();
        for list in lists {
            assert_eq!(list.join().expect("no panic").expect("listed"), 500);
        }
    });
    Ok(())
}

#[test]
fn directories_get_exactly_the_mode_that_is_asked_for() -> TestResult {
    let dir = temp()?;
    for mode in [0o700, 0o777, 0o1777, 0o2755, 0o555] {
        let made = fsio::create_dir(&dir, format!("{mode:o}"), mode)?;
        assert_eq!(fsio::stat_dir(&made)?.mode, mode);
    }
    assert_eq!(errno(fsio::create_dir(&dir, "700", 0o700)), Errno::EXIST);
    Ok(())
}

#[test]
fn ensure_dir_makes_what_is_missing_and_keeps_what_is_there() -> TestResult {
    let dir = temp()?;
    let deep = fsio::ensure_dir(&dir, "a/b/c/d", 0o755)?;
    fsio::replace(&deep, "f", 0o644, b"")?;
    fsio::ensure_dir(&dir, "a/b/c/d", 0o755)?;
    fsio::ensure_dir(&dir, "a/b/c/e/", 0o755)?;
    assert_eq!(names(&deep)?, ["f"]);
    fsio::symlink("a/b", &dir, "link")?;
    fsio::ensure_dir(&dir, "link/x/y", 0o755)?;
    assert_eq!(names(&fsio::open_dir(&dir, "a/b")?)?, ["c", "x"]);
    assert_eq!(errno(fsio::ensure_dir(&dir, "a/b/c/d/f", 0o755)), Errno::NOTDIR);
    assert_eq!(errno(fsio::ensure_dir(&dir, "a/b/c/d/f/g", 0o755)), Errno::NOTDIR);
    assert_eq!(errno(fsio::ensure_dir(&dir, "new/../../x", 0o755)), Errno::XDEV);
    Ok(())
}

#[test]
fn renaming_replaces_refuses_or_swaps() -> TestResult {
    let dir = temp()?;
    let [a, b] = ["a", "b"].map(|name| fsio::create_dir(&dir, name, 0o755));
    let (a, b) = (a?, b?);
    fsio::replace(&a, "1", 0o644, b"one")?;
    fsio::replace(&b, "2", 0o644, b"two")?;
    assert_eq!(errno(fsio::rename_noreplace(&a, "1", &b, "2")), Errno::EXIST);
    fsio::exchange(&dir, "a/1", &dir, "b/2")?;
    assert_eq!(fsio::read(&a, "1", 10)?, b"two");
    assert_eq!(fsio::read(&b, "2", 10)?, b"one");
    fsio::exchange(&dir, "a", &dir, "b/2")?;
    assert_eq!(fsio::read(&dir, "a", 10)?, b"one");
    assert_eq!(fsio::read(&dir, "b/2/1", 10)?, b"two");
    fsio::rename(&dir, "a", &b, "2/1")?;
    assert_eq!(fsio::read(&dir, "b/2/1", 10)?, b"one");
    let error = fsio::exchange(&dir, "gone", &dir, "b").expect_err("nothing there");
    assert_eq!(error.to_string(), "cannot swap gone and b");
    Ok(())
}

#[test]
fn links_never_replace_and_symlinks_are_linked_themselves() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"")?;
    fsio::symlink("f", &dir, "s")?;
    fsio::hardlink(&dir, "f", &dir, "f2")?;
    assert_eq!(fsio::stat(&dir, "f2")?.nlink, 2);
    assert_eq!(errno(fsio::hardlink(&dir, "f", &dir, "s")), Errno::EXIST);
    fsio::hardlink(&dir, "s", &dir, "s2")?;
    assert_eq!(fsio::read_link(&dir, "s2")?, b"f");
    Ok(())
}

#[test]
fn symlinks_are_stored_and_replaced_as_bytes() -> TestResult {
    let dir = temp()?;
    let target = OsString::from_vec(b"../\xff//x/.".to_vec());
    fsio::symlink(&target, &dir, "l")?;
    assert_eq!(fsio::read_link(&dir, "l")?, target.as_bytes());
    fsio::replace_symlink("other", &dir, "l")?;
    fsio::replace_symlink("fresh", &dir, "m")?;
    fsio::create_dir(&dir, "d", 0o755)?;
    assert!(fsio::replace_symlink("x", &dir, "d").is_err());
    assert_eq!(fsio::read_link(&dir, "l")?, b"other");
    assert_eq!(names(&dir)?, ["d", "l", "m"]);
    assert_eq!(errno(fsio::read_link(&dir, "d")), Errno::INVAL);
    Ok(())
}

#[test]
fn nodes_are_made_with_exactly_their_mode() -> TestResult {
    let dir = temp()?;
    fsio::make_node(&dir, "p", Kind::Fifo, 0o622, 0)?;
    let stat = fsio::stat(&dir, "p")?;
    assert_eq!((stat.kind, stat.mode), (Kind::Fifo, 0o622));
    for kind in [Kind::File, Kind::Dir, Kind::Symlink, Kind::Socket] {
        assert_eq!(errno(fsio::make_node(&dir, "q", kind, 0o600, 0)), Errno::INVAL);
    }
    let null = rustix::fs::makedev(1, 3);
    match fsio::make_node(&dir, "null", Kind::CharDevice, 0o666, null) {
        Ok(()) => assert_eq!(fsio::stat(&dir, "null")?.rdev, null),
        Err(error) => eprintln!("skip device nodes: {error}: {}", error.source),
    }
    Ok(())
}

#[test]
fn directories_of_cap_std_do_for_every_operation() -> TestResult {
    let dir = temp()?;
    fsio::create_dir(&dir, "d", 0o755)?;
    // Opened with O_PATH.
    let opened = dir.open_dir("d")?;
    fsio::sync_dir(&opened)?;
    fsio::syncfs(&opened)?;
    fsio::set_mode(&opened, 0o750)?;
    fsio::set_mtime(&opened, 5_000_000_007)?;
    let before = fsio::stat_dir(&opened)?;
    assert_eq!((before.mode, before.mtime_ns), (0o750, 5_000_000_007));
    fsio::set_owner(&opened, before.uid, before.gid)?;
    assert_eq!(fsio::entries(&opened)?, []);
    assert!(fsio::free_space(&opened)?.total_bytes > 0);
    match fsio::xattr::set(&opened, b"user.k", b"v") {
        Ok(()) => {
            assert_eq!(fsio::xattr::get(&opened, b"user.k")?.as_deref(), Some(&b"v"[..]));
            fsio::xattr::remove(&opened, b"user.k")?;
            assert_eq!(fsio::xattr::get(&opened, b"user.k")?, None);
        }
        Err(error) => eprintln!("skip attributes: {}", error.source),
    }
    Ok(())
}
