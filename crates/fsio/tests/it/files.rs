//! Reading, staging, replacing and copying files.

use crate::{TestResult, errno, names, temp};
use rustix::io::Errno;
use sapwood_fsio::{self as fsio, Kind, Scratch, Staged, fault};
use std::io::{Read, Seek, SeekFrom, Write};

#[test]
fn opening_a_fifo_does_not_wait() -> TestResult {
    let dir = temp()?;
    fsio::make_node(&dir, "p", Kind::Fifo, 0o600, 0)?;
    assert_eq!(errno(fsio::open_file(&dir, "p")), Errno::INVAL);
    assert_eq!(errno(fsio::read(&dir, "p", 10)), Errno::INVAL);
    fsio::create_dir(&dir, "d", 0o755)?;
    assert_eq!(errno(fsio::read(&dir, "d", 10)), Errno::ISDIR);
    Ok(())
}

#[test]
fn reading_stops_at_the_limit() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o644, b"12345")?;
    assert_eq!(fsio::read(&dir, "f", 5)?, b"12345");
    assert_eq!(fsio::read(&dir, "f", u64::MAX)?, b"12345");
    assert_eq!(errno(fsio::read(&dir, "f", 4)), Errno::FBIG);
    fsio::replace(&dir, "empty", 0o644, b"")?;
    assert_eq!(fsio::read(&dir, "empty", 0)?, b"");
    Ok(())
}

#[test]
fn a_size_that_is_not_the_truth_does_not_matter() -> TestResult {
    // Files of /proc claim to have no bytes.
    #[expect(clippy::disallowed_methods, reason = "the test needs /proc")]
    let proc = fsio::Dir::open_ambient_dir("/proc/self", cap_tempfile::ambient_authority())?;
    assert!(fsio::read(&proc, "status", 1 << 16)?.starts_with(b"Name:"));
    assert_eq!(errno(fsio::read(&proc, "status", 3)), Errno::FBIG);
    let dir = temp()?;
    let staged = Staged::create(&dir)?;
    let copied = fsio::copy_contents(&fsio::open_file(&proc, "status")?, staged.file())?;
    assert!(copied > 0);
    assert_eq!(staged.file().metadata()?.len(), copied);
    Ok(())
}

#[test]
fn a_replaced_file_has_the_new_bytes_and_exactly_the_mode() -> TestResult {
    let dir = temp()?;
    fsio::replace(&dir, "f", 0o666, b"old")?;
    assert_eq!(fsio::stat(&dir, "f")?.mode, 0o666);
    fsio::replace(&dir, "f", 0o400, b"new")?;
    assert_eq!(fsio::stat(&dir, "f")?.mode, 0o400);
    assert_eq!(fsio::read(&dir, "f", 10)?, b"new");
    fsio::symlink("f", &dir, "l")?;
    fsio::replace(&dir, "l", 0o644, b"own")?;
    assert_eq!(fsio::read(&dir, "l", 10)?, b"own");
    assert_eq!(fsio::read(&dir, "f", 10)?, b"new");
    fsio::create_dir(&dir, "d", 0o755)?;
    assert!(fsio::replace(&dir, "d", 0o644, b"").is_err());
    assert_eq!(names(&dir)?, ["d", "f", "l"]);
    Ok(())
}

#[test]
fn a_staged_file_is_gone_unless_published_or_kept() -> TestResult {
    let dir = temp()?;
    let mut staged = Staged::create(&dir)?;
    staged.write_all(b"x")?;
    assert_eq!(fsio::stat_open(staged.file())?.mode, 0o600);
    assert_eq!(names(&dir)?.len(), 1);
    assert!(names(&dir)?.iter().all(|name| name.starts_with(".tmp-")));
    drop(staged);
    assert!(names(&dir)?.is_empty());

    Staged::create(&dir)?.publish(&dir, "f")?;
    assert_eq!(errno(Staged::create(&dir)?.publish_noreplace(&dir, "f")), Errno::EXIST);
    assert_eq!(names(&dir)?, ["f"]);
    Staged::create(&dir)?.publish(&dir, "f")?;

    assert_eq!(errno(Staged::create_named(&dir, "f")), Errno::EXIST);
    drop(Staged::create_named(&dir, "g")?);
    let mut file = Staged::create_named(&dir, "h")?.keep()?;
    file.write_all(b"kept")?;
    assert_eq!(names(&dir)?, ["f", "h"]);
    let sub = fsio::create_dir(&dir, "sub", 0o755)?;
    Staged::create_named(&dir, "sub/i")?.publish(&dir, "sub/j")?;
    assert_eq!(names(&sub)?, ["j"]);
    Ok(())
}

