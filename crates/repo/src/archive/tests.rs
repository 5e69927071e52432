//! Archives that are written are read back; what is cut short is refused.

use super::writer::{Header, TarWriter};
use super::*;

fn header<'a>(path: &'a str, kind: &'a EntryKind, size: u64) -> Header<'a> {
    Header { path, kind, uid: 3_000_000, gid: 2, mode: 0o4755, device: None, mtime: 1 << 40, size }
}

#[test]
fn what_is_written_is_read_back_whatever_its_length() {
    let long = "d/".repeat(200) + "name";
    let link = EntryKind::Symlink(vec![b't'; 300]);
    let big = vec![b'v'; 70_000];
    let mut bytes = Vec::new();
    let mut writer = TarWriter::new(&mut bytes);
    let xattrs = [(&b"user.a"[..], &b"\n=\0"[..]), (b"user.b", &big)];
    writer.entry(&header(&long, &EntryKind::File, 5), xattrs.into_iter(), &mut &b"12345"[..]).unwrap();
    writer.entry(&header("l", &link, 0), std::iter::empty(), &mut io::empty()).unwrap();
    writer.finish().unwrap();

    let mut archive = Archive::new(bytes.as_slice());
    let file = archive.next_entry().unwrap().unwrap();
    assert_eq!(
        (file.path, file.kind, file.uid, file.mode),
        (long.into_bytes(), EntryKind::File, 3_000_000, 0o4755)
    );
    assert_eq!(file.xattrs, [(b"user.a".to_vec(), b"\n=\0".to_vec()), (b"user.b".to_vec(), big)]);
    let mut content = String::new();
    archive.read_to_string(&mut content).unwrap();
    assert_eq!(content, "12345");
    assert_eq!(archive.next_entry().unwrap().unwrap().kind, link);
    assert_eq!(archive.next_entry().unwrap(), None);
}

#[test]
fn an_archive_that_is_cut_short_is_refused_wherever_the_cut_is() {
    let mut bytes = Vec::new();
    let mut writer = TarWriter::new(&mut bytes);
    let xattrs = [(&b"user.a"[..], &b"1"[..])];
    writer.entry(&header("f", &EntryKind::File, 700), xattrs.into_iter(), &mut &[b'x'; 700][..]).unwrap();
    writer.finish().unwrap();
    // Header of attributes, attributes, header, content: after that the end may be missing.
    for cut in (1..512 * 5).filter(|cut| cut % 97 == 0 || cut % 512 == 0) {
        let mut archive = Archive::new(&bytes[..cut]);
        let all = (|| -> Result<u64, ArchiveError> {
            let mut count = 0;
            while archive.next_entry()?.is_some() {
                io::copy(&mut archive, &mut io::sink())?;
                count += 1;
            }
            Ok(count)
        })();
        assert!(all.is_err(), "cut at {cut} gave {all:?}");
    }
}

#[test]
fn an_empty_file_is_no_archive_and_zeros_are_an_empty_one() {
    assert!(Archive::new(&[][..]).next_entry().is_err());
    assert_eq!(Archive::new(&[0; 10240][..]).next_entry().unwrap(), None);
    assert!(Archive::new(&b"not an archive at all"[..]).next_entry().is_err());
}
