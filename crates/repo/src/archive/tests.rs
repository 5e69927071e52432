//! Archives that are written are read back; what is cut short is refused.

use super::writer::{Header, TarWriter};
use super::*;

fn header<'a>(path: &'a str, kind: &'a EntryKind, size: u64) -> Header<'a> {
    Header { path, kind, uid: 3_000_000, gid: 2, mode: 0o4755, device: None, mtime: 1 << 40, size }
}

fn read(bytes: &[u8]) -> Archive<&[u8]> {
    Archive::new(bytes, Remembered::new(1 << 20))
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

    let mut archive = read(bytes.as_slice());
    let file = archive.next_entry().unwrap().unwrap();
    assert_eq!(
        (file.path, file.kind, file.uid, file.mode),
        (long.into_bytes(), EntryKind::File, 3_000_000, 0o4755)
    );
    let xattrs = BTreeMap::from([(b"user.a".to_vec(), b"\n=\0".to_vec()), (b"user.b".to_vec(), big)]);
    assert_eq!(*file.xattrs, xattrs);
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
        let mut archive = read(&bytes[..cut]);
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
    assert!(read(&[]).next_entry().is_err());
    assert_eq!(read(&[0; 10240]).next_entry().unwrap(), None);
    assert!(read(b"not an archive at all").next_entry().is_err());
}

/// Pax headers for all entries, with one attribute each.
fn global(writer: &mut TarWriter<&mut Vec<u8>>, name: &str, value: &[u8]) {
    let body = [b" SCHILY.xattr.", name.as_bytes(), b"=", value, b"\n"].concat();
    let digits = (1..20).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap();
    let record = [(body.len() + digits).to_string().as_bytes(), &body].concat();
    writer.extra(b'g', "global", &record).unwrap();
}

#[test]
fn attributes_of_all_entries_are_shared_and_together_no_more_than_those_of_one_header() {
    let mut bytes = Vec::new();
    let mut writer = TarWriter::new(&mut bytes);
    let most = vec![b'v'; (16 << 20) - 256];
    global(&mut writer, "user.a", &most);
    for name in ["f", "g"] {
        writer.entry(&header(name, &EntryKind::File, 0), std::iter::empty(), &mut io::empty()).unwrap();
    }
    // In the place of the one before.
    global(&mut writer, "user.a", &most);
    global(&mut writer, "user.b", b"2");
    writer.entry(&header("h", &EntryKind::File, 0), std::iter::empty(), &mut io::empty()).unwrap();
    global(&mut writer, "user.c", &[b'v'; 100]);
    writer.entry(&header("i", &EntryKind::File, 0), std::iter::empty(), &mut io::empty()).unwrap();
    writer.finish().unwrap();
    let mut archive = read(&bytes);
    let mut next = || archive.next_entry();
    let (f, g) = (next().unwrap().unwrap(), next().unwrap().unwrap());
    assert!(Arc::ptr_eq(&f.xattrs, &g.xattrs));
    assert_eq!(next().unwrap().unwrap().xattrs.len(), 2);
    let refused = next();
    assert!(matches!(refused, Err(ArchiveError::Malformed { .. })), "{refused:?}");
}

/// A file of several names, in the form of cpio.
fn cpio_entry(ino: u32, path: &str) -> Vec<u8> {
    let fields = [ino, 0o100_644, 0, 0, 2, 0, 0, 0, 0, 0, 0, u32::try_from(path.len() + 1).unwrap(), 0];
    let mut bytes = b"070701".to_vec();
    bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
    bytes.extend(path.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn paths_that_hard_links_of_cpio_may_lead_to_are_remembered_up_to_a_limit() {
    let path = "p".repeat(1000);
    let mut bytes: Vec<u8> = (0..100).flat_map(|ino| cpio_entry(ino, &path)).collect();
    bytes.extend(cpio_entry(0, "TRAILER!!!"));
    let count = |limit| {
        let mut archive = Archive::new(bytes.as_slice(), Remembered::new(limit));
        let mut count = 0;
        while archive.next_entry()?.is_some() {
            count += 1;
        }
        Ok::<_, ArchiveError>(count)
    };
    assert_eq!(count(200_000).unwrap(), 100);
    assert!(count(100_000).is_err());
}