#[test]
fn a_copy_has_every_byte() -> TestResult {
    let dir = temp()?;
    let content: Vec<u8> = (0..300_001_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    fsio::replace(&dir, "f", 0o644, &content)?;
    let mut from = fsio::open_file(&dir, "f")?;

    let staged = Staged::create(&dir)?;
    from.seek(SeekFrom::Start(77))?;
    assert_eq!(fsio::copy_contents(&from, staged.file())?, 300_001);
    staged.publish(&dir, "copy")?;
    assert!(fsio::read(&dir, "copy", 1 << 20)? == content);

    let staged = Staged::create(&dir)?;
    from.seek(SeekFrom::Start(1000))?;
    assert_eq!(fsio::copy_range(&from, staged.file(), 70_000)?, 70_000);
    assert_eq!(fsio::copy_range(&from, staged.file(), 5)?, 5);
    staged.publish(&dir, "part")?;
    assert!(fsio::read(&dir, "part", 1 << 20)? == content[1000..71_005]);
    let mut next = [0];
    from.read_exact(&mut next)?;
    assert_eq!(next[0], content[71_005]);
    assert_eq!(fsio::copy_range(&from, Staged::create(&dir)?.file(), u64::MAX)?, 300_001 - 71_006);
    Ok(())
}

#[test]
fn a_scratch_file_keeps_what_threads_add_apart_and_leaves_no_name() -> TestResult {
    let dir = temp()?;
    let scratch = Scratch::create(&dir)?;
    let pieces: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; usize::from(n) * 100]).collect();
    let starts: Vec<u64> = std::thread::scope(|scope| {
        let adding: Vec<_> = pieces.iter().map(|piece| scope.spawn(|| scratch.append(piece))).collect();
        adding.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<_, _>>()
    })?;
    for (piece, start) in pieces.iter().zip(starts) {
        let mut read = vec![0; piece.len()];
        scratch.read_at(start, &mut read)?;
        assert!(read == *piece);
    }
    let end = pieces.iter().map(Vec::len).sum::<usize>() as u64;
    assert!(scratch.read_at(end, &mut [0]).is_err());
    assert!(names(&dir)?.is_empty());
    Ok(())
}

#[test]
fn a_scratch_file_survives_a_full_disk() -> TestResult {
    let dir = temp()?;
    let scratch = Scratch::create(&dir)?;
    let first = scratch.append(b"first")?;
    let run = fault::fail_at(1, fault::Failure::NoSpace, || scratch.append(b"lost"));
    assert!(run.fired && run.value.is_err());
    let (mut bytes, third) = ([0; 5], scratch.append(b"third")?);
    for (at, expected) in [(first, b"first"), (third, b"third")] {
        scratch.read_at(at, &mut bytes)?;
        assert_eq!(&bytes, expected);
    }
    Ok(())
}

#[test]
fn what_is_appended_comes_after_what_is_there() -> TestResult {
    let dir = temp()?;
    fsio::append(&dir, "log", 0o640, b"one\n")?;
    fsio::append(&dir, "log", 0o644, b"two\n")?;
    assert_eq!(fsio::read(&dir, "log", 100)?, b"one\ntwo\n");
    assert_eq!(fsio::stat(&dir, "log")?.mode & 0o7777, 0o640);
    fsio::symlink("log", &dir, "link")?;
    assert_eq!(errno(fsio::append(&dir, "link", 0o644, b"x")), Errno::LOOP);
    fsio::make_node(&dir, "p", Kind::Fifo, 0o600, 0)?;
    assert!(fsio::append(&dir, "p", 0o644, b"x").is_err());
    Ok(())
}
