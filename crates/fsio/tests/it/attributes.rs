//! Modes, owners, times, extended attributes and free space.

use crate::{TestResult, errno, is_root, temp};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Kind, xattr};

#[test]
fn attributes_are_listed_sorted_whatever_their_size() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"")?;
    if let Err(error) = xattr::set_of(&dir, "f", b"user.a", b"") {
        eprintln!("skip extended attributes: {}", error.source);
        return Ok(());
    }
    let large = vec![7_u8; 2000];
    let mut expected = vec![(b"user.b".to_vec(), large), (b"user.a".to_vec(), Vec::new())];
    for number in 0..30 {
        expected.push((format!("user.many-{}-{number:02}", "n".repeat(40)).into_bytes(), vec![number]));
    }
    for (name, value) in &expected {
        xattr::set_of(&dir, "f", name, value)?;
    }
    expected.sort();
    assert_eq!(xattr::list_of(&dir, "f")?, expected);
    let file = fsio::open_file(&dir, "f")?;
    assert_eq!(xattr::list(&file)?, expected);
    assert_eq!(xattr::get(&file, b"user.b")?.map(|value| value.len()), Some(2000));
    assert_eq!(xattr::get_of(&dir, "f", b"user.none")?, None);
    xattr::remove_of(&dir, "f", b"user.b")?;
    xattr::remove_of(&dir, "f", b"user.b")?;
    assert_eq!(xattr::get(&file, b"user.b")?, None);
    assert!(xattr::list_of(&dir, "none").is_err_and(|error| error.is_not_found()));
    Ok(())
}

#[test]
fn attributes_of_a_symlink_are_its_own() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"")?;
    fsio::symlink("f", &dir, "l")?;
    assert!(xattr::list_of(&dir, "l")?.iter().all(|(name, _)| name.starts_with(b"security.")));
    if let Err(error) = xattr::set_of(&dir, "l", b"trusted.k", b"v") {
        eprintln!("skip attributes of symlinks: {}", error.source);
        return Ok(());
    }
    assert_eq!(xattr::get_of(&dir, "l", b"trusted.k")?.as_deref(), Some(&b"v"[..]));
    assert_eq!(xattr::get_of(&dir, "f", b"trusted.k")?, None);
    xattr::remove_of(&dir, "l", b"trusted.k")?;
    assert_eq!(xattr::get_of(&dir, "l", b"trusted.k")?, None);
    Ok(())
}

#[test]
fn a_filesystem_without_attributes_has_an_empty_list() -> TestResult {
    #[expect(clippy::disallowed_methods, reason = "the test needs /proc")]
    let proc = fsio::Dir::open_ambient_dir("/proc/self", cap_tempfile::ambient_authority())?;
    assert_eq!(xattr::get_of(&proc, "status", b"user.k")?, None);
    assert!(xattr::list_of(&proc, "status")?.iter().all(|(name, _)| name.starts_with(b"security.")));
    Ok(())
}

#[test]
fn modes_are_set_exactly_even_where_reading_is_forbidden() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o000, b"")?;
    for mode in [0o4755, 0o000, 0o1644] {
        fsio::set_mode_of(&dir, "f", mode)?;
        assert_eq!(fsio::stat(&dir, "f")?.mode, mode);
    }
    Ok(())
}

#[test]
fn owners_are_set_without_following() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"")?;
    fsio::symlink("f", &dir, "l")?;
    assert_eq!(errno(fsio::set_owner_of(&dir, "l", u32::MAX, 0)), Errno::INVAL);
    if !is_root() {
        eprintln!("skip owners: not root");
        return Ok(());
    }
    fsio::set_owner_of(&dir, "l", 12, 34)?;
    let [link, file] = [fsio::stat(&dir, "l")?, fsio::stat(&dir, "f")?];
    assert_eq!((link.kind, link.uid, link.gid), (Kind::Symlink, 12, 34));
    assert_eq!((file.uid, file.gid), (0, rustix::process::getegid().as_raw()));
    fsio::set_owner(&fsio::open_file(&dir, "f")?, 56, 78)?;
    let file = fsio::stat(&dir, "f")?;
    assert_eq!((file.uid, file.gid), (56, 78));
    Ok(())
}

#[test]
fn times_go_to_the_nanosecond_and_before_the_epoch() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"")?;
    let file = fsio::open_file(&dir, "f")?;
    for time in [0, 1, 1_700_000_000_123_456_789, -1] {
        fsio::set_mtime(&file, time)?;
        let found = fsio::stat_open(&file)?.mtime_ns;
        // Some filesystems keep coarser times.
        assert!(
            found == time || found == time.div_euclid(1_000_000_000) * 1_000_000_000,
            "{time} became {found}"
        );
    }
    assert_eq!(errno(fsio::set_mtime(&file, i128::MAX)), Errno::INVAL);
    Ok(())
}

#[test]
fn free_space_is_within_the_size_of_the_disk() -> TestResult {
    let room = fsio::free_space(&*temp()?)?;
    assert!(room.available_bytes <= room.free_bytes && room.free_bytes <= room.total_bytes);
    assert!(room.block_bytes > 0 && room.total_bytes.is_multiple_of(room.block_bytes));
    Ok(())
}
